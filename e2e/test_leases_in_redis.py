"""What workers tell each other over a real Redis: sums that hold, leases that end, one probe, the newest breaker."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from e2e.redis_server import RedisServer, run_redis
from voicefleet.names import health_key
from voicefleet.providers.sharing import Counts, Figures, Record
from voicefleet_worker.sharing.ledger import Ask, AwayError, Picture, ProbeWish, RedisLedger

KEY = health_key("e2e", "default")
# Ten in the product; here the clock is a real one.
LEASE_SECONDS = 0.3
QUOTA = 5
OLD, NEW = Record(1000, 1, 2000, 1, 1), Record(1001, 2, 2000, 1, 1)
Line = Callable[..., RedisLedger]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with run_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def line(server: RedisServer) -> AsyncIterator[Line]:
    """Open lines to a Redis in which every worker has had the time to say its word."""
    opened: list[RedisLedger] = []

    def open_line(worker: str, lease_seconds: float = LEASE_SECONDS) -> RedisLedger:
        opened.append(RedisLedger(server.async_client(), KEY, worker, lease_seconds=lease_seconds))
        return opened[-1]

    forget(server)
    yield open_line
    for each in opened:
        await each.aclose()


def forget(server: RedisServer, *, settled: bool = True) -> None:
    with server.client() as client:
        client.delete(KEY)
        if settled:
            client.hset(KEY, "since", 1)


def ask(held: int = 0, wanted: int = 0, **more: object) -> Ask:
    counts = Counts(held=held, **{k: v for k, v in more.items() if k in Counts._fields})  # type: ignore[arg-type]
    rest = {k: v for k, v in more.items() if k not in Counts._fields}
    return Ask("llm", Figures(counts), quota=QUOTA, wanted=wanted, **rest)  # type: ignore[arg-type]


def granted(picture: Picture) -> int:
    return picture.told[0].granted


async def test_leases_are_given_as_far_as_the_quota_goes(line: Line) -> None:
    one, two = line("one"), line("two")

    assert granted(await one.exchange([ask(wanted=3)])) == 3
    assert granted(await two.exchange([ask(wanted=3)])) == 2
    picture = await one.exchange([ask(held=1, wanted=1)])
    assert (picture.workers, picture.told[0].fleet.counts.held) == (2, 3)
    assert granted(await two.exchange([ask(held=2, wanted=9)])) == 2


async def test_a_worker_that_is_not_heard_any_more_holds_nothing(line: Line) -> None:
    one, two = line("one"), line("two")
    await one.exchange([ask(wanted=5, in_use=5)])
    assert granted(await two.exchange([ask(wanted=5)])) == 0
    await asyncio.sleep(LEASE_SECONDS)

    picture = await two.exchange([ask(wanted=5)])

    assert (granted(picture), picture.workers) == (5, 1)
    assert picture.told[0].fleet.counts.in_use == 0
    # It comes back with calls that went on: that is how it is, and there is nothing more to be had.
    late = await one.exchange([ask(held=2, wanted=4)])
    assert (granted(late), late.told[0].fleet.counts.held) == (0, 7)


async def test_who_leaves_leaves_its_leases_at_once(line: Line, server: RedisServer) -> None:
    one, two = line("one"), line("two")
    await one.exchange([ask(wanted=5)])
    await one.leave()

    assert granted(await two.exchange([ask(wanted=5)])) == 5
    await two.leave()
    with server.client() as client:
        assert client.hkeys(KEY) == ["since"]
        assert 0 < int(client.ttl(KEY)) <= 86_400


async def test_a_redis_that_has_forgotten_everything_gives_nothing_until_all_have_spoken(
    line: Line, server: RedisServer
) -> None:
    one, two = line("one"), line("two")
    forget(server, settled=False)
    first = await two.exchange([ask(wanted=5)])
    await one.exchange([ask(held=4, wanted=4)])
    await asyncio.sleep(LEASE_SECONDS)
    # Who held leases before has renewed them meanwhile.
    await one.exchange([ask(held=4, wanted=4)])
    later = await two.exchange([ask(wanted=5)])

    assert (first.is_settled, granted(first)) == (False, 0)
    assert (later.is_settled, granted(later)) == (True, 1)


async def test_one_worker_at_a_time_may_probe(line: Line) -> None:
    one, two = line("one"), line("two")

    async def may(which: RedisLedger, wish: ProbeWish) -> bool:
        return (await which.exchange([ask(probe=wish)])).told[0].may_probe

    assert await may(one, ProbeWish.WANTED)
    assert not await may(two, ProbeWish.WANTED)
    assert await may(one, ProbeWish.HELD)
    assert not await may(two, ProbeWish.WANTED)
    assert not await may(one, ProbeWish.NONE)
    assert await may(two, ProbeWish.WANTED)


async def test_of_breakers_the_newest_is_everybodys(line: Line) -> None:
    one, two = line("one"), line("two")
    for told, known in ((None, None), (OLD, OLD), (NEW, NEW), (OLD, NEW), (None, NEW)):
        assert (await one.exchange([ask(breaker=told)])).told[0].breaker == known
    assert (await two.exchange([ask()])).told[0].breaker == NEW


HOUR = 3_600_000
FAR = 4_000_000_000_000


@pytest.mark.parametrize("known", [f"[{FAR}, 0, 0, 0, 0]", f"[1000, 1, {FAR}, 1, 1]", "{", "[]", "7"])
async def test_a_breaker_of_a_moment_to_come_keeps_nobody_from_what_is_newer(
    line: Line, server: RedisServer, known: str
) -> None:
    """Another Redis has taken over, whose clock is behind, or somebody else has written there."""
    one = line("one")
    with server.client() as client:
        client.hset(KEY, "breaker:llm", known)

    assert (await one.exchange([ask()])).told[0].breaker is None
    assert (await one.exchange([ask(breaker=NEW)])).told[0].breaker == NEW
    # What a worker said before the clock was set back is its own business.
    assert (await one.exchange([ask(breaker=NEW._replace(since=FAR))])).told[0].breaker == NEW


async def test_who_died_before_the_clock_was_set_back_holds_nothing_and_probes_nobody(
    line: Line, server: RedisServer
) -> None:
    one, two = line("one"), line("two")
    await one.exchange([ask(wanted=5, probe=ProbeWish.WANTED)])
    with server.client() as client:
        late = int(client.time()[0]) * 1000 + HOUR
        client.hset(KEY, mapping={"workers": f'{{"one":{late}}}', "probe:llm": f'["one",{late}]', "since": late})

    first = await two.exchange([ask(wanted=5)])
    await asyncio.sleep(LEASE_SECONDS)
    later = await two.exchange([ask(wanted=5, probe=ProbeWish.WANTED)])

    assert (first.is_settled, first.workers) == (False, 1)
    assert (granted(later), later.told[0].may_probe) == (5, True)


async def test_counts_and_latencies_add_up_and_go_with_their_worker(line: Line) -> None:
    one, two = line("one"), line("two")
    slow, fast = Figures(latency=(0,) * 38 + (7,)), Figures(Counts(tokens=10, requests=1), (2,) + (0,) * 38)
    for _ in range(3):
        await one.exchange([Ask("tts", slow)])
        await two.exchange([Ask("tts", fast)])
    both = await two.exchange([Ask("tts", fast)])
    assert both.told[0].fleet == Figures(Counts(tokens=10, requests=1), (2,) + (0,) * 37 + (7,))

    await one.leave()

    assert (await two.exchange([Ask("tts", fast)])).told[0].fleet == fast


turns = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["ask", "die", "leave"]), st.integers(0, 7)), max_size=25
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns)
def test_whatever_workers_do_no_more_is_held_than_the_quota_has(
    server: RedisServer, turns: list[tuple[str, str, int]]
) -> None:
    """Workers take, give back, go, and die without a word, whose leases then stay held for a while."""
    forget(server)

    async def play() -> None:
        held: dict[str, int] = {}
        names = {each: each for each in "abcd"}
        for who, what, wanted in turns:
            ledger = RedisLedger(server.async_client(), KEY, names[who])
            if what == "ask":
                kept = min(held.get(names[who], 0), wanted)
                picture = await ledger.exchange([ask(held=kept, wanted=wanted)])
                held[names[who]] = kept + granted(picture)
                assert picture.told[0].fleet.counts.held == sum(held.values())
            elif what == "leave":
                await ledger.leave()
                held.pop(names[who], None)
            else:
                names[who] += "'"
            await ledger.aclose()
            assert sum(held.values()) <= QUOTA

    asyncio.run(play())


async def test_no_secret_is_in_what_is_said_of_a_redis_that_cannot_be_asked(server: RedisServer) -> None:
    wrong = RedisLedger(server.async_client(password="not-the-password"), KEY, "one")
    with pytest.raises(AwayError) as refused:
        await wrong.exchange([ask()])
    await wrong.aclose()

    assert str(refused.value) == "AuthenticationError"
