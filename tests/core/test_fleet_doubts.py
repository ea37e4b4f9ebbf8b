"""A process that stopped takes with it what it said: whoever runs by now may have a call."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support import fleet as make
from tests.support.fleet import NOW
from voicefleet.fleet import Fleet, Heard, Worker
from voicefleet.fleet.doubts import Doubts

EMPTY = make.state(cordoned=True)
BEFORE = NOW - timedelta(hours=1)


def seen(*, heard_at: float = 0.0, ready_at: float | None = None, stopped: bool = False) -> Fleet:
    """Return a fleet of one that was empty when it was heard, so many seconds from now."""
    ready_since = BEFORE if ready_at is None else NOW + timedelta(seconds=ready_at)
    pod = replace(make.pod("desk-new-0"), ready_since=None if stopped else ready_since, process_stopped=stopped)
    return Fleet((Worker(pod, Heard(EMPTY, NOW + timedelta(seconds=heard_at))),))


def may_go(*looks: tuple[float, Fleet]) -> list[bool]:
    """Return whether it may be deleted after each look, so many seconds from now."""
    doubts, found = Doubts(), []
    for seconds, fleet in looks:
        now = NOW + timedelta(seconds=seconds)
        (worker,) = doubts.cast(fleet, now)
        found.append(worker.may_be_deleted(now))
    return found


@pytest.mark.parametrize(
    ("later", "goes"),
    [
        pytest.param(seen(), True, id="nothing has happened to it"),
        pytest.param(seen(stopped=True), False, id="its process stopped"),
        pytest.param(seen(ready_at=3), False, id="its process stopped and another one is up, within one look"),
        pytest.param(seen(ready_at=3, heard_at=5), False, id="it was heard, but perhaps before that"),
        pytest.param(seen(ready_at=3, heard_at=5.1), True, id="it was heard since then"),
    ],
)
def test_what_was_said_before_a_process_stopped_proves_nothing(later: Fleet, goes: bool) -> None:
    assert may_go((0, seen()), (5, later)) == [True, goes]
    assert may_go((0, seen()), (5, later), (6, later))[1:] == [goes, goes]


def test_of_pods_that_it_sees_for_the_first_time_an_operator_hears_anew() -> None:
    assert may_go((5, seen(ready_at=3))) == [True]
