"""A LiveKit server that takes loads below zero for zero: the real one, and before it a door that raises them.

Workers and their calls come through the door with all that they have to say. Of that only the number in a worker's
word about its load is changed, and only if it lies outside of 0 to 1.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from livekit.protocol.agent import UpdateWorkerStatus, WorkerMessage, WorkerStatus
from yarl import URL

_AGENT_PATH = "/agent"
_START_SECONDS = 10.0
# What belongs to one connection, and what the client makes anew.
_OWN_HEADERS = {"connection", "content-encoding", "content-length", "host", "transfer-encoding", "upgrade"}
_Socket = web.WebSocketResponse | ClientWebSocketResponse
_Change = Callable[[bytes], bytes]


@dataclass
class Told:
    """What one worker has told the server last."""

    asked: float = 0.0
    """The load as the worker said it."""
    load: float = 0.0
    """The load as the server heard it."""
    is_open: bool = False

    @property
    def weight(self) -> float:
        """What it weighs in the server's draw."""
        return max(0.0, 1 - self.load) if self.is_open else 0.0


class ClampingDoor:
    """The way to a server, in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._target = URL(url)
        self._workers: list[Told] = []
        self._enough = asyncio.Event()
        self._open = threading.Event()
        self._loop = asyncio.new_event_loop()
        self.port = 0
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)
        self._thread.start()
        assert self._open.wait(_START_SECONDS)

    @property
    def url(self) -> str:
        """Where workers find the server."""
        return f"ws://127.0.0.1:{self.port}"

    def workers(self) -> list[Told]:
        """Return what the server knows of the workers that are connected."""
        return list(self._workers)

    def close(self) -> None:
        """Shut the door."""
        self._loop.call_soon_threadsafe(self._enough.set)
        self._thread.join(_START_SECONDS)
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._admit)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        async with ClientSession() as self._session:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            self._open.set()
            await self._enough.wait()
            await runner.cleanup()

    async def _admit(self, request: web.Request) -> web.StreamResponse:
        asked = URL(request.raw_path, encoded=True)
        is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        target = self._target.with_scheme("ws" if is_socket else "http").join(asked)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _OWN_HEADERS and not name.lower().startswith("sec-websocket")
        }
        if is_socket:
            return await self._carry(request, target, headers)
        async with self._session.request(
            request.method, target, headers=headers, data=await request.read(), allow_redirects=False
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OWN_HEADERS}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def _carry(self, request: web.Request, target: URL, headers: dict[str, str]) -> web.WebSocketResponse:
        near = web.WebSocketResponse(compress=False, max_msg_size=0)
        async with self._session.ws_connect(target, headers=headers, max_msg_size=0) as far:
            await near.prepare(request)
            change: _Change = _unchanged
            told = None
            if target.path == _AGENT_PATH:
                told = Told()
                self._workers.append(told)
                change = self._clamp_for(told)
            try:
                ways = {asyncio.ensure_future(_copy(near, far, change)), asyncio.ensure_future(_copy(far, near))}
                _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in left:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            finally:
                if told is not None:
                    self._workers.remove(told)
        await near.close(code=far.close_code or 1000)
        return near

    def _clamp_for(self, told: Told) -> _Change:
        def clamp(raw: bytes) -> bytes:
            message = WorkerMessage.FromString(raw)
            if message.WhichOneof("message") != "update_worker":
                return raw
            update: UpdateWorkerStatus = message.update_worker
            told.asked, told.is_open = update.load, update.status == WorkerStatus.WS_AVAILABLE
            told.load = min(1.0, max(0.0, update.load))
            if told.load == told.asked:
                return raw
            update.load = told.load
            return message.SerializeToString()

        return clamp


def _unchanged(raw: bytes) -> bytes:
    return raw


async def _copy(near: _Socket, far: _Socket, change: _Change = _unchanged) -> None:
    # Whoever goes away in the middle of a word has nothing more to hear.
    with suppress(ConnectionError):
        async for message in near:
            if message.type is WSMsgType.BINARY:
                await far.send_bytes(change(message.data))
            elif message.type is WSMsgType.TEXT:
                await far.send_str(message.data)


@contextmanager
def clamping(url: str) -> Iterator[ClampingDoor]:
    """Open a door to a server for the length of the block."""
    door = ClampingDoor(url)
    try:
        yield door
    finally:
        door.close()
