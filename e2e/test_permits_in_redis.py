"""Permits of a quota of a minute, as a real Redis gives them, by a clock that the test moves."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from e2e.redis_server import RedisServer, run_redis
from tests.support.permits import HEARD, NAMES, NOW, Fleet, Step, happenings, play, rounds
from voicefleet.names import health_key
from voicefleet.providers.permits import MinuteWord
from voicefleet.providers.sharing import Figures
from voicefleet_worker.sharing.ledger import Ask, Picture, RedisLedger, Told
from voicefleet_worker.sharing.script import EXCHANGE

KEY = health_key("e2e", "default")
CLOCK = "clock"
BY_OUR_CLOCK = EXCHANGE.replace("redis.call('TIME')", f"redis.call('LRANGE', '{CLOCK}', 0, 1)")
QUOTA = 5


class Store:
    """A real Redis, to which many workers speak over one connection."""

    def __init__(self, client: Redis) -> None:
        self.client = client

    async def forget(self, *, settled: bool = True) -> None:
        await self.client.delete(KEY)
        if settled:
            await self.client.hset(KEY, "since", "1")

    async def exchange(self, worker: str, turn: int, asks: Sequence[Ask], now: float) -> Picture:
        return await (await self._line(worker, turn, now)).exchange(asks)

    async def leave(self, worker: str, turn: int, asks: Sequence[Ask], now: float) -> None:
        await (await self._line(worker, turn, now)).leave(asks)

    async def _line(self, worker: str, turn: int, now: float) -> RedisLedger:
        await self.client.delete(CLOCK)
        await self.client.rpush(CLOCK, str(int(now)), str(round(now % 1 * 1e6)))
        ledger = RedisLedger(self.client, KEY, worker, turn=lambda: turn)
        ledger._script = self.client.register_script(BY_OUR_CLOCK)
        return ledger


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with run_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[Store]:
    async with server.async_client() as client:
        store = Store(client)
        await store.forget()
        yield store


class Worker:
    """A worker that says by hand what it has."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name, self.turn = store, name, 0

    async def says(self, at: float, *, turn: int | None = None, **word: int) -> Told:
        self.turn += 1
        asks = [Ask("llm", Figures(), minute=MinuteWord(QUOTA, **word))]  # type: ignore[arg-type]
        return (await self.store.exchange(self.name, turn or self.turn, asks, NOW + at)).told[0]


async def test_permits_are_given_as_far_as_the_quota_goes_and_again_a_minute_after_their_use(store: Store) -> None:
    one, two = Worker(store, "one"), Worker(store, "two")
    assert (await one.says(0, wanted=3)).permits == 3
    assert (await two.says(0, wanted=9)).permits == 2
    told = await one.says(1.999, used=3, wanted=3)
    assert (told.permits, told.minute.used, told.minute.held) == (0, 3, 2)

    given = {at: (await one.says(at, used=3, wanted=3)).permits for at in (9, 30, 60, 61.998)}
    assert set(given.values()) == {0}
    assert (await one.says(62.0, used=3, wanted=3)).permits == 3


async def test_what_a_worker_said_before_is_not_heard_after_what_it_said_later(store: Store) -> None:
    one, two = Worker(store, "one"), Worker(store, "two")
    await one.says(0, wanted=4)
    await one.says(1, held=4, wanted=4)
    late = await one.says(2, turn=1, wanted=4)

    assert late.permits == 0
    assert (await two.says(2, wanted=5)).permits == 1


async def test_an_answer_that_is_lost_costs_no_permit(store: Store) -> None:
    one = Worker(store, "one")
    for at in range(3):
        assert (await one.says(at, wanted=5)).permits == 5


