"""What one call learns of a provider, the next one knows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.worker.failover.scripted import lineup, unread
from voicefleet.providers.breaker import Cause, Outcome, State
from voicefleet.providers.lineup import Lineup
from voicefleet.providers.routing import Candidate
from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.desk.reports import ProviderNews, ReportBox, Reporter
from voicefleet_worker.failover import board as boards
from voicefleet_worker.failover.board import _BOARD_BYTES as BOARD_BYTES
from voicefleet_worker.failover.board import BoardReader, HealthBoard
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.provider_metrics import ProviderCollector

NOW = 1000.0
PROVIDERS: Lineup = lineup("Llm", "a", "b")


class Worker:
    """A worker's board, and calls that tell it what they learn."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self._reporters: list[Reporter] = []
        self.board = HealthBoard(folder / "health", [p.provider for p in PROVIDERS.plans], clock=self.clock)
        self.reader = BoardReader.open(self.board.path)
        self.box = ReportBox(folder, lambda _: None, self.board.learn)

    def clock(self) -> float:
        # Like a real one it never shows the same moment twice.
        self.now += 0.0001
        return self.now

    def call(self, job_id: str) -> CallHealth:
        self.box.read()
        reporter = Reporter(job_id, self.box.address)
        self._reporters.append(reporter)
        return CallHealth(PROVIDERS.plans, reporter, unread(), self.reader, clock=self.clock)

    async def close(self) -> None:
        for reporter in self._reporters:
            await reporter.say_farewell()
            self.box.read()
        self.box.close()
        self.board.close()


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    worker = await asyncio.to_thread(Worker, tmp_path)
    yield worker
    await worker.close()


def seen(health: CallHealth, name: str = "a") -> Candidate:
    return next(candidate for candidate in health.candidates(PROVIDERS) if candidate.name == name)


def refuse(worker: Worker, health: CallHealth, cause: Cause = Cause.CREDENTIALS) -> None:
    at = worker.clock()
    health.begin("a", at)
    health.learn("a", Outcome(at, cause))
    health.release("a")


async def test_what_a_request_came_to_is_told_as_a_kind_of_error_and_nothing_that_a_provider_wrote(
    worker: Worker,
) -> None:
    health = worker.call("AJ_1")
    health.note_problem("a", "APIStatusError 503")
    health.note_problem("b", "Secret voice/b is no header: 'sk-live-1234'")
    worker.box.read()

    a, b = worker.board.words()
    assert (a.problem, b.problem) == ("APIStatusError 503", "")
    assert NOW < a.problem_at < worker.now


def test_whom_an_image_has_no_plugin_for_is_told_of(tmp_path: Path) -> None:
    board = HealthBoard(tmp_path / "health", [p.provider for p in PROVIDERS.plans], missing=["c"])
    with closing(board):
        told = {word.name: word.is_missing for word in board.words()}
        assert told == {"a": False, "b": False, "c": True}
        assert set(board.entries()) == {"a", "b"}


async def test_what_breaks_for_one_call_is_broken_for_the_next(worker: Worker) -> None:
    refuse(worker, worker.call("AJ_1"))
    worker.box.read()

    assert seen(worker.call("AJ_2")).breaker.state is State.OPEN
    assert seen(worker.call("AJ_2"), "b").breaker.state is State.CLOSED


async def test_which_key_was_refused_is_told_with_it(worker: Worker) -> None:
    health = worker.call("AJ_1")
    at = worker.clock()
    health.begin("a", at)
    health.learn("a", Outcome(at, Cause.CREDENTIALS, key=7))
    worker.box.read()

    assert worker.board.known["a"].breaker.refused_key == 7


async def test_failures_of_several_calls_add_up(worker: Worker) -> None:
    for number in range(5):
        refuse(worker, worker.call(f"AJ_{number}"), Cause.FAILURES)
    worker.box.read()

    assert seen(worker.call("AJ_9")).breaker.state is State.OPEN


async def test_a_call_trusts_what_it_has_seen_itself_although_nobody_heard_of_it(worker: Worker) -> None:
    health = worker.call("AJ_1")
    refuse(worker, health)

    assert seen(health).breaker.state is State.OPEN


async def test_who_is_well_again_for_one_is_so_for_all(worker: Worker) -> None:
    first, second = worker.call("AJ_1"), worker.call("AJ_2")
    refuse(worker, first)
    worker.box.read()
    worker.now += 301
    at = worker.clock()
    second.begin("a", at)
    worker.box.read()
    second.learn("a", Outcome(at))
    worker.box.read()

    assert seen(first).breaker.state is State.CLOSED


async def test_while_one_call_finds_out_the_others_wait(worker: Worker) -> None:
    refuse(worker, worker.call("AJ_1"))
    worker.box.read()
    worker.now += 301
    worker.call("AJ_2").begin("a", worker.clock())
    worker.box.read()

    assert not seen(worker.call("AJ_3")).breaker.admits(worker.now)


async def test_who_finds_out_and_is_interrupted_leaves_it_to_the_next(worker: Worker) -> None:
    refuse(worker, worker.call("AJ_1"))
    worker.box.read()
    worker.now += 301
    second = worker.call("AJ_2")
    at = worker.clock()
    second.begin("a", at)
    second.call_off("a", at)
    second.release("a")

    assert seen(worker.call("AJ_3")).breaker.admits(worker.now)


async def test_streams_in_use_are_those_of_all_calls_and_go_with_them(worker: Worker) -> None:
    for number in range(3):
        worker.call(f"AJ_{number}").begin("a", worker.clock())
    worker.box.read()
    assert seen(worker.call("AJ_9")).in_use == 3

    worker.board.end(["AJ_0", "AJ_1"])

    assert seen(worker.call("AJ_9")).in_use == 1
    assert seen(worker.call("AJ_9")).begun_last_minute == 3


