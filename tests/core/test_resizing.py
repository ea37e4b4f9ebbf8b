"""Workers that are given other cores and memory while they run, and whose nodes do not get to it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.core.test_report import agent as agent_of
from tests.core.test_report import observe, pool, revision, said
from tests.support import fleet as make
from tests.support.fleet import NOW, fleet, names, want
from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.fleet import Fleet, FleetPlan, Worker
from voicefleet.fleet.plan import plan_fleet
from voicefleet.fleet.steps import AgentSeen, plan_agent
from voicefleet.report.agent import report_agent

SIZE = (("cpu", "4"), ("memory", "8Gi"))
WANTED = replace(want(2), resources={"new": SIZE})


def resizing(worker: Worker, seconds: int) -> Worker:
    """Return a worker whose node has owed it the size that it asks for so many seconds."""
    since = NOW - timedelta(seconds=seconds)
    return replace(worker, pod=replace(worker.pod, resources=SIZE, resizing_since=since))


def plan(*workers: Worker) -> FleetPlan:
    return plan_fleet(WANTED, fleet(*workers), now=NOW)


def test_a_node_gets_two_minutes_for_a_new_size() -> None:
    waits = plan(*(resizing(make.idle(f"desk-new-{number}"), 110) for number in range(2)))

    assert not any((waits.create, waits.cordon))
    assert waits.look_again_after is not None
    assert waits.look_again_after <= timedelta(seconds=10.2)


def test_workers_whose_nodes_never_have_room_for_their_new_size_are_replaced_one_after_the_other() -> None:
    stuck = [resizing(make.busy(f"desk-new-{number}", calls=2), 121) for number in range(2)]

    assert [new.number for new in plan(*stuck).create] == [2]

    one_came = plan(*stuck, make.idle("desk-new-2"))
    assert names(one_came.cordon) == ["desk-new-0"]
    assert one_came.delete == one_came.end == ()


def test_a_size_that_is_taken_back_is_given_at_once_to_whom_the_other_was_owed() -> None:
    owed = resizing(make.busy("desk-new-0", calls=2), 600)
    taken_back = replace(WANTED, size=want(1).size, resources={"new": (("cpu", "2"), ("memory", "8Gi"))})

    decided = plan_fleet(taken_back, fleet(owed), now=NOW)

    assert names(decided.resize) == ["desk-new-0"]
    assert decided.create == ()


def look(*workers: Worker) -> VoiceAgentStatus:
    seen: AgentSeen = observe(agent_of(scaling={"min": 1}), Fleet(workers), pool())
    return report_agent(seen, plan_agent(seen, now=NOW), seen.before, now=NOW)


@pytest.mark.parametrize("seconds", [0, 100])
def test_a_fleet_whose_workers_are_resized_is_not_yet_as_wanted(seconds: int) -> None:
    name = f"desk-{revision()}-0"

    assert said(look(resizing(make.idle(name), seconds)))["Reconciling"] == "True Resizing"
    assert said(look(make.idle(name)))["Reconciling"] == "False AsWanted"


def test_that_workers_will_be_resized_is_said_at_once() -> None:
    worker = make.idle(f"desk-{revision()}-0")
    small = replace(worker, pod=replace(worker.pod, resources=(("cpu", "1"), ("memory", "8Gi"))))

    status = look(small)

    assert said(status)["Reconciling"] == "True Resizing"
    assert status.conditions[1].message == "other cores and memory are given to 1 running worker"


def test_a_worker_that_goes_is_not_resized_before() -> None:
    """Its deletion would find another version of it than the one that it was decided on."""
    waits = replace(make.pending("desk-new-1"), pod=replace(make.pending("desk-new-1").pod, resources=(("cpu", "1"),)))

    decided = plan_fleet(replace(WANTED, size=want(1).size), fleet(make.idle("desk-new-0"), waits), now=NOW)

    assert names(decided.delete) == ["desk-new-1"]
    assert decided.resize == ()
