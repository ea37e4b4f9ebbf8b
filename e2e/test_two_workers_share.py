"""Two workers' boards, leases and calls over a real Redis, without the sound of a conversation round them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from e2e.redis_server import RedisServer, run_redis
from voicefleet.api.providerpool.connections import Redis as RedisSpec
from voicefleet.api.providerpool.providers import Breaker as Policy
from voicefleet.api.providerpool.providers import Provider, Quota
from voicefleet.api.providerpool.spec import RoutingPolicy
from voicefleet.api.references import SecretKeyRef
from voicefleet.api.voiceagent.records import Transcript
from voicefleet.names import health_key
from voicefleet.providers.breaker import State
from voicefleet.providers.lineup import Lineup, ProviderPlan
from voicefleet.providers.routing import Need
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.desk.reports import Reporter, open_reports
from voicefleet_worker.failover.board import BoardReader, HealthBoard
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.failover.leases import HeldLeases, TakenLeases
from voicefleet_worker.failover.switch import Attempt, Switch
from voicefleet_worker.records.journal import Journal
from voicefleet_worker.records.notebook import Notebook
from voicefleet_worker.sharing.ledger import RedisAccess
from voicefleet_worker.sharing.sharer import sharing

KEY = health_key("e2e", "default")


def plan(provider: Provider) -> ProviderPlan:
    return ProviderPlan(provider, "Llm", None, None, (), "en", timeout_seconds=1, stall_seconds=1, retries=0)


class Model:
    """What is asked is not said here."""

    def on(self, event: str, callback: Callable[..., None]) -> None:
        """Never fail by itself."""


QUICK = Policy(failures=3, failure_fraction=0, open_seconds=1, max_open_seconds=1)
FIRST = plan(Provider(name="first", role="Llm", plugin="openai", quota=Quota(concurrent=2), breaker=QUICK))
SECOND = plan(Provider(name="second", role="Llm", plugin="openai"))
PACED = plan(Provider(name="paced", role="Llm", plugin="openai", quota=Quota(requests_per_minute=10)))
LINEUP = Lineup(Need("Llm", "en"), RoutingPolicy(sticky=False), (FIRST, SECOND), "first")
PACED_LINEUP = Lineup(Need("Llm", "en"), RoutingPolicy(), (PACED, SECOND), "paced")
# More than a lease lives.
SECONDS = 25.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with run_redis(tmp_path) as running:
        with running.client() as client:
            # As if it had been there for long.
            client.hset(KEY, "since", 1)
        (tmp_path / "secrets/redis").mkdir(parents=True)
        (tmp_path / "secrets/redis/password").write_text(running.password)
        yield running


class Worker:
    """The part of a worker that knows of providers, and its calls."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.providers = [plan.provider for plan in (*LINEUP.plans, PACED)]
        self.board = HealthBoard(folder / "health", self.providers)
        self.leases = HeldLeases(folder / "leases", self.providers)
        self.shares: list[bool] = []
        self._taken: list[TakenLeases] = []
        self._calls: list[Reporter] = []

    @asynccontextmanager
    async def running(self, server: RedisServer) -> AsyncIterator[None]:
        secrets = SecretFiles(server.folder / "secrets")
        password = SecretKeyRef(name="redis", key="password")
        access = RedisAccess(RedisSpec(url=server.url, password=password), secrets, KEY)
        with open_reports(self.folder, lambda _: None, self.board.learn):
            async with sharing(lambda: access.connect(self.folder.name), self.board, self.leases, self.shares.append):
                yield
                for reporter in self._calls:
                    await reporter.say_farewell()
        for taken in self._taken:
            taken.close()
        self.leases.close()
        self.board.close()

    def call(self, lineup: Lineup = LINEUP) -> Switch[Model]:
        self._taken.append(TakenLeases.open(self.leases.path, self.providers))
        self._calls.append(Reporter(f"AJ_{len(self._calls)}", self.folder / "reports"))
        reader = BoardReader.open(self.board.path)
        health = CallHealth(
            lineup.plans, self._calls[-1], Notebook(Journal(None), Transcript()), reader, self._taken[-1]
        )
        return Switch(lineup, health, lambda _: Model())

    @property
    def state(self) -> State:
        return self.board.entries()["first"].state


Workers = tuple[Worker, Worker]


