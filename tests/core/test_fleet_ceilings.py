"""What a ceiling is worth while more calls come than it lets the fleet take."""

from typing import Any

import pytest

from tests.support.fake_operator import FakeOperator
from tests.support.fake_world import FakeWorld
from tests.support.fleet_specs import SPEC, spec_text


class _Rush:
    """A fleet whose every free slot is taken at once, by calls of two to four minutes."""

    def __init__(self, workers: int) -> None:
        self.spec: dict[str, Any] = {**SPEC, "scaling": {**SPEC["scaling"], "min": workers, "max": workers}}
        self.world = FakeWorld(spec_text(self.spec))
        self.operator = FakeOperator(self.world)
        self.calls = 0
        self.most_open = 0
        self.go_on(minutes=5)

    def go_on(self, *, minutes: int) -> None:
        self.most_open = 0
        for _ in range(minutes * 12):
            self.world.pass_time(5)
            self.operator.deliver()
            self.operator.hear()
            self.operator.turn()
            while self.world.call(f"call-{self.calls}", lasts_seconds=120 + self.calls * 37 % 120, draw=0.5):
                self.calls += 1
            self.most_open = max(self.most_open, self.open)

    def edit(self, **fields: Any) -> None:
        self.spec = {**self.spec, **fields}
        self.world.change_agent(spec=spec_text(self.spec))

    @property
    def open(self) -> int:
        pods = self.world.pods.values()
        return sum(pod.process is not None and pod.process.open and not pod.seen.leaving for pod in pods)


def test_a_rollout_under_more_calls_than_the_maximum_allows_leaves_the_fleet_at_its_maximum() -> None:
    rush = _Rush(2)

    rush.edit(template="B")
    rush.go_on(minutes=15)

    assert rush.most_open <= 3
    assert rush.open == 2


@pytest.mark.parametrize("fewer", [1, 3])
def test_a_maximum_that_is_lowered_holds_also_when_no_worker_is_ever_idle(fewer: int) -> None:
    rush = _Rush(4)

    rush.edit(scaling={**rush.spec["scaling"], "min": 0, "max": fewer, "scaleToZero": True})
    rush.go_on(minutes=10)

    assert rush.open == fewer
    assert len(rush.world.pods) == fewer
