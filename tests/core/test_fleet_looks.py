"""When a fleet is looked at again to which nothing happens: some things change with time alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.core.test_report import agent, observe, pool, revision
from tests.support import fleet as make
from tests.support.fleet import NOW, fleet
from voicefleet.api.voiceagent.scaling import ScheduledFloor
from voicefleet.autoscaling.arrivals import ArrivalRate
from voicefleet.autoscaling.load import Outlook
from voicefleet.fleet import Fleet, PodRef
from voicefleet.fleet.lookout import Lookout
from voicefleet.fleet.pauses import look_again_after
from voicefleet.fleet.size import plan_fleet_size
from voicefleet.fleet.steps import AgentSeen, plan_agent

SLEEPY = agent(scaling={"min": 0, "scaleToZero": True})
WATCHMAN = PodRef("other-new-0", "uid-other", "1")


def wait(seen: AgentSeen) -> timedelta | None:
    return look_again_after(seen, plan_agent(seen, now=NOW), now=NOW)


def asleep(*, watchman: PodRef | None, watched: bool) -> AgentSeen:
    lessons = make.lessons(arrivals=ArrivalRate().after(0, 90_000))
    return replace(
        observe(SLEEPY, fleet(), pool()), lessons=lessons, lookout=Lookout(watchman=watchman), watched=watched
    )


@pytest.mark.parametrize("watchman", [WATCHMAN, None], ids=["a watchman looks", "the watchman has just gone"])
def test_a_fleet_without_workers_is_looked_at_every_few_seconds_as_long_as_it_sleeps(watchman: PodRef | None) -> None:
    """With nobody left who would see a call, a worker must start soon; the next look in ten minutes would be late."""
    seen = asleep(watchman=watchman, watched=True)
    steps = plan_agent(seen, now=NOW)

    assert steps.size is not None
    assert steps.size.desired == 0
    assert wait(seen) == timedelta(seconds=5)


def test_a_size_that_follows_the_load_is_looked_at_also_before_anybody_else_sets_it() -> None:
    busy = Fleet((make.busy(f"desk-{revision()}-0", calls=7),))
    waits, goes = (agent(scaling={"mode": "External"}, **replicas) for replicas in ({}, {"replicas": 1}))

    assert wait(observe(waits, busy, pool())) == timedelta(seconds=5)
    assert wait(observe(goes, busy, pool())) != timedelta(seconds=5)


@pytest.mark.parametrize(("minutes_before", "holds"), [(2, False), (1.5, True)])
def test_a_floor_is_built_up_before_the_last_look_that_would_be_in_time(minutes_before: float, holds: bool) -> None:
    """A start takes 63 s at most, and between two looks at a quiet fleet there may be half a minute."""
    nine = {"name": "nine", "hours": {"days": ["Mon"], "start": "09:00", "end": "17:00"}, "minWorkers": 5}
    floor = ScheduledFloor.model_validate(nine)
    quiet = agent().spec
    quiet = quiet.model_copy(update={"scaling": quiet.scaling.model_copy(update={"schedules": (floor,)})})
    now = datetime(2026, 3, 2, 9, tzinfo=UTC) - timedelta(minutes=minutes_before)

    size = plan_fleet_size(quiet, [], make.lessons(), Outlook(), now=now)

    assert (size.desired == 5) is holds
