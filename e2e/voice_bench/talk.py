"""Callers of one worker: they come together, ask from time to time, and go without a trace."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from livekit import api

from e2e.caller import Caller, Line, Seat, Turn
from e2e.voice_bench.stage import SENTENCE
from e2e.voice_bench.workers import Worker

TURN_SECONDS = 15.0
_JOIN_SECONDS = 60.0
_GONE_SECONDS = 60.0
_LOOK_SECONDS = 0.5
# The answers are short; so may be the silence that ends them.
_QUIET_MS = 500
# What is a gap in an answer on a quiet machine is only a delay on one that is full.
_GAP_MS = 5_000


@asynccontextmanager
async def calls(line: Line, worker: Worker, count: int) -> AsyncIterator[Sequence[Caller]]:
    """Have so many calls with a worker, greeted and quiet; at the end wait until their processes are gone."""
    before = worker.processes
    callers = [
        Caller(line, seat=seat, quiet_ms=_QUIET_MS, gap_ms=_GAP_MS, join_timeout_seconds=_JOIN_SECONDS)
        for seat in (Seat.made_up(worker.agent) for _ in range(count))
    ]
    try:
        async with AsyncExitStack() as stack:
            for caller in callers:
                await stack.enter_async_context(caller)
                if not caller.agent_identity:
                    raise RuntimeError(f"{worker.name} did not answer a call")
                await caller.listen()
            yield callers
    finally:
        await _empty(line, callers)
        await _leave(worker, before)


async def ask(caller: Caller) -> Turn:
    """Ask, and hear the answer out."""
    return await caller.say(SENTENCE, timeout_seconds=TURN_SECONDS)


async def ask_every(caller: Caller, *, seconds: float, after_seconds: float, until_seconds: float) -> list[Turn]:
    """Ask at fixed times until it is time to stop; whoever is late does not ask more often afterwards."""
    loop = asyncio.get_running_loop()
    due, turns = loop.time() + after_seconds, []
    while due < until_seconds and not caller.over:
        await asyncio.sleep(max(0.0, due - loop.time()))
        turns.append(await ask(caller))
        while due < loop.time():
            due += seconds
    return turns


async def _empty(line: Line, callers: Sequence[Caller]) -> None:
    """Delete the rooms: a plain agent stays in an empty one until LiveKit closes it."""
    async with api.LiveKitAPI(line.http_url, line.api_key, line.api_secret) as livekit:
        listed = await livekit.room.list_rooms(api.ListRoomsRequest(names=[caller.seat.room for caller in callers]))
        for room in listed.rooms:
            await livekit.room.delete_room(api.DeleteRoomRequest(room=room.name))


async def _leave(worker: Worker, processes: int) -> None:
    """Wait until no more processes are there than before the calls."""
    for _ in range(int(_GONE_SECONDS / _LOOK_SECONDS)):
        if worker.processes <= processes:
            return
        await asyncio.sleep(_LOOK_SECONDS)
