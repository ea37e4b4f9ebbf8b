"""Comparing goes on, whatever the cluster hands out."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from voicefleet_operator.apiserver.cache import Cache
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.sight import resync as module
from voicefleet_operator.sight import rounds as rounds_module
from voicefleet_operator.sight.resync import Resync
from voicefleet_operator.sight.rounds import Rounds
from voicefleet_operator.turns.workqueue import WorkQueue


class Kube:
    """Hands out a page that nobody expected, and then proper ones."""

    def __init__(self) -> None:
        self.lists = 0

    async def pages(self, _path: str, **_query: str) -> AsyncIterator[dict[str, Any]]:
        self.lists += 1
        yield (
            {}
            if self.lists == 1
            else {"apiVersion": "v1", "kind": "L", "metadata": {"resourceVersion": "9"}, "items": []}
        )


async def test_a_list_that_nobody_expected_does_not_end_the_comparing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AFTER_FAILURE_SECONDS", 0)
    kube = Kube()
    resync = Resync(kube, Cache(), WorkQueue(), (), Metrics())  # type: ignore[arg-type]
    running = asyncio.create_task(resync.run(Rounds(every_seconds=0)))

    async with asyncio.timeout(5):
        while kube.lists < 4 and not running.done():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    running.cancel()

    assert kube.lists >= 4


async def test_after_a_disturbance_the_next_looks_come_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds_module, "_SOON_SECONDS", (0.0, 0.0))
    rounds, looks = Rounds(every_seconds=3600), 0

    async def look() -> None:
        nonlocal looks
        while True:
            await rounds.pause()
            looks += 1

    looking = asyncio.create_task(look())
    await asyncio.sleep(0.01)
    assert looks == 0
    rounds.hurry()
    async with asyncio.timeout(5):
        while looks < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    looking.cancel()

    assert looks == 2