@pytest.fixture
async def workers(server: RedisServer, tmp_path: Path) -> AsyncIterator[Workers]:
    both = await asyncio.to_thread(lambda: (Worker(tmp_path / "one"), Worker(tmp_path / "two")))
    async with AsyncExitStack() as stack:
        for worker in both:
            await stack.enter_async_context(worker.running(server))
        await until(lambda: all(worker.shares[-1] for worker in both))
        await until(lambda: all(worker.leases.held("first") == 1 for worker in both))
        yield both


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


def finish(call: Switch[Model], attempt: Attempt[Model], error: Exception | None = None) -> None:
    if error is None:
        call.succeed(attempt)
    else:
        call.fail(attempt, error)
    call.release(attempt)


async def test_leases_move_to_the_worker_whose_calls_lack_them_and_are_never_too_many(workers: Workers) -> None:
    one, two = workers
    calls = [one.call() for _ in range(3)]
    attempts = [call.begin(()) for call in calls]
    assert [attempt.name for attempt in attempts] == ["first", "second", "second"]

    await until(lambda: one.leases.held("first") == 2)
    assert two.leases.held("first") == 0
    assert two.call().begin(()).name == "second"
    assert one.call().begin(()).name == "first"
    finish(calls[0], attempts[0])
    # The call of the other worker that was refused has its turn.
    await until(lambda: two.leases.held("first") == 1)
    assert one.leases.held("first") == 1
    assert two.call().begin(()).name == "first"
    assert one.call().begin(()).name == "second"


async def test_calls_of_both_that_begin_at_once_keep_to_a_quota_of_a_minute(workers: Workers) -> None:
    await until(lambda: all(worker.leases.permits.keep("paced", 10) == 5 for worker in workers))
    asked = Counter(worker.call(PACED_LINEUP).begin(()).name for worker in workers for _ in range(10))
    assert asked == {"paced": 10, "second": 10}

    # Meanwhile both have told of it, and lack permits.
    await asyncio.sleep(2)
    assert {worker.call(PACED_LINEUP).begin(()).name for worker in workers} == {"second"}


async def test_failures_of_both_workers_open_it_for_both(workers: Workers) -> None:
    one, two = workers
    for failures, worker in enumerate((one, two, one)):
        await until(lambda known=failures: {seen(each) for each in workers} == {known})  # type: ignore[misc]
        call = worker.call()
        finish(call, call.begin(()), ConnectionError("down"))
    await until(lambda: {worker.state for worker in workers} == {State.OPEN})

    assert two.call().begin(()).name == "second"


def seen(worker: Worker) -> int:
    known = worker.board.known["first"]
    return known.breaker.window.all_failures + known.elsewhere.counts.failures


async def test_one_of_two_workers_probes_and_both_learn_how_it_went(workers: Workers) -> None:
    one, two = workers
    calls = [one.call(), two.call()]
    for _ in range(3):
        finish(calls[0], calls[0].begin(()), ConnectionError("down"))
    await until(lambda: {worker.state for worker in workers} == {State.OPEN})
    await asyncio.sleep(1.1)

    probes: list[tuple[Switch[Model], Attempt[Model]]] = []
    for _ in range(100):
        for call in calls:
            attempt = call.begin(())
            if attempt.name == "first":
                probes.append((call, attempt))
            else:
                finish(call, attempt)
        await asyncio.sleep(0.02)
    assert len(probes) == 1
    assert {worker.state for worker in workers} == {State.HALF_OPEN}

    finish(*probes[0])
    await until(lambda: {worker.state for worker in workers} == {State.CLOSED})
    assert [call.begin(()).name for call in calls] == ["first", "first"]


async def test_without_redis_each_worker_has_the_quota_and_shares_again_when_it_is_back(
    workers: Workers, server: RedisServer
) -> None:
    one, two = workers
    await asyncio.to_thread(server.kill)
    await until(lambda: not any(worker.shares[-1] for worker in workers))
    assert [worker.call().begin(()).name for worker in workers] == ["first", "first"], "they keep what they hold"
    assert [worker.call().begin(()).name for worker in workers] == ["second", "second"]
    await until(lambda: all(worker.leases.held("first") == 2 for worker in workers))
    call = one.call()
    attempt = call.begin(())
    assert (attempt.name, two.leases.held("first")) == ("first", 2)

    await asyncio.to_thread(server.start)
    await until(lambda: all(worker.shares[-1] for worker in workers))
    # Three are in use, one more than there are; what is not in use is nobody's.
    await until(lambda: two.leases.held("first") == 1)
    assert (one.leases.held("first"), two.call().begin(()).name) == (2, "second")
    finish(call, attempt)
    await until(lambda: one.leases.held("first") == 1)
