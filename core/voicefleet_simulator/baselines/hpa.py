"""The HorizontalPodAutoscaler (autoscaling/v2) with its defaults, as kube-controller-manager computes it.

Every 15 s; tolerance 10 %; up at most 4 workers or 100 % in 15 s; down to the highest of the last 300 s.
Its metrics are exact and fresh here, which is in its favour.
"""

import math
from collections import deque
from collections.abc import Callable

from voicefleet_simulator.baselines.deployment import Deployment
from voicefleet_simulator.policy import Controls

TOLERANCE = 0.1
_STABILISATION_SECONDS = 300.0

Recommendation = Callable[[Controls], int]


class Hpa(Deployment):
    """A Deployment sized by an HPA."""

    def __init__(self, recommend: Recommendation, *, grace_seconds: float = 600.0, deletion_cost: bool = False) -> None:
        super().__init__(grace_seconds=grace_seconds, deletion_cost=deletion_cost)
        self._recommend = recommend
        self._recommended: deque[tuple[float, int]] = deque()

    def act(self, controls: Controls, now: float) -> None:
        """Recommend, stabilise, limit the rate, scale."""
        self._recommended.append((now, self._recommend(controls)))
        while self._recommended[0][0] < now - _STABILISATION_SECONDS:
            self._recommended.popleft()
        current, newest = len(controls.pods), self._recommended[-1][1]
        # Upwards the newest counts; downwards the highest of the window, but never above what there is.
        stabilised = newest if newest > current else min(current, max(count for _, count in self._recommended))
        fastest = max(current + 4, 2 * current)
        self.scale_to(controls, max(1, min(stabilised, fastest)), now)


def by_calls_per_pod(target: float) -> Recommendation:
    """Recommend by a Pods or Resource metric: the mean over workers that are ready, against a target of calls.

    With a target of 8 and 3 ready workers that hold 30 calls: ratio 10 / 8 = 1.25, so ceil(1.25 * 3) = 4.
    """

    def recommend(controls: Controls) -> int:
        current = len(controls.pods)
        ready = [pod for pod in controls.pods if pod.ready]
        if not ready:
            return current
        calls = sum(len(pod.calls) for pod in ready)
        ratio = calls / len(ready) / target
        if ratio <= 1 or len(ready) == current:
            return current if abs(1 - ratio) <= TOLERANCE else math.ceil(ratio * len(ready))
        # Those that are still starting count as idle, lest the same load be answered twice.
        damped = calls / current / target
        if abs(1 - damped) <= TOLERANCE or damped < 1:
            return current
        return max(current, math.ceil(damped * current))

    return recommend


def by_total(target: float, extra: float) -> Recommendation:
    """Recommend as KEDA lets it: an external metric (calls + extra) with a target for the average per worker.

    With 70 calls, 24 extra and a target of 10: ceil(94 / 10) = 10, unless 94 / (10 * workers) is within 10 % of 1.
    """

    def recommend(controls: Controls) -> int:
        current = len(controls.pods)
        total = controls.calls_now + extra
        if abs(1 - total / (target * current)) <= TOLERANCE:
            return current
        return math.ceil(total / target)

    return recommend
