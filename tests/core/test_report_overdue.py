"""What is said of old workers whose calls last longer than the spec lets them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.core.test_report import agent, pool, report, revision, said
from tests.support import fleet as make
from tests.support.fleet import NOW, fleet

BEFORE = "the first has taken no new calls since 2026-03-02T11:50:00Z"
OVER = (
    "the 600 s of rollout.maxDrainSeconds are over for 1 worker, whose calls go on, since rollout.onDrainLimit is Wait"
)


@pytest.mark.parametrize(
    ("rollout", "words"),
    [
        ({"maxDrainSeconds": 900}, BEFORE),
        ({"maxDrainSeconds": 600}, OVER),
        ({"maxDrainSeconds": 600, "onDrainLimit": "EndCalls"}, BEFORE),
        ({}, BEFORE),
    ],
)
def test_that_the_limit_is_over_is_told_where_calls_may_go_on(rollout: dict[str, object], words: str) -> None:
    old = make.cordoned("desk-old-0", calls=1)
    old = replace(old, pod=replace(old.pod, cordoned_at=NOW - timedelta(minutes=10)))

    status = report(fleet(old, make.idle(f"desk-{revision()}-0")), on=pool(), of=agent(rollout=rollout))

    assert said(status)["Reconciling"] == "True RollingOut"
    (message,) = (condition.message for condition in status.conditions if condition.type == "Reconciling")
    assert message == f"1 worker runs an older revision; {words}"
