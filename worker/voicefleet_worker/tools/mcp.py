"""Tools of MCP servers: found while a call begins, keeping nobody waiting, and used like all others.

A server that cannot be reached costs its own tools and nothing else: the model does not hear of them.
"""

import asyncio
import importlib.util
import itertools
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from livekit.agents import Agent, llm

from voicefleet.api.voiceagent.tools import Tool, ToolPolicy
from voicefleet.conversation.dialogue import AgentPlan, DialogueProblem
from voicefleet.conversation.schemas import fault_in_schema
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.tools.mcp_line import McpLine
from voicefleet_worker.tools.templates import check_host
from voicefleet_worker.tools.toolbox import guarded

logger = logging.getLogger("voicefleet.call")

_LIBRARY = "mcp"
_FIND_SECONDS = 10.0
_MOST_TOOLS = 64
# What models can call.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


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
        self._lines: list[McpLine] = []

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
        await asyncio.gather(*(line.aclose() for line in self._lines))

    async def _find(self, tool: Tool) -> list[llm.Tool]:
        if tool.mcp is None:
            return []
        line = McpLine(tool.mcp, self._secrets)
        try:
            check_host(tool.mcp.url, tool.mcp.url, tuple(self._policy.allowed_hosts))
            self._lines.append(line)
            async with asyncio.timeout(_FIND_SECONDS):
                offered = await line.offered()
        except Exception as error:  # noqa: BLE001 - two libraries and a server may fail in any way
            logger.warning("tools of a server are missing", extra={"tool": tool.name, "problem": type(error).__name__})
            return []
        built = (self._build(tool, line, each) for each in itertools.islice(offered.values(), _MOST_TOOLS))
        return [each for each in built if each is not None]

    def _build(self, tool: Tool, line: McpLine, offered: Any) -> llm.Tool | None:  # noqa: ANN401 - the SDK's own class
        schema: Mapping[str, Any] = offered.info.raw_schema
        name, parameters = schema["name"], schema["parameters"]
        if not _NAME.fullmatch(name) or fault_in_schema(parameters) is not None:
            logger.warning("a tool of a server is not what models can call", extra={"tool": tool.name})
            return None
        theirs = {"name": name, "description": schema["description"] or tool.description, "parameters": parameters}
        return guarded(
            tool, theirs, lambda arguments, _: line.use(name, arguments), language=self._language, values=self._values
        )
