"""Tools of MCP servers: found while a call begins, keeping nobody waiting, and used like all others.

A server that cannot be reached costs its own tools and nothing else: the model does not hear of them.
"""

import asyncio
import contextlib
import importlib
import importlib.util
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from livekit.agents import Agent, ToolError, llm

from voicefleet.api.voiceagent.tools import McpTool, Tool, ToolPolicy
from voicefleet.conversation.dialogue import AgentPlan, DialogueProblem
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.preloading import MCP_MODULE
from voicefleet_worker.tools.arguments import fault_in
from voicefleet_worker.tools.auth import prove
from voicefleet_worker.tools.http import ToolFailedError
from voicefleet_worker.tools.templates import Values, check_host
from voicefleet_worker.tools.toolbox import Deed, guarded

logger = logging.getLogger("voicefleet.call")

_LIBRARY = "mcp"
_FIND_SECONDS = 10.0
_CLOSE_SECONDS = 3.0
_MOST_TOOLS = 64
_MOST_CHARACTERS = 65_536
_SHOWN_CHARACTERS = 500
# What models can call.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TRANSPORTS = {"StreamableHttp": "streamable_http", "Sse": "sse"}
_LATE = "the service did not answer in time; it is not known whether it took effect, so do not do it again"


def check_mcp(tool: Tool) -> DialogueProblem | None:
    """Say what this image lacks for a tool."""
    if tool.mcp is None or importlib.util.find_spec(_LIBRARY) is not None:
        return None
    field = f"spec.tools[{tool.name}].mcp"
    return DialogueProblem("agent", field, "this image speaks no MCP: it needs the extra voicefleet[mcp]")


def servers_of(
    agent: AgentPlan, values: Mapping[str, str], *, secrets: SecretFiles, policy: ToolPolicy
) -> "McpServers":
    """Return the servers whose tools an agent may use who sees these variables."""
    return McpServers(agent.tools, secrets, policy, language=agent.language, values=values)


class McpServers:
    """The MCP servers of one call."""

    def __init__(
        self,
        tools: Iterable[Tool],
        secrets: SecretFiles,
        policy: ToolPolicy,
        *,
        language: str,
        values: Mapping[str, str],
    ) -> None:
        self._tools = tuple(tool for tool in tools if tool.mcp is not None)
        self._secrets = secrets
        self._policy = policy
        self._language = language
        self._values = values
        self._servers: list[Any] = []

    async def equip(self, agent: Agent) -> None:
        """Give an agent the tools of all servers that can be reached; a name that it has already stays what it is."""
        for found in await asyncio.gather(*(self._find(tool) for tool in self._tools)):
            known = {tool.id for tool in agent.tools}
            fresh = [tool for tool in found if tool.id not in known]
            if len(fresh) < len(found):
                logger.warning("tools of a server are left out: others have their names")
            if fresh:
                await agent.update_tools([*agent.tools, *fresh])

    async def aclose(self) -> None:
        """Take leave of all servers."""
        for server in self._servers:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await server.aclose()

    async def _find(self, tool: Tool) -> list[llm.Tool]:
        if tool.mcp is None:
            return []
        try:
            check_host(tool.mcp.url, tool.mcp.url, tuple(self._policy.allowed_hosts))
            async with asyncio.timeout(_FIND_SECONDS):
                server = await self._connect(tool.mcp)
                offered = await server.list_tools()
        except Exception as error:  # noqa: BLE001 - two libraries and a server may fail in any way
            logger.warning("tools of a server are missing", extra={"tool": tool.name, "problem": type(error).__name__})
            return []
        return [built for each in offered[:_MOST_TOOLS] if (built := self._build(tool, tool.mcp, each)) is not None]

    async def _connect(self, mcp: McpTool) -> Any:  # noqa: ANN401 - the class is there only if its library is
        seconds = mcp.timeout_milliseconds / 1000
        server = _load_sdk().MCPServerHTTP(
            mcp.url,
            transport_type=_TRANSPORTS[mcp.transport],
            allowed_tools=list(mcp.allowed_tools) or None,
            headers={**(mcp.headers or {}), **await prove(mcp.auth, self._secrets)},
            timeout=seconds,
            client_session_timeout_seconds=seconds,
            tool_result_resolver=lambda result: _as_text(result.result.content),
        )
        self._servers.append(server)
        await server.initialize()
        return server

    def _build(self, tool: Tool, mcp: McpTool, offered: Any) -> llm.Tool | None:  # noqa: ANN401 - as above
        schema: Mapping[str, Any] = offered.info.raw_schema
        parameters = schema["parameters"]
        if not _NAME.fullmatch(schema["name"]) or fault_in(parameters) is not None:
            logger.warning("a tool of a server is not what models can call", extra={"tool": tool.name})
            return None
        said = schema["description"] or tool.description
        theirs = {"name": schema["name"], "description": said, "parameters": parameters}
        return guarded(tool, theirs, _deed(mcp, offered), language=self._language, values=self._values)


def _load_sdk() -> Any:  # noqa: ANN401 - as above
    return importlib.import_module(MCP_MODULE)


def _deed(mcp: McpTool, offered: Any) -> Deed:  # noqa: ANN401 - as above
    async def use(arguments: Values) -> str:
        try:
            async with asyncio.timeout(mcp.timeout_milliseconds / 1000):
                return str(await offered(dict(arguments)))
        except TimeoutError as error:
            raise ToolFailedError(_LATE) from error
        except ToolError as error:
            # What a server says of a failure is meant for the model.
            raise ToolFailedError(str(error)[:_SHOWN_CHARACTERS]) from error

    return use


def _as_text(content: Iterable[Any]) -> str:
    text = "\n".join(part.text for part in content if part.type == "text")
    if len(text) > _MOST_CHARACTERS:
        raise ToolFailedError("the service answered with more than may be read")
    return text or "Done."
