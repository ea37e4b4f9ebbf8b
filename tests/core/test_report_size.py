"""What is told about the number of workers: how many there will be, since when, and what binds."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.core.test_report import NONE, agent, observe, pool, report, revision
from tests.support import fleet as make
from tests.support.fleet import NOW, fleet
from voicefleet.api.types import timestamp
from voicefleet.autoscaling.load import Size
from voicefleet.fleet.steps import plan_agent
from voicefleet.report.agent import report_agent
from voicefleet.report.events import notes_of


def test_a_need_that_comes_and_goes_between_what_would_do_and_what_may_stay_is_no_news() -> None:
    """With every call that ends one worker fewer would do, and nobody leaves for that: no Event says so."""
    seen = observe(agent(), fleet(*(make.busy(f"desk-{revision()}-{number}") for number in range(3))), pool())
    steps, status, told = plan_agent(seen, now=NOW), NONE, []
    for second, desired in enumerate((3, 2, 3, 1, 4)):
        now, size = NOW + timedelta(seconds=second), Size(desired, "Demand", ("as it is",), keep=max(3, desired))
        before, status = status, report_agent(seen, replace(steps, size=size), status, now=now)
        assert status.scale is not None
        told.append((status.scale.desired, status.scale.at, [n.message for n in notes_of(before, status)][-1:]))
        assert status.conditions[1].message == f"the fleet is as wanted: {max(3, desired)}"

    first, last = timestamp(NOW), timestamp(NOW + timedelta(seconds=4))
    assert told[0] == (3, first, ["to 3 workers: as it is"])
    assert told[1:4] == [(3, first, [])] * 3
    assert told[4] == (4, last, ["from 3 to 4 workers: as it is"])


@pytest.mark.parametrize(
    ("most", "calls", "limit"),
    [(3, (12, 12), "Max"), (1, (12, 0), "Blind"), (9, (0, 0), "Blind")],
    ids=["no more may come", "of more than may be nobody goes", "fewer would do"],
)
def test_a_ceiling_binds_and_not_the_silence_of_one_worker_where_calls_lack_room(
    most: int, calls: tuple[int, int], limit: str
) -> None:
    names = [f"desk-{revision()}-{number}" for number in range(3)]
    others = (make.busy(name, calls=count) for name, count in zip(names[1:], calls, strict=True))

    status = report(fleet(make.silent(names[0]), *others), of=agent(scaling={"max": most}), on=pool())

    assert status.scale is not None
    assert status.scale.limit == limit
