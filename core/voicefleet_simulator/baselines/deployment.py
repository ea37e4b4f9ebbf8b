"""A Deployment: somebody says how many, and its ReplicaSet picks the victims."""

import math
from collections.abc import Sequence

from voicefleet_simulator.pod import Pod
from voicefleet_simulator.policy import Controls, Policy


class Deployment(Policy):
    """Scales by number. Whether a victim holds calls is not asked, unless the deletion cost tells."""

    def __init__(self, *, grace_seconds: float = 600.0, deletion_cost: bool = False) -> None:
        self.grace_seconds = grace_seconds
        self._deletion_cost = deletion_cost

    def scale_to(self, controls: Controls, count: int, now: float) -> None:
        """Create or delete until there are so many."""
        surplus = len(controls.pods) - count
        if surplus < 0:
            controls.create(-surplus)
        for pod in pick_victims(controls.pods, surplus, now, by_calls=self._deletion_cost):
            controls.delete(pod)


def pick_victims(pods: Sequence[Pod], count: int, now: float, *, by_calls: bool) -> list[Pod]:
    """Return who goes first by the ReplicaSet's order: not ready, least deletion cost, ready for the shorter time."""

    def rank(pod: Pod) -> tuple[bool, int, float, float]:
        return (pod.ready, len(pod.calls) if by_calls else 0, now - pod.ready_at, -pod.created_at)

    return sorted(pods, key=rank)[: max(0, count)]


class StaticPeak(Deployment):
    """As many workers as the busiest moment needs, all day: known only afterwards."""

    def __init__(self, peak_calls: int, slots: int) -> None:
        super().__init__()
        self._workers = math.ceil(peak_calls / slots)

    def act(self, controls: Controls, now: float) -> None:
        """Keep the number."""
        self.scale_to(controls, self._workers, now)
