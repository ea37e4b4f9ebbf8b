"""A permit is used up by one request, of whichever call, and by nobody once its time is over."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.failover.scripted import lineup, plan, unread
from voicefleet.api.providerpool.providers import Quota
from voicefleet.providers.routing import Refusal
from voicefleet_worker.desk.reports import ProviderNews, Reporter
from voicefleet_worker.failover.board import BoardReader, HealthBoard
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.failover.leases import HeldLeases, TakenLeases
from voicefleet_worker.failover.permits import HeldPermits

BOTH = Quota(concurrent=1, requests_per_minute=3)
PROVIDERS = [
    plan("paced", "Llm", quota=Quota(requests_per_minute=3)).provider,
    plan("both", "Llm", quota=BOTH).provider,
    plan("free", "Llm").provider,
]
UNTIL = 100.0
_TAKE_ALL = """
import sys
from pathlib import Path
from voicefleet.api.providerpool.providers import Provider, Quota
from voicefleet_worker.failover.leases import TakenLeases
paced = Provider(name="paced", role="Llm", plugin="openai", quota=Quota(requests_per_minute=9))
call = TakenLeases.open(Path(sys.argv[1]), [paced], monotonic=lambda: 0.0)
print("ready", flush=True)
sys.stdin.readline()
print(sum(call.take("paced", probing=False) is None for _ in range(1000)))
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[HeldLeases]:
    held = HeldLeases(tmp_path / "leases", PROVIDERS)
    held.permits.trust_until(UNTIL)
    yield held
    held.close()


@pytest.fixture
def permits(worker: HeldLeases) -> HeldPermits:
    return worker.permits


@pytest.fixture
def calls(worker: HeldLeases) -> Iterator[list[TakenLeases]]:
    opened = [TakenLeases.open(worker.path, PROVIDERS, monotonic=lambda: UNTIL) for _ in range(2)]
    yield opened
    for each in opened:
        each.close()


def test_calls_use_up_what_the_worker_holds_and_no_more(permits: HeldPermits, calls: list[TakenLeases]) -> None:
    permits.add("paced", 2)

    assert [call.take("paced", probing=False) for call in calls * 2] == [None, None, Refusal.USED_UP, Refusal.USED_UP]
    assert calls[0].take("free", probing=False) is None
    assert (permits.keep("paced", 9), permits.used("paced")) == (0, 2)


def test_what_is_used_up_stays_so_when_its_call_is_over(permits: HeldPermits, calls: list[TakenLeases]) -> None:
    permits.add("paced", 1)
    calls[0].take("paced", probing=False)
    calls[0].give_back("paced")
    calls[0].close()

    assert calls[1].take("paced", probing=False) is Refusal.USED_UP


def test_what_was_not_used_may_be_given_up_and_is_not_counted(permits: HeldPermits, calls: list[TakenLeases]) -> None:
    permits.add("paced", 3)
    calls[0].take("paced", probing=False)

    assert permits.keep("paced", 1) == 1
    assert [call.take("paced", probing=False) for call in calls] == [None, Refusal.USED_UP]
    assert (permits.keep("paced", 0), permits.used("paced")) == (0, 2)


def test_permits_that_were_used_make_room_for_others(permits: HeldPermits, calls: list[TakenLeases]) -> None:
    for used in range(0, 2000, 500):
        permits.add("paced", 500)
        assert permits.keep("paced", 500) == 500
        assert [calls[0].take("paced", probing=False) for _ in range(501)] == [None] * 500 + [Refusal.USED_UP]
        assert permits.keep("paced", 500) == 0
        assert permits.used("paced") == used + 500


def test_after_its_time_no_permit_can_be_used(
    worker: HeldLeases, permits: HeldPermits, calls: list[TakenLeases]
) -> None:
    """The worker stands still, and Redis has taken for used what it held."""
    permits.add("paced", 2)
    late = TakenLeases.open(worker.path, PROVIDERS, monotonic=lambda: UNTIL + 0.1)

    assert calls[0].take("paced", probing=False) is None
    assert late.take("paced", probing=False) is Refusal.USED_UP
    late.close()


