"""What becomes of a turn, however it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from tests.operator.fakes import build_ports
from tests.support.clock import Clock
from voicefleet_operator.controller import Controller
from voicefleet_operator.errors import ApiError, NotLeaderError
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.ports import GONE, Ports
from voicefleet_operator.turns.workqueue import Key, WorkQueue

KEY, OTHER = Key("VoiceAgent", "voice", "a"), Key("VoiceAgent", "voice", "b")
Turn = Callable[[Key], Awaitable[timedelta | None]]


async def run(turn: Turn, *keys: Key) -> WorkQueue:
    queue = WorkQueue(clock=Clock(), jitter=lambda: 1.0)
    for key in keys:
        queue.add(key)

    async def handle(key: Key, _ports: Ports) -> timedelta | None:
        return await turn(key)

    controller = Controller(queue, build_ports()[0], {"VoiceAgent": handle}, Metrics())
    working = asyncio.create_task(controller.work())
    async with asyncio.timeout(5):
        while len(queue):  # noqa: ASYNC110 - until nobody has anything to do
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        queue.close()
        await working
    return queue


def due(queue: WorkQueue) -> float:
    seconds = queue.next_due_seconds()
    assert seconds is not None
    return seconds


async def test_a_turn_is_followed_by_another_when_it_asks_for_one() -> None:
    async def turn(_key: Key) -> timedelta:
        return timedelta(seconds=7)

    assert due(await run(turn, KEY)) == 7


async def test_a_key_whose_object_is_gone_does_not_come_back() -> None:
    async def turn(_key: Key) -> timedelta:
        return GONE

    assert (await run(turn, KEY)).next_due_seconds() is None


async def test_without_a_wish_everything_is_looked_at_every_ten_minutes_or_so() -> None:
    async def turn(_key: Key) -> None:
        return None

    assert 480 <= due(await run(turn, KEY)) <= 720


@pytest.mark.parametrize("error", [ApiError(409, "Conflict", ""), ApiError(503, "", ""), ValueError("a bug")])
async def test_a_turn_that_fails_is_tried_again_and_the_others_go_on(error: Exception) -> None:
    done = []

    async def turn(key: Key) -> None:
        if key == KEY:
            raise error
        done.append(key)

    queue = await run(turn, KEY, OTHER)

    assert done == [OTHER]
    assert due(queue) == 0.2


async def test_who_leads_no_more_does_not_try_again() -> None:
    async def turn(_key: Key) -> None:
        raise NotLeaderError

    assert (await run(turn, KEY)).next_due_seconds() is None
