"""Two workers of one pool, one Redis: breakers, quotas and probes are the fleet's, and without Redis calls go on."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.bench import Bench
from e2e.caller import Caller, Line
from e2e.providers import Control, Providers
from e2e.providers.ledger import fingerprint
from e2e.redis_server import RedisServer, run_redis
from e2e.working import (
    States,
    Worker,
    metric,
    metric_is,
    pool_manifest,
    ready,
    replace_secret,
    run_worker,
    seat_for,
    watched,
    write_files,
)

SECOND = "second"
QUESTION = "When are you open?"
ANSWER = "We are open from nine to five, Monday to Friday."
SERVICES = {"hearing": ("deepgram", "listen"), "chat": ("openai", "chat")}
# Longer than a forgotten lease lives, on two shared cores.
SHARED_SECONDS = 60.0
BREAKER = 'provider_breaker{provider="openai",role="Llm"}'
CLOSED, OPEN = 0, 2
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with run_redis(tmp_path) as running:
        yield running


@dataclass
class Fleet:
    """Two workers of one pool."""

    one: Worker
    two: Worker
    control: Control
    line: Line
    folder: Path

    @asynccontextmanager
    async def call(self, worker: Worker) -> AsyncIterator[Caller]:
        async with Caller(self.line, seat=seat_for(worker), gap_ms=60_000) as caller:
            await caller.listen()
            yield caller

    def rows(self, what: str, instance: str = "main") -> list[dict[str, Any]]:
        provider, service = SERVICES[what]
        return self.control.requests(provider, service, instance=instance)


Start = Callable[[dict[str, Any]], Fleet]


@pytest.fixture
def start(bench: Bench, providers: Providers, control: Control, redis: RedisServer, tmp_path: Path) -> Iterator[Start]:
    """Start two workers; what is given changes each first provider of a pair, by its name."""
    # All that callers say here is known: of two calls at once nobody has to recognise speech on two shared cores.
    control.set_script([QUESTION] * 100)
    with ExitStack() as stack:

        def both(firsts: dict[str, Any]) -> Fleet:
            workers = []
            for name in ("one", "two"):
                folder = tmp_path / name
                folder.mkdir()
                arguments = write_files(folder, bench, providers, name)
                (folder / "secrets/redis").mkdir()
                (folder / "secrets/redis/password").write_text(redis.password)
                agent = json.loads((folder / "agent.json").read_text())
                # Who hangs up holds a slot for a moment longer.
                agent["spec"]["worker"]["sessionsPerWorker"] = 6
                (folder / "agent.json").write_text(json.dumps(agent))
                (folder / "pool.json").write_text(json.dumps(pool(bench, providers, redis, firsts)))
                workers.append(stack.enter_context(run_worker(folder, arguments, name)))
            line = Line(bench.livekit.ws_url, bench.livekit.api_key, bench.livekit.api_secret)
            return Fleet(workers[0], workers[1], control, line, tmp_path)

        yield both


def pool(bench: Bench, providers: Providers, redis: RedisServer, firsts: dict[str, Any]) -> dict[str, Any]:
    manifest = pool_manifest(bench.livekit.ws_url, providers)
    spec = manifest["spec"]
    seconds = pool_manifest(bench.livekit.ws_url, providers.for_instance(SECOND))["spec"]["providers"]
    spec["providers"] = [
        *({**each, **firsts.get(each["name"], {})} for each in spec["providers"]),
        *({**each, "name": f"{each['name']}-{SECOND}", "priority": 200} for each in seconds),
    ]
    spec["routing"] = {"sticky": False}
    spec["redis"] = {"url": redis.url, "password": {"name": "redis", "key": "password"}}
    return manifest


async def shared(fleet: Fleet) -> None:
    for worker in (fleet.one, fleet.two):
        await ready(worker)
        await metric_is(worker, "shared_health", 1, within_seconds=SHARED_SECONDS)


def at_once(rows: list[dict[str, Any]]) -> int:
    """Return how many of these requests were under way at one moment."""
    moments = []
    for row in rows:
        ended = float("inf") if row["duration_ms"] is None else row["time_seconds"] + row["duration_ms"] / 1000
        moments += [(row["time_seconds"], 1), (ended, -1)]
    return max(itertools.accumulate(change for _, change in sorted(moments)), default=0)


def breaker_of(states: States, name: str) -> str | None:
    told = [state.providers for state in states.seen if state.providers is not None]
    return next((word.state.value for word in told[-1] if word.name == name), None) if told else None


@asynccontextmanager
async def breaker_seen(worker: Worker) -> AsyncIterator[set[float | None]]:
    """Look at a worker's breaker all the time, and note how it is."""
    seen: set[float | None] = set()

    async def look() -> None:
        while True:
            seen.add(await metric(worker, BREAKER))
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def test_a_breaker_that_one_worker_opens_is_open_at_the_other(start: Start) -> None:
    fleet = start({})
    await shared(fleet)
    fleet.control.break_service("openai", "chat", "throttled", retry_after_seconds=60)
    async with watched(fleet.two) as states:
        async with fleet.call(fleet.one) as caller:
            await caller.say(QUESTION, timeout_seconds=40)
        asked = len(fleet.rows("chat"))
        fleet.control.mend()
        await metric_is(fleet.two, BREAKER, OPEN)
        async with fleet.call(fleet.two) as caller:
            turn = await caller.say(QUESTION, timeout_seconds=40)
        async with asyncio.timeout(15):
            while breaker_of(states, "openai") != "Open":  # noqa: ASYNC110 - the next heartbeat tells
                await asyncio.sleep(0.1)

    assert asked >= 1
    assert len(fleet.rows("chat")) == asked, "it asked to be left alone for a minute"
    assert turn.agent_text == ANSWER
    assert states.seen[-1].shares_health is True