async def test_what_a_worker_held_that_is_not_heard_any_more_counts_as_used_at_its_end(store: Store) -> None:
    one, two = Worker(store, "one"), Worker(store, "two")
    await one.says(0, wanted=3)
    for at in range(9, 70, 5):
        assert (await two.says(at, held=2 * (at > 9), wanted=5)).permits == 2 * (at == 9)
    told = await two.says(75, held=2, wanted=5)

    assert (told.permits, told.minute.used, told.minute.held) == (3, 0, 5)


async def test_who_leaves_takes_nothing_with_it_but_what_was_used(store: Store) -> None:
    one, two = Worker(store, "one"), Worker(store, "two")
    await one.says(0, wanted=5)
    await store.leave("one", 2, [Ask("llm", Figures(), minute=MinuteWord(QUOTA, used=2))], NOW + 1)

    assert (await two.says(1, wanted=5)).permits == 3
    assert await store.client.hget(KEY, "permits:one") is None


async def test_who_lacks_permits_is_counted_among_the_others(store: Store) -> None:
    one, two = Worker(store, "one"), Worker(store, "two")
    assert (await one.says(0, lacks=1)).minute.others_lacking == 0
    assert (await two.says(0, lacks=1)).minute.others_lacking == 1
    assert (await one.says(1)).minute.others_lacking == 1
    assert (await two.says(1)).minute.others_lacking == 0


async def test_a_redis_that_has_lost_its_data_counts_what_workers_have_begun_lately(store: Store) -> None:
    await store.forget(settled=False)
    one, two = Worker(store, "one"), Worker(store, "two")
    assert (await one.says(0, recent=1, used=70, held=2, wanted=5)).permits == 0
    for at in (5, 9):
        assert (await one.says(at, used=70, held=2, wanted=5)).permits == 0
        assert (await two.says(at, wanted=5)).permits == 0

    assert (await two.says(10, wanted=5)).permits == 2


async def test_requests_of_a_moment_to_come_count_for_a_minute_from_now(store: Store) -> None:
    """Another Redis has taken over, whose clock is an hour behind."""
    one = Worker(store, "one")
    await one.says(3600, wanted=5)
    await one.says(3601, used=5)
    given = {at: (await one.says(at, used=5, wanted=5)).permits for at in (0, 9, 18, 27, 36, 45, 54, 60)}

    assert set(given.values()) == {0}
    assert (await one.says(61, used=5, wanted=5)).permits == 5


async def test_a_pool_without_such_a_quota_leaves_nothing_of_it_in_redis(store: Store) -> None:
    await store.exchange("one", 1, [Ask("llm", Figures())], NOW)

    assert set(await store.client.hkeys(KEY)) == {"since", "workers", "totals", "word:one"}


async def test_one_busy_worker_of_four_has_nine_tenths_of_the_quota(store: Store, tmp_path: Path) -> None:
    def ask_for_all(fleet: Fleet) -> None:
        while fleet.workers["a"].request():
            pass

    async with Fleet(tmp_path, store, quota=60) as fleet:
        for name in "abcd":
            await fleet.join(name)
        await rounds(fleet, 60, ask_for_all)
        before = len(fleet.begun)
        await rounds(fleet, 300, ask_for_all)

        assert 270 <= len(fleet.begun) - before <= 300


@example(9, [HEARD, ("Requests", NAMES), HEARD, ("Pass", NAMES), HEARD, ("Requests", NAMES)])
@example(9, [("Pass", "b"), ("Requests", "a"), ("Pass", "b"), HEARD, ("Requests", "b")])
@example(9, [("Requests", "b"), ("Die", "b"), ("Pass", "a"), ("Requests", "a")])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 20), st.lists(happenings, max_size=40))
def test_no_60_seconds_see_more_requests_than_the_quota_has(server: RedisServer, quota: int, steps: list[Step]) -> None:
    """Words are lost and come late, calls begin in bursts, workers stand still, die and go: never one too many."""

    async def run(folder: Path) -> None:
        async with server.async_client() as client:
            store = Store(client)
            await store.forget()
            async with Fleet(folder, store, quota) as fleet:
                await play(fleet, steps)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))
