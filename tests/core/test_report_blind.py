"""What is said of a fleet of which something is not known: which workers there are, or what some of them hold."""

from dataclasses import replace

import pytest

from tests.core.test_report import pool, report, revision, said
from tests.support import fleet as make
from tests.support.fleet import fleet
from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.fleet import Fleet, Trouble, Worker
from voicefleet.names import Reason

PODS_UNKNOWN = "; the apiserver is slow or silent about the fleet's pods, so no worker is taken away while it is"
LOAD_UNKNOWN = "; 1 worker says nothing and may hold calls, so no worker is taken away until that is known"
NAME = f"desk-{revision()}"


def reconciling(status: VoiceAgentStatus) -> str:
    return status.conditions[1].message


@pytest.mark.parametrize(
    ("other", "words"),
    [
        pytest.param(make.cordoned(f"{NAME}-1", calls=1), "1 worker leaves after the last call", id="one leaves"),
        pytest.param(make.starting(f"{NAME}-1"), "1 worker starting", id="one starts"),
        pytest.param(make.cordoned("desk-old-0", calls=1), "1 worker runs an older revision", id="a rollout"),
        pytest.param(make.failed(f"{NAME}-1"), "failed workers are being replaced", id="one has failed"),
    ],
)
def test_that_no_worker_is_taken_away_is_said_beside_whatever_else_goes_on(other: Worker, words: str) -> None:
    known = (make.busy(f"{NAME}-0"), other)

    sighted = report(fleet(*known), on=pool())
    of_pods = report(Fleet(known, is_old=True), on=pool())
    of_load = report(fleet(*known, make.silent(f"{NAME}-2")), on=pool())

    assert reconciling(sighted) == words
    assert reconciling(of_pods) == words + PODS_UNKNOWN
    assert reconciling(of_load) == words + LOAD_UNKNOWN
    assert said(sighted)["Reconciling"] == said(of_pods)["Reconciling"] == said(of_load)["Reconciling"]


def test_where_nothing_else_goes_on_it_is_said_once() -> None:
    seen = Fleet((make.busy(f"{NAME}-0"), make.idle(f"{NAME}-1")), is_old=True)

    assert reconciling(report(seen, on=pool())) == PODS_UNKNOWN.removeprefix("; ")


def test_what_keeps_a_worker_from_coming_comes_last() -> None:
    no_room = Trouble(Reason.UNSCHEDULABLE, "no node takes a worker: 5 Insufficient cpu.")
    waiting = make.pending(f"{NAME}-1")
    waiting = replace(waiting, pod=replace(waiting.pod, trouble=no_room))

    status = report(fleet(make.busy(f"{NAME}-0"), waiting, make.silent(f"{NAME}-2")), on=pool())

    assert reconciling(status) == f"1 worker starting{LOAD_UNKNOWN}; {no_room.message}"


def test_calls_of_a_silent_worker_count_by_its_last_word_and_its_slots_do_not() -> None:
    silent = make.heard(f"{NAME}-1", make.state(calls=5), seconds_ago=600, marked_busy=True)

    status = report(fleet(make.busy(f"{NAME}-0", calls=2), silent), on=pool())

    assert (status.calls, status.free_slots, status.slots) == (7, 10, 12)
    assert status.summary == "2 workers, 7 calls, 1 silent"
    assert [(told.name, told.calls) for told in status.revisions] == [(revision(), 7)]


LONG_SILENT = make.heard(f"{NAME}-1", make.state(calls=5), seconds_ago=600)
CRASHED = make.off_the_line(make.heard(f"{NAME}-1", make.state(calls=5), seconds_ago=600, **make.STUCK))
OVER = make.heard(f"{NAME}-1", make.state(calls=5), phase="Failed", ready=False)


@pytest.mark.parametrize(
    ("other", "calls"),
    [
        pytest.param(LONG_SILENT, 7, id="it may go on"),
        pytest.param(make.leaving(LONG_SILENT), 7, id="whoever leaves finishes its calls"),
        pytest.param(CRASHED, 2, id="no process runs"),
        pytest.param(OVER, 2, id="its pod is over"),
        pytest.param(replace(LONG_SILENT, heard=None), 2, id="it has never said a word"),
    ],
)
def test_a_last_word_counts_for_as_long_as_there_may_be_somebody_behind_it(other: Worker, calls: int) -> None:
    assert report(fleet(make.busy(f"{NAME}-0", calls=2), other), on=pool()).calls == calls
