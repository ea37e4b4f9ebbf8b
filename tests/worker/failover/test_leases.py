"""One byte, one lease: what a worker holds is what its calls can take, each of them once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.failover.scripted import plan
from voicefleet.api.providerpool.providers import Quota
from voicefleet.providers.routing import Refusal
from voicefleet_worker.failover.leases import HeldLeases, TakenLeases

PROVIDERS = [
    plan("few", "Llm", quota=Quota(concurrent=3)).provider,
    plan("many", "Llm").provider,
]
_HOLD_ONE = """
import sys, time
from pathlib import Path
from voicefleet.api.providerpool.providers import Provider, Quota
from voicefleet_worker.failover.leases import TakenLeases
providers = [Provider(name="few", role="Llm", plugin="openai", quota=Quota(concurrent=3)),
             Provider(name="many", role="Llm", plugin="openai")]
print(TakenLeases.open(Path(sys.argv[1]), providers).take("few", probing=True), flush=True)
time.sleep(60)
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[HeldLeases]:
    held = HeldLeases(tmp_path / "leases", PROVIDERS)
    yield held
    held.close()


@pytest.fixture
def calls(worker: HeldLeases) -> Iterator[list[TakenLeases]]:
    opened = [TakenLeases.open(worker.path, PROVIDERS) for _ in range(4)]
    yield opened
    for each in opened:
        each.close()


def test_at_first_there_is_nothing_to_take(worker: HeldLeases, calls: list[TakenLeases]) -> None:
    assert worker.held("few") == 0
    assert calls[0].take("few", probing=False) is Refusal.FULL
    assert calls[0].take("many", probing=False) is None


def test_calls_take_what_the_worker_holds_and_no_more(worker: HeldLeases, calls: list[TakenLeases]) -> None:
    worker.hold("few", 2)

    assert [call.take("few", probing=False) for call in calls] == [None, None, Refusal.FULL, Refusal.FULL]


def test_one_call_takes_as_many_as_it_has_requests(worker: HeldLeases, calls: list[TakenLeases]) -> None:
    worker.hold("few", 2)

    assert [calls[0].take("few", probing=False) for _ in range(3)] == [None, None, Refusal.FULL]
    calls[0].give_back("few")
    assert calls[1].take("few", probing=False) is None


def test_no_more_are_held_than_the_quota_has(worker: HeldLeases) -> None:
    assert worker.hold("few", 9) == 3
    assert worker.hold("many", 9) == 0


def test_what_is_in_use_cannot_be_given_away(worker: HeldLeases, calls: list[TakenLeases]) -> None:
    worker.hold("few", 3)
    calls[0].take("few", probing=False)

    assert worker.hold("few", 0) == 1
    assert calls[1].take("few", probing=False) is Refusal.FULL
    calls[0].give_back("few")
    assert worker.hold("few", 0) == 0


def test_one_call_at_a_time_probes(worker: HeldLeases, calls: list[TakenLeases]) -> None:
    first, second = calls[:2]
    assert first.take("many", probing=True) is Refusal.PROBED
    worker.allow_probe("many")

    assert first.take("many", probing=True) is None
    assert second.take("many", probing=True) is Refusal.PROBED
    assert first.take("many", probing=True) is Refusal.PROBED, "its second request is no probe"
    assert not worker.forbid_probe("many")
    first.end_probe("many")
    assert worker.forbid_probe("many")
    assert second.take("many", probing=True) is Refusal.PROBED


def test_who_may_probe_but_finds_no_lease_leaves_the_probe_to_others(
    worker: HeldLeases, calls: list[TakenLeases]
) -> None:
    worker.allow_probe("few")

    assert calls[0].take("few", probing=True) is Refusal.FULL
    assert worker.forbid_probe("few")


def test_alone_a_worker_has_every_quota_and_every_probe(worker: HeldLeases, calls: list[TakenLeases]) -> None:
    worker.hold_all()

    assert [call.take("few", probing=True) for call in calls[:2]] == [None, Refusal.PROBED]
    assert worker.held("few") == 3


def test_a_call_whose_process_dies_holds_nothing(worker: HeldLeases, calls: list[TakenLeases]) -> None:
    worker.hold_all()
    command = [sys.executable, "-c", _HOLD_ONE, str(worker.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "None\n"
        assert worker.hold("few", 0) == 1
        assert calls[0].take("many", probing=True) is None
        assert not worker.forbid_probe("few")
        os.kill(process.pid, signal.SIGKILL)

    assert worker.hold("few", 0) == 0
    assert worker.forbid_probe("few")


def test_a_call_without_a_worker_asks_nobody(tmp_path: Path) -> None:
    for path in (None, tmp_path / "not there"):
        alone = TakenLeases.open(path, PROVIDERS)
        assert alone.take("few", probing=True) is None
        assert not alone.guards("few")
        alone.give_back("few")
        alone.end_probe("few")
        alone.close()
