"""The line to one MCP server: what it offers, and one use of a tool. A line that broke is laid anew for the next use.

A use that got no answer is never repeated, since nobody knows whether it took effect. One is that a server never began
because it was replaced, and knows nothing of the old line.
"""

import asyncio
import contextlib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from livekit.agents import ToolError

from voicefleet.api.voiceagent.tools import McpTool
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.preloading import MCP_MODULE
from voicefleet_worker.tools.auth import prove
from voicefleet_worker.tools.http import DOUBT, TOO_LONG, ToolFailedError
from voicefleet_worker.tools.templates import Values

_CLOSE_SECONDS = 3.0
_MOST_CHARACTERS = 65_536
_SHOWN_CHARACTERS = 500
_TRANSPORTS = {"StreamableHttp": "streamable_http", "Sse": "sse"}
_LATE = f"the service did not answer in time; {DOUBT}"
_BROKEN = f"the line to the service broke; {DOUBT}"
_OUT_OF_REACH = "the service is out of reach"
_GONE = "the service does not offer this any more"
# JSON-RPC's codes for what a server does not know; of a line that it does not know, servers and the library say this.
_UNKNOWN = (-32601, -32602)
_UNKNOWN_LINE = ("session not found", "session terminated")


class _LineUnknownError(Exception):
    """The server was replaced: it has begun nothing."""


class McpLine:
    """That to one server, for the length of a call."""

    def __init__(self, mcp: McpTool, secrets: SecretFiles) -> None:
        self._mcp = mcp
        self._secrets = secrets
        self._seconds = mcp.timeout_milliseconds / 1000
        self._server: Any = None
        self._offered: Mapping[str, Any] | None = None
        self._laying = asyncio.Lock()

    async def offered(self) -> Mapping[str, Any]:
        """Return the server's tools as the SDK has them, by their names."""
        async with self._laying:
            if self._offered is None or _is_broken(self._server):
                await self.aclose()
                self._server = await self._build()
                await self._server.initialize()
                tools = await self._server.list_tools()
                self._offered = {tool.info.raw_schema["name"]: tool for tool in tools}
            return self._offered

    async def use(self, name: str, arguments: Values) -> str:
        """Use one of its tools, and return what it says, or raise why not in words for the model."""
        try:
            return await self._use(name, arguments)
        except _LineUnknownError:
            return await self._use(name, arguments)

    async def _use(self, name: str, arguments: Values) -> str:
        tool = await self._find(name)
        try:
            async with asyncio.timeout(self._seconds):
                return str(await tool(dict(arguments)))
        except TimeoutError as error:
            raise ToolFailedError(_LATE) from error
        except ToolError as error:
            # What a server says of a failure is meant for the model.
            raise ToolFailedError(str(error)[:_SHOWN_CHARACTERS]) from error
        except ToolFailedError:
            raise
        except Exception as error:
            if getattr(error, "code", None) in _UNKNOWN:
                raise ToolFailedError(str(error)[:_SHOWN_CHARACTERS]) from error
            self._offered = None
            if str(error).lower() in _UNKNOWN_LINE:
                raise _LineUnknownError from error
            raise ToolFailedError(_BROKEN) from error

    async def aclose(self) -> None:
        """Take leave of the server."""
        server, self._server, self._offered = self._server, None, None
        if server is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await server.aclose()

    async def _find(self, name: str) -> Any:  # noqa: ANN401 - the class is there only if its library is
        try:
            async with asyncio.timeout(self._seconds):
                offered = await self.offered()
        except Exception as error:
            raise ToolFailedError(_OUT_OF_REACH) from error
        if name not in offered:
            raise ToolFailedError(_GONE)
        return offered[name]

    async def _build(self) -> Any:  # noqa: ANN401 - as above
        mcp = self._mcp
        return load_sdk().MCPServerHTTP(
            mcp.url,
            transport_type=_TRANSPORTS[mcp.transport],
            allowed_tools=list(mcp.allowed_tools) or None,
            headers={**(mcp.headers or {}), **await prove(mcp.auth, self._secrets)},
            timeout=self._seconds,
            client_session_timeout_seconds=self._seconds,
            tool_result_resolver=lambda result: _as_text(result.result.content),
        )


def load_sdk() -> Any:  # noqa: ANN401 - as above
    """Return the SDK's module for it, which needs a library that not every image has."""
    return importlib.import_module(MCP_MODULE)


def _is_broken(server: Any) -> bool:  # noqa: ANN401 - as above
    """Tell whether a line is known to be closed: not public, and else the next use would be lost on it."""
    client = server._client
    return client is None or bool(getattr(getattr(client, "_dispatcher", None), "_closed", False))


def _as_text(content: Iterable[Any]) -> str:
    text = "\n".join(part.text for part in content if part.type == "text")
    if len(text) > _MOST_CHARACTERS:
        raise ToolFailedError(f"{TOO_LONG}; {DOUBT}")
    return text or "Done."
