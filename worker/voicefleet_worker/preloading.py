"""The process from which those of calls are forked, and what it loads: once for all calls, and while the worker loads.

Imports nothing of the SDK: it is read first, so that both processes can load at the same time.
"""

import os
import ssl
from multiprocessing import forkserver

import certifi

from voicefleet.dialogue import DialoguePlan

# Those that have an extra of their own are in an image that was built with it.
EXTRAS = ("anthropic", "assemblyai", "elevenlabs", "google", "groq")
PLUGIN_MODULES = {
    name: f"voicefleet_worker.providers.{name}" for name in sorted(("cartesia", "deepgram", "openai", *EXTRAS))
}
MCP_MODULE = "livekit.agents.llm.mcp"
# First: a signal may come while the others load.
_DEAF = "voicefleet_worker.deaf"
_ENTRY = "voicefleet_worker.entry"
# What clients import on their first request, in the middle of a call.
_FIRST_USED_IN_CALLS = ("anyio._backends._asyncio", "httpcore2", "livekit.agents.llm.async_toolset")
# What the SDK adds to the list that it is given; its last one freezes all objects, so that calls share them.
_OF_THE_SDK = ("livekit.agents.ipc._preload", "livekit.agents.ipc._preload_freeze")


def modules_of(plan: DialoguePlan) -> list[str]:
    """Return the modules that a call of this plan needs."""
    plugins = sorted({PLUGIN_MODULES[each.plugin] for each in plan.providers if each.plugin in PLUGIN_MODULES})
    mcp = [MCP_MODULE] if any(tool.mcp is not None for tool in plan.tools) else []
    return [_DEAF, _ENTRY, *plugins, *mcp, *_FIRST_USED_IN_CALLS]


def begin_loading(plan: DialoguePlan) -> None:
    """Start the process, whose environment is that of all calls from now on; the SDK finds it running."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:
        # The SDK sees to that only when it starts itself.
        os.environ.setdefault("SSL_CERT_FILE", certifi.where())
    forkserver.set_forkserver_preload([*modules_of(plan), *_OF_THE_SDK])
    forkserver.ensure_running()
