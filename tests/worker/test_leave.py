"""Leaving comes to an end, whoever hurries whom at which moment."""

import asyncio
from typing import cast

import pytest
from livekit.agents import AgentServer

from voicefleet_worker.desk import Desk
from voicefleet_worker.run import _leave


class Server:
    """A server whose calls go on until it is closed; like the SDK's, it must not be cancelled while it closes."""

    def __init__(self, *, limit_reached: bool = False) -> None:
        self.limit_reached = limit_reached
        self.closing = asyncio.Event()
        self.calls_are_over = asyncio.Event()
        self.closed = asyncio.Event()

    async def drain(self, **_: object) -> None:
        if self.limit_reached:
            raise TimeoutError
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        if not self.closing.is_set():
            self.closing.set()
            await self.calls_are_over.wait()
            self.closed.set()
        await self.closed.wait()


async def leave(server: Server, hurry: asyncio.Event) -> None:
    desk = Desk(slots=1, revision="r1", clock=lambda: 0.0)
    async with asyncio.timeout(2):
        await _leave(cast("AgentServer", server), desk, hurry, limit_seconds=20)


async def test_whoever_hurries_ends_the_calls() -> None:
    server, hurry = Server(), asyncio.Event()
    server.calls_are_over.set()
    hurry.set()

    await leave(server, hurry)

    assert server.closed.is_set()


@pytest.mark.parametrize("moment", ["before", "while it closes"])
async def test_hurrying_a_worker_that_has_reached_its_limit_does_not_keep_it(moment: str) -> None:
    server, hurry = Server(limit_reached=True), asyncio.Event()
    if moment == "before":
        hurry.set()
    leaving = asyncio.create_task(leave(server, hurry))
    await server.closing.wait()
    hurry.set()
    await asyncio.sleep(0.01)
    server.calls_are_over.set()
    await leaving

    assert server.closed.is_set()
