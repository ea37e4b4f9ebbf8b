"""A worker's control port on a real socket, and what the operator's streams have heard from it."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from tests.support.fleet import state
from voicefleet_operator.ports import Address
from voicefleet_operator.turns.workqueue import Key
from voicefleet_operator.workers.streams import WorkerStreams

KEY = Key("VoiceAgent", "voice", "desk")
ADDRESS = Address("voice", "desk-rev-0", "127.0.0.1", "token")


class Worker:
    """A control port that says what it is told to."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()
        self.commands: list[str] = []
        self.callers: set[tuple[str, int]] = set()
        self.connections = 0
        self.answer = b""
        self.elsewhere = ""

    async def state(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer token":
            return web.Response(status=401)
        if self.elsewhere:
            raise web.HTTPFound(self.elsewhere)
        self.connections += 1
        response = web.StreamResponse()
        await response.prepare(request)
        while line := await self.lines.get():
            await response.write(line)
        return response

    async def command(self, request: web.Request) -> web.Response:
        self.commands.append(request.path)
        if request.transport is not None:
            self.callers.add(request.transport.get_extra_info("peername"))
        return web.Response(body=self.answer)

    def says(self, *, calls: int, **fields: object) -> None:
        self.lines.put_nowait(line(calls=calls, **fields))


def line(*, calls: int, **fields: object) -> bytes:
    """Return what the worker says under the uid that every test hears it by, unless it is told to lie."""
    return state(calls=calls, **{"pod_uid": "uid", **fields}).model_dump_json(by_alias=True).encode() + b"\n"


async def until(probe: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not probe():  # noqa: ASYNC110 - the answer comes over a socket
            await asyncio.sleep(0.01)


def calls(streams: WorkerStreams) -> int | None:
    heard = streams.heard("uid")
    return len(heard.state.sessions) if heard else None
