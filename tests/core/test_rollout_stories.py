"""Rollouts from their beginning to their end: callers come all the while, and find room as before."""

import json

import pytest

from tests.support.fake_operator import FakeOperator, render
from tests.support.fake_world import FakeWorld
from tests.support.fleet_specs import SPEC, spec_text

BEAT_SECONDS = 5.0
EXTERNAL = {**SPEC["scaling"], "mode": "External"}


class Story:
    """Four workers of three slots, and nine callers who are followed by others: three workers are full."""

    def __init__(self) -> None:
        self.spec = {**SPEC, "scaling": EXTERNAL, "replicas": 4}
        self.world = FakeWorld(spec_text(self.spec))
        self.operator = FakeOperator(self.world)
        self.callers = 0
        self.pass_beats(8, calls=0)
        self.pass_beats(24, calls=9)

    def pass_beats(self, beats: int, *, calls: int) -> None:
        """Let time pass in which so many callers are on the line, as far as they find room."""
        for _ in range(beats):
            self.world.pass_time(BEAT_SECONDS)
            self.operator.deliver()
            self.operator.hear()
            for _ in range(calls - sum(pod.calls for pod in self.world.pods.values())):
                self.callers += 1
                self.world.call(f"caller-{self.callers}", lasts_seconds=35.0 + 7 * (self.callers % 7), draw=0.5)
            self.operator.turn()

    def roll_out(self, template: str) -> str:
        """Change the template, and return the new revision."""
        spec = spec_text({**self.spec, "template": template})
        agent = self.world.change_agent(spec=spec)
        return render(json.dumps(json.loads(spec), sort_keys=True), agent.uid).revision.name

    def open_slots(self) -> int:
        """Count the slots that calls may take."""
        return sum(pod.slots for pod in self.world.pods.values() if pod.process and pod.process.open)


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_revision_that_never_comes_up_takes_no_room_from_callers(story: Story) -> None:
    story.world.broken_images = {story.roll_out("B")}

    story.pass_beats(60, calls=9)

    assert story.world.blocked == 0
    assert story.open_slots() == 12


def test_a_revision_of_which_a_second_worker_never_comes_up_takes_no_room_from_callers(story: Story) -> None:
    revision = story.roll_out("B")
    while not any(pod.seen.revision == revision and pod.seen.ready for pod in story.world.pods.values()):
        story.pass_beats(1, calls=9)
    story.world.broken_images = {revision}

    story.pass_beats(120, calls=9)

    assert story.world.blocked == 0
    assert story.open_slots() >= 12


def test_a_rollout_to_workers_that_start_late_keeps_room_for_callers_and_comes_to_its_end(story: Story) -> None:
    story.world.start_seconds = 60.0
    revision = story.roll_out("B")

    story.pass_beats(200, calls=9)

    assert story.world.blocked == 0
    assert {pod.seen.revision for pod in story.world.pods.values()} == {revision}
    assert story.open_slots() == 12