def test_a_worker_that_has_just_begun_has_none(tmp_path: Path) -> None:
    held = HeldLeases(tmp_path / "leases", PROVIDERS)
    call = TakenLeases.open(held.path, PROVIDERS)

    assert call.guards_minute("paced")
    assert call.take("paced", probing=False) is Refusal.USED_UP
    call.close()
    held.close()


def test_alone_a_worker_needs_none_and_has_given_up_what_it_held(
    worker: HeldLeases, permits: HeldPermits, calls: list[TakenLeases]
) -> None:
    permits.add("paced", 1)
    worker.hold_all()
    assert {calls[0].take("paced", probing=False) for _ in range(9)} == {None}
    assert not calls[0].guards_minute("paced")

    permits.trust_until(UNTIL)
    assert calls[0].take("paced", probing=False) is Refusal.USED_UP


def test_who_finds_no_permit_keeps_neither_lease_nor_probe(
    worker: HeldLeases, permits: HeldPermits, calls: list[TakenLeases]
) -> None:
    worker.hold("both", 1)
    worker.allow_probe("both")
    assert calls[0].take("both", probing=True) is Refusal.USED_UP
    permits.add("both", 1)

    assert calls[1].take("both", probing=True) is None


def test_who_finds_no_lease_uses_no_permit_up(permits: HeldPermits, calls: list[TakenLeases]) -> None:
    permits.add("both", 1)

    assert calls[0].take("both", probing=False) is Refusal.FULL
    assert (permits.keep("both", 1), permits.used("both")) == (1, 0)


def test_calls_of_several_processes_use_each_permit_once(tmp_path: Path) -> None:
    held = HeldLeases(tmp_path / "leases", [PROVIDERS[0]])
    held.permits.trust_until(UNTIL)
    held.permits.add("paced", 400)
    command = [sys.executable, "-c", _TAKE_ALL, str(held.path)]
    pipe = subprocess.PIPE
    those = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for process in those:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in those:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    taken = [int(process.communicate()[0]) for process in those]

    assert sum(taken) == 400
    assert (held.permits.keep("paced", 400), held.permits.used("paced")) == (0, 400)
    held.close()


def test_where_permits_decide_what_was_begun_a_moment_ago_does_not(
    worker: HeldLeases, tmp_path: Path, calls: list[TakenLeases]
) -> None:
    board = HealthBoard(tmp_path / "health", PROVIDERS)
    for _ in range(3):
        board.learn(ProviderNews(job_id="AJ_1", provider="paced", begun=True, began_at=1.0))
    paced = lineup("Llm", "paced")
    health = CallHealth(
        [plan("paced", "Llm", quota=BOTH)], Reporter("AJ_1", None), unread(), BoardReader.open(board.path), calls[0]
    )

    assert [each.begun_last_minute for each in health.candidates(paced)] == [0]
    worker.hold_all()
    assert [each.begun_last_minute for each in health.candidates(paced)] == [3]
    board.close()


def test_that_permits_are_lacking_is_news_but_once(tmp_path: Path) -> None:
    board, told = HealthBoard(tmp_path / "health", PROVIDERS), list[int]()
    board.urgent = lambda: told.append(1)
    for _ in range(3):
        board.learn(ProviderNews(job_id="AJ_1", provider="paced", refusal=Refusal.USED_UP))

    assert len(told) == 1
    board.close()


def test_a_call_without_a_worker_needs_no_permit(tmp_path: Path) -> None:
    (tmp_path / "leases").touch()
    for path in (None, tmp_path / "not there", tmp_path / "leases"):
        alone = TakenLeases.open(path, [PROVIDERS[0]])
        assert alone.take("paced", probing=False) is None
        assert not alone.guards_minute("paced")
        alone.close()
