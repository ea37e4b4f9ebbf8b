"""Several workers keep a quota of a minute, whatever becomes of their words, and one busy worker has most of it."""

import asyncio
import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.permits import HEARD, NAMES, Fleet, Step, happenings, play, rounds
from voicefleet.providers.leases import LEASE_SECONDS
from voicefleet.providers.permits import Minute, MinuteWord
from voicefleet.providers.sharing import Figures
from voicefleet_worker.sharing.ledger import Ask, Picture, Told


@dataclass
class Book:
    """What Redis does with words about permits, kept in plain lists."""

    counted: list[tuple[float, int]] = field(default_factory=list)
    """Until when so many requests count."""
    said: dict[str, MinuteWord] = field(default_factory=dict)
    turns: Counter[str] = field(default_factory=Counter)
    ends: dict[str, float] = field(default_factory=dict)

    async def exchange(self, worker: str, turn: int, asks: Sequence[Ask], now: float) -> Picture:
        self._forget(now)
        permits = 0
        if turn > self.turns[worker]:
            word = self._hear(worker, turn, asks, now)
            permits = max(0, min(word.wanted - word.held, word.quota - self._used() - self._held()))
            self.said[worker] = word._replace(held=word.held + permits)
            self.ends[worker] = now + LEASE_SECONDS
        lacking = sum(said.lacks for who, said in self.said.items() if who != worker)
        minute = Minute(self._used(), self._held(), lacking)
        told = Told(0, may_probe=False, breaker=None, fleet=Figures(), permits=permits, minute=minute)
        return Picture(now, is_settled=True, workers=len(self.said), told=(told,))

    async def leave(self, worker: str, turn: int, asks: Sequence[Ask], now: float) -> None:
        self._hear(worker, turn, asks, now)
        self._end(worker, now)

    def _hear(self, worker: str, turn: int, asks: Sequence[Ask], now: float) -> MinuteWord:
        (word,) = (ask.minute for ask in asks if ask.minute)
        before = self.said.get(worker)
        self._count(word.used - before.used if before else word.recent, now)
        self.said[worker], self.turns[worker] = word, turn
        return word

    def _count(self, requests: int, now: float) -> None:
        self.counted.append((math.floor(now) + 61, requests))

    def _end(self, worker: str, now: float) -> None:
        self._count(self.said.pop(worker).held, now)
        del self.turns[worker]
        self.ends.pop(worker, None)

    def _forget(self, now: float) -> None:
        self.counted = [each for each in self.counted if each[0] > now]
        for worker in [each for each, ends in self.ends.items() if ends <= now]:
            self._end(worker, now)

    def _used(self) -> int:
        return sum(count for _, count in self.counted)

    def _held(self) -> int:
        return sum(word.held for word in self.said.values())


@example(9, [("Requests", NAMES), HEARD, ("Pass", NAMES), HEARD, ("Requests", NAMES)])
@example(9, [("Pass", "b"), ("Requests", "a"), ("Pass", "b"), HEARD, ("Requests", "b")])
@example(9, [("Requests", "b"), ("Die", "b"), ("Pass", "a"), ("Requests", "a")])
@settings(max_examples=100, deadline=None)
@given(st.integers(1, 20), st.lists(happenings, max_size=40))
def test_no_60_seconds_see_more_requests_than_the_quota_has(quota: int, steps: list[Step]) -> None:
    """Words are lost and come late, calls begin in bursts, workers stand still, die and go: never one too many."""

    async def run(folder: Path) -> None:
        async with Fleet(folder, Book(), quota) as fleet:
            await play(fleet, steps)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


def burst(fleet: Fleet) -> None:
    for worker in fleet.workers.values():
        for _ in range(11):
            worker.request()
    assert fleet.within_a_minute() <= fleet.quota


async def test_a_burst_at_all_workers_at_once_takes_no_more_than_the_quota(tmp_path: Path) -> None:
    async with Fleet(tmp_path, Book(), quota=60) as fleet:
        for name in "abcdef":
            await fleet.join(name)
        await rounds(fleet, 3, lambda _: None)
        burst(fleet)

        assert len(fleet.begun) == 60
        await rounds(fleet, 59, burst)
        assert len(fleet.begun) == 60
        await rounds(fleet, 4, burst)
        assert len(fleet.begun) == 120


@pytest.mark.parametrize("quota", [1, 60, 600])
@pytest.mark.parametrize("workers", [1, 4])
async def test_one_busy_worker_has_nine_tenths_of_the_quota(tmp_path: Path, quota: int, workers: int) -> None:
    def ask_for_all(fleet: Fleet) -> None:
        while fleet.workers["a"].request():
            pass

    async with Fleet(tmp_path, Book(), quota) as fleet:
        for name in "abcdefghij"[:workers]:
            await fleet.join(name)
        await rounds(fleet, 60, ask_for_all)
        before = len(fleet.begun)
        await rounds(fleet, 600, ask_for_all)

        assert 9 * quota <= len(fleet.begun) - before <= 10 * quota


async def test_who_has_begun_nothing_gives_up_its_part_for_who_lacks_it_and_has_it_again_later(tmp_path: Path) -> None:
    async with Fleet(tmp_path, Book(), quota=60) as fleet:
        busy, idle = await fleet.join("a"), await fleet.join("b")
        await rounds(fleet, 3, lambda _: None)
        assert (busy.held(), idle.held()) == (16, 16)
        while busy.request():
            pass
        await rounds(fleet, 3, lambda fleet: fleet.workers["a"].request())
        assert (busy.held() > 0, idle.held()) == (True, 0)

        await rounds(fleet, 70, lambda _: None)
        assert (busy.held(), idle.held()) == (16, 16)


async def test_what_a_worker_that_died_held_is_to_be_had_again_a_minute_after_its_lease(tmp_path: Path) -> None:
    async with Fleet(tmp_path, Book(), quota=10) as fleet:
        first = await fleet.join("a")
        await first.exchange()
        await first.exchange()
        assert first.held() == 10
        first.close()
        late = await fleet.join("a")
        await rounds(fleet, 69, lambda _: None)
        assert late.held() == 0
        await rounds(fleet, 4, lambda _: None)
        assert late.held() == 10


async def test_who_leaves_takes_nothing_with_it_but_what_was_used(tmp_path: Path) -> None:
    async with Fleet(tmp_path, Book(), quota=10) as fleet:
        await fleet.join("a")
        await rounds(fleet, 3, lambda _: None)
        assert [fleet.workers["a"].request() for _ in range(3)] == [True] * 3
        await fleet.workers["a"].leave()
        assert not fleet.workers["a"].request()
        fleet.workers["a"].close()
        await fleet.join("a")
        await rounds(fleet, 3, lambda _: None)

        assert fleet.workers["a"].held() == 7


async def test_without_redis_a_worker_uses_what_it_holds_and_then_has_the_quota_as_its_own(tmp_path: Path) -> None:
    async with Fleet(tmp_path, Book(), quota=40) as fleet:
        one, two = await fleet.join("a"), await fleet.join("b")
        await rounds(fleet, 3, lambda _: None)
        assert one.held() == 16
        fleet.now += 1
        await one.exchange("Lost")
        assert [one.request() for _ in range(17)] == [True] * 16 + [False]
        fleet.now += LEASE_SECONDS
        await one.exchange("Lost")
        assert [one.request() for _ in range(40)] == [True] * 40

        await rounds(fleet, 3, lambda _: None)
        assert (one.request(), two.held()) == (False, 0), "what was begun meanwhile counts"
