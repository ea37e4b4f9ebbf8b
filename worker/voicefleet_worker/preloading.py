"""The process from which those of calls are forked, and what it loads: once for all calls, and while the worker loads.

Imports nothing that takes time: it is read first, so that both processes can load side by side.
"""

import os
import re
import signal
import ssl
from collections.abc import Collection
from multiprocessing import forkserver
from pathlib import Path

import certifi

# Those that have an extra of their own are in an image that was built with it.
EXTRAS = ("anthropic", "assemblyai", "elevenlabs", "google", "groq")
PLUGIN_MODULES = {
    name: f"voicefleet_worker.providers.{name}" for name in sorted(("cartesia", "deepgram", "openai", *EXTRAS))
}
MCP_MODULE = "livekit.agents.llm.mcp"
# First: a signal may come while the others load.
_DEAF = "voicefleet_worker.deaf"
_ENTRY = "voicefleet_worker.calls.entry"
# What clients import on their first request, in the middle of a call.
_FIRST_USED_IN_CALLS = ("anyio._backends._asyncio", "httpcore2", "livekit.agents.llm.async_toolset")
# What the SDK adds to the list that it is given; its last one freezes all objects, so that calls share them.
_OF_THE_SDK = ("livekit.agents.ipc._preload", "livekit.agents.ipc._preload_freeze")
_PLUGIN = re.compile(r"\bplugin\"?\s*:\s*\"?([a-z0-9-]+)")
_MCP = re.compile(r"\bmcp\"?\s*:")


def modules_for(plugins: Collection[str], *, mcp: bool) -> list[str]:
    """Return the modules that calls need, to be loaded in this order."""
    of_plugins = sorted(PLUGIN_MODULES[name] for name in set(plugins) if name in PLUGIN_MODULES)
    return [_DEAF, _ENTRY, *of_plugins, *([MCP_MODULE] if mcp else []), *_FIRST_USED_IN_CALLS]


def begin_loading(spec: Path, pool: Path) -> None:
    """Start the process, whose environment is that of all calls from now on; the SDK finds it running.

    A glance at the files is enough: what is loaded in vain takes memory, what is not loaded each call loads itself.
    """
    try:
        needed, offered = spec.read_text(), pool.read_text()
    except (OSError, UnicodeDecodeError):
        # Somebody will be told what is wrong with them.
        return
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:
        # The SDK sees to that only when it starts itself.
        os.environ.setdefault("SSL_CERT_FILE", certifi.where())
    modules = modules_for(_PLUGIN.findall(offered), mcp=_MCP.search(needed) is not None)
    forkserver.set_forkserver_preload([*modules, *_OF_THE_SDK])
    # It does not hear Ctrl-C before it has loaded what makes it deaf, either.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, heard)


def stop_loading() -> None:
    """End the process at once, since there will be no calls: it would keep our output open until it has loaded all."""
    process: int | None = vars(forkserver)["_forkserver"]._forkserver_pid
    if process is not None:
        os.kill(process, signal.SIGKILL)
