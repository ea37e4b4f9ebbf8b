"""What is said of a fleet without workers: who starts the next one, or what forbids it."""

from dataclasses import replace

import pytest

from tests.core.test_report import agent, observe, pool
from tests.support import fleet as make
from tests.support.fleet import NOW, fleet
from voicefleet.api.conditions import Condition
from voicefleet.autoscaling.arrivals import ArrivalRate
from voicefleet.fleet.steps import plan_agent
from voicefleet.report.agent import report_agent

DEAR = {"maxCostPerHour": 0.5, "workerCostPerHour": 1}


def ready(scaling: dict[str, object], **spec: object) -> Condition:
    """Return whether an agent without workers is ready, whom nobody has called for a day, and who would be seen to."""
    lessons = replace(make.lessons(), arrivals=ArrivalRate().after(0, 86_400))
    seen = observe(agent(scaling=scaling, **spec), fleet(), pool())
    seen = replace(seen, lessons=lessons, watched=True)
    steps = plan_agent(seen, now=NOW)
    assert not steps.create
    return report_agent(seen, steps, seen.before, now=NOW).conditions[0]


def test_a_fleet_that_sleeps_is_ready_for_the_next_call() -> None:
    said = ready({"min": 0, "scaleToZero": True})

    assert (said.status, said.message) == ("True", "no call is expected; the next one starts a worker")


@pytest.mark.parametrize(
    ("scaling", "words"),
    [
        ({"max": 0, "min": 0, "scaleToZero": True}, "scaling.max allows none. Raise it."),
        ({"budget": DEAR, "min": 0, "scaleToZero": True}, "scaling.budget allows none"),
        ({"budget": DEAR}, "scaling.budget allows none"),
    ],
)
def test_a_fleet_that_may_have_no_worker_does_not_promise_one(scaling: dict[str, object], words: str) -> None:
    said = ready(scaling)

    assert (said.status, said.reason) == ("False", "NoWorkers")
    assert said.message.startswith(f"no worker takes calls: {words}")


@pytest.mark.parametrize(("sleeps", "status"), [(True, "True"), (False, "False")])
def test_a_fleet_that_somebody_else_sizes_waits_for_them(sleeps: bool, status: str) -> None:
    said = ready({"mode": "External", "scaleToZero": sleeps}, replicas=0)

    assert said.status == status
    assert said.message.endswith("spec.replicas asks for none, and whoever sets it starts the next one")
