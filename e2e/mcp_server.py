"""An MCP server to try tools against, over either transport: python -m e2e.mcp_server StreamableHttp|Sse

It wants the bearer token in $TOKEN. Prints its address when it listens.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN = "mcp-token"


def build_server() -> MCPServer[None]:
    """The tools that it has."""
    server: MCPServer[None] = MCPServer("orders")

    @server.tool()
    def track_parcel(number: int) -> str:
        """Tell where a parcel is."""
        return f"Parcel {number} arrives on Thursday."

    @server.tool()
    async def search_archive(words: str) -> str:
        """Search for a long time."""
        await asyncio.sleep(60)
        return words

    @server.tool()
    def cancel_parcel(number: int) -> str:
        """Cancel a parcel, which is too late."""
        raise ToolError(f"parcel {number} is on its way")

    @server.tool()
    def hidden() -> str:
        """Do what nobody is allowed."""
        return "done"

    return server


def guarded(app: ASGIApp) -> ASGIApp:
    """Turn away whoever has not the token."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers") or ())
        if scope["type"] == "http" and headers.get(b"authorization") != f"Bearer {os.environ['TOKEN']}".encode():
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return guard


@contextmanager
def running_mcp_server(transport: str) -> Iterator[str]:
    """Run it in a process of its own and yield its address."""
    command = [sys.executable, "-m", "e2e.mcp_server", transport]
    environment = {**os.environ, "TOKEN": TOKEN}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def main() -> None:
    """Serve until somebody ends it."""
    server = build_server()
    is_sse = sys.argv[1] == "Sse"
    app = server.sse_app() if is_sse else server.streamable_http_app()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/{'sse' if is_sse else 'mcp'}", flush=True)
        asyncio.run(uvicorn.Server(uvicorn.Config(guarded(app), log_level="warning")).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