async def test_latencies_of_all_calls_are_one(worker: Worker) -> None:
    for seconds in (0.2, 0.3, 0.4):
        worker.call("AJ_1").learn("a", Outcome(NOW), seconds)
    worker.box.read()

    assert seen(worker.call("AJ_2")).typical_seconds == pytest.approx(0.3, rel=0.1)


async def test_tokens_of_all_calls_are_counted(worker: Worker) -> None:
    for number in range(3):
        worker.call(f"AJ_{number}").use_tokens("a", 700)
    worker.box.read()

    assert seen(worker.call("AJ_9")).tokens_last_minute == 2100


async def test_the_worker_says_what_it_has_seen_and_nothing_of_it_falls(worker: Worker) -> None:
    first, second = worker.call("AJ_1"), worker.call("AJ_2")
    first.begin("a", NOW + 1)
    first.learn("a", Outcome(NOW + 1), 0.25)
    second.begin("a", NOW + 2, stands_in=True)
    second.learn("a", Outcome(NOW + 2, Cause.CREDENTIALS))
    second.release("a")
    worker.box.read()

    word = next(word for word in worker.board.words() if word.name == "a")
    assert (word.state, word.cause, word.in_use) == (State.OPEN, Cause.CREDENTIALS, 1)
    assert (word.requests, word.errors, sum(word.latency), word.latency[2]) == (2, 1, 1, 1)
    assert word.since == pytest.approx(worker.now, abs=1)
    worker.board.end(["AJ_1", "AJ_2"])
    after = next(word for word in worker.board.words() if word.name == "a")
    assert (after.in_use, after.requests, after.errors) == (0, 2, 1)


async def test_metrics_name_provider_and_role_and_nothing_else(worker: Worker) -> None:
    call = worker.call("AJ_1")
    call.begin("a", NOW + 1, stands_in=True)
    call.use_tokens("a", 9)
    call.learn("a", Outcome(NOW + 1, Cause.CREDENTIALS))
    worker.box.read()
    desk = Desk(slots=2, identity=Identity("r1"), clock=lambda: NOW)
    registry = CollectorRegistry()
    registry.register(ProviderCollector(worker.board, desk))

    def sample(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"voicefleet_worker_{name}", labels)

    a = {"provider": "a", "role": "Llm"}
    named = ("attempts_total", "failures_total", "failovers_total", "tokens_total", "breaker", "in_use")
    assert [sample(f"provider_{name}", **a) for name in named] == [1, 1, 1, 9, 2, 1]
    assert sample("provider_breaker", provider="b", role="Llm") == 0
    assert sample("shared_health") is None
    desk.share_health(False)
    assert sample("shared_health") == 0
    desk.share_health(True)
    assert sample("shared_health") == 1


async def test_a_provider_that_nobody_knows_is_not_learned_of(worker: Worker) -> None:
    worker.board.learn(ProviderNews(job_id="AJ_1", provider="other", in_use=1))

    assert worker.board.entries().keys() == {"a", "b"}


@pytest.mark.parametrize("text", [b"", b"{", b"x" * 70_000])
def test_a_board_that_is_none_is_read_as_an_empty_one(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "health"
    path.write_bytes(text)

    assert not BoardReader.open(path).entries()
    assert not BoardReader.open(tmp_path / "not there").entries()


def test_who_reads_while_it_is_written_goes_by_what_was_there_before(tmp_path: Path) -> None:
    board = HealthBoard(tmp_path / "health", [plan.provider for plan in PROVIDERS.plans])
    reader = BoardReader.open(board.path)
    board.learn(ProviderNews(job_id="AJ_1", provider="a", in_use=7))
    assert reader.entries()["a"].in_use == 7

    memory = board._memory
    memory[:8] = (int.from_bytes(memory[:8], "little") ^ (1 << 40)).to_bytes(8, "little")

    assert reader.entries()["a"].in_use == 7
    board.close()


async def test_a_board_has_its_room_on_the_disk_from_the_first_moment(worker: Worker) -> None:
    """On a disk that is full by then the kernel kills whoever writes to the board, and all calls with it."""
    taken_bytes = (await asyncio.to_thread(worker.board.path.stat)).st_blocks * 512

    assert taken_bytes >= BOARD_BYTES


async def test_news_of_one_provider_cost_no_more_in_a_large_pool_and_what_ages_is_seen_to_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, reckoned = [NOW], list[str]()
    many = [each.provider for each in lineup("Llm", *(f"p{number}" for number in range(64))).plans]
    board = await asyncio.to_thread(HealthBoard, tmp_path / "health", many, clock=lambda: now[0])
    reader = await asyncio.to_thread(BoardReader.open, board.path)
    entry_of = boards._entry
    monkeypatch.setattr(boards, "_entry", lambda known, at: reckoned.append(known.provider.name) or entry_of(known, at))
    for number in range(100):
        board.learn(ProviderNews(job_id="AJ_1", provider="p1", in_use=number, begun=True, began_at=NOW))
    assert len(reckoned) == 64 + 100
    assert (reader.entries()["p1"].in_use, reader.entries()["p1"].begun_last_minute) == (99, 100)

    now[0] += 200
    board.learn(ProviderNews(job_id="AJ_1", provider="p2", in_use=1))
    assert (reader.entries()["p2"].in_use, reader.entries()["p1"].begun_last_minute) == (1, 0)
    board.end(["AJ_1"])
    assert not any(entry.in_use for entry in reader.entries().values())
    board.close()