async def test_a_key_that_is_replaced_at_one_worker_is_used_there_whatever_the_other_is_refused(start: Start) -> None:
    rotated, old = fingerprint("rotated"), fingerprint("key-of-openai")
    fleet = start({})
    await shared(fleet)
    fleet.control.set_keys("openai", ["rotated"], instance="main")

    async def ask(worker: Worker) -> dict[str, str]:
        """Return with which keys the first of the pair was asked, and what it said."""
        before = len(fleet.rows("chat"))
        async with fleet.call(worker) as caller:
            assert (await caller.say(QUESTION, timeout_seconds=40)).agent_text == ANSWER
        return {row["key"]: row["outcome"] for row in fleet.rows("chat")[before:]}

    assert await ask(fleet.one) == {old: "unauthorized"}
    for worker in (fleet.one, fleet.two):
        await metric_is(worker, BREAKER, OPEN)
    replace_secret(fleet.folder / "one", "openai", "rotated")
    for worker in (fleet.one, fleet.two):
        await metric_is(worker, BREAKER, CLOSED, within_seconds=10)

    # The kubelet of the other one's node takes its time.
    async with breaker_seen(fleet.one) as seen:
        assert await ask(fleet.two) == {old: "unauthorized"}
        await metric_is(fleet.two, BREAKER, OPEN)
        # Both have talked to Redis once more by then.
        await asyncio.sleep(2)
    assert seen == {CLOSED}
    assert await ask(fleet.one) == {rotated: "ok"}
    replace_secret(fleet.folder / "two", "openai", "rotated")
    await metric_is(fleet.two, BREAKER, CLOSED, within_seconds=10)
    assert await ask(fleet.two) == {rotated: "ok"}


@pytest.mark.proof
async def test_a_quota_of_one_is_one_for_both_workers(start: Start) -> None:
    fleet = start({"deepgram": {"quota": {"concurrent": 1}}})
    await shared(fleet)
    texts: list[str | None] = []

    async def hold(worker: Worker) -> None:
        for _ in range(2):
            async with fleet.call(worker) as caller:
                texts.append((await caller.say(QUESTION, timeout_seconds=40)).agent_text)

    await asyncio.gather(*(hold(worker) for worker in (fleet.one, fleet.two)))
    first, second = fleet.rows("hearing"), fleet.rows("hearing", SECOND)
    print("first:", len(first), "second:", len(second), "at once:", at_once(first), at_once(second))

    assert texts == [ANSWER] * 4
    assert at_once(first) == 1
    assert at_once([*first, *second]) >= 2, "calls did not overlap, so there was nothing to see"


async def test_one_call_of_the_whole_fleet_probes(start: Start) -> None:
    fleet = start({"openai": {"breaker": {"openSeconds": 1, "maxOpenSeconds": 1}}})
    await shared(fleet)
    async with fleet.call(fleet.one) as one, fleet.call(fleet.two) as two:
        fleet.control.break_service("openai", "chat", "throttled", retry_after_seconds=3)
        await one.say(QUESTION, timeout_seconds=40)
        before = len(fleet.rows("chat"))
        fleet.control.mend()
        # Slow, so that two probes would be under way at once.
        fleet.control.break_service("openai", "chat", "slow", first_byte_ms=4_000)
        await asyncio.sleep(3.5)
        rounds: list[int] = []
        while not rounds or (rounds[-1] == before and len(rounds) < 10):
            turns = await asyncio.gather(*(caller.say(QUESTION, timeout_seconds=40) for caller in (one, two)))
            assert [turn.agent_text for turn in turns] == [ANSWER, ANSWER]
            rounds.append(len(fleet.rows("chat")))
        print("asked after each round:", before, rounds)

    assert rounds[-1] == before + 1


@pytest.mark.proof
async def test_redis_that_dies_in_the_middle_of_a_call_is_seen_and_costs_it_nothing(
    start: Start, redis: RedisServer
) -> None:
    fleet = start({"deepgram": {"quota": {"concurrent": 1}}})
    await shared(fleet)
    async with watched(fleet.one) as states, fleet.call(fleet.one) as caller:
        turns = [await caller.say(QUESTION, timeout_seconds=40)]
        redis.kill()
        await metric_is(fleet.one, "shared_health", 0)
        turns.append(await caller.say(QUESTION, timeout_seconds=40))
        # Until leases have run out, and each worker decides alone.
        await asyncio.sleep(12)
        turns.append(await caller.say(QUESTION, timeout_seconds=40))
        async with fleet.call(fleet.two) as other:
            turns.append(await other.say(QUESTION, timeout_seconds=40))
        redis.start()
        await shared(fleet)
        turns.append(await caller.say(QUESTION, timeout_seconds=40))
    print(caller.report().as_text())

    assert [turn.agent_text for turn in turns] == [ANSWER] * 5
    assert caller.report().cuts == ()
    told = [key for key, _ in itertools.groupby(state.shares_health for state in states.seen)]
    assert told[-3:] == [True, False, True]
    messages = [record["message"] for record in fleet.one.records()]
    assert (messages.count("Redis is away"), messages.count("Redis is back")) == (1, 1)
    assert redis.password not in fleet.one.log.read_text()
