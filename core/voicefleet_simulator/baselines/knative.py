"""Knative's KPA: two moving averages of concurrency, and a panic mode.

Every 2 s; target 70 % of what a worker holds; stable window 60 s, panic window 6 s.
"""

import math
from collections import deque

from voicefleet_simulator.baselines.deployment import Deployment
from voicefleet_simulator.policy import Controls

_TARGET_UTILISATION = 0.7
_STABLE_SECONDS = 60.0
_PANIC_SECONDS = 6.0
_PANIC_RATIO = 2.0
_MAX_UP_RATE = 1000


class Kpa(Deployment):
    """A Deployment sized by the KPA."""

    period_seconds = 2.0

    def __init__(self, slots: int, *, down_delay_seconds: float = 0.0, grace_seconds: float = 600.0) -> None:
        super().__init__(grace_seconds=grace_seconds)
        self._target = _TARGET_UTILISATION * slots
        self._down_delay_seconds = down_delay_seconds
        self._samples: deque[tuple[float, float]] = deque()
        self._panic_until = -math.inf
        self._panic_most = 0
        self._wished: deque[tuple[float, int]] = deque()

    def act(self, controls: Controls, now: float) -> None:
        """Average, panic or not, scale."""
        self._samples.append((now, controls.call_seconds(now)))
        while len(self._samples) > 1 and self._samples[1][0] <= now - _STABLE_SECONDS:
            self._samples.popleft()
        if len(self._samples) < 2:
            return
        ready = max(1, sum(pod.ready for pod in controls.pods))
        stable = self._wish(self._average(_STABLE_SECONDS), ready)
        panic = self._wish(self._average(_PANIC_SECONDS), ready)
        if self._begins_panic(panic / ready, now):
            self._panic_most = len(controls.pods)
        if now < self._panic_until:
            self._panic_most = max(self._panic_most, stable, panic)
            stable = self._panic_most
        self.scale_to(controls, self._delayed(max(1, stable), now), now)

    def _begins_panic(self, ratio: float, now: float) -> bool:
        begins = ratio >= _PANIC_RATIO and now >= self._panic_until
        if ratio >= _PANIC_RATIO:
            self._panic_until = now + _STABLE_SECONDS
        return begins

    def _average(self, seconds: float) -> float:
        last_at, last = self._samples[-1]
        older = (sample for sample in reversed(self._samples) if sample[0] <= last_at - seconds)
        first_at, first = next(older, self._samples[0])
        return (last - first) / (last_at - first_at)

    def _wish(self, calls: float, ready: int) -> int:
        return max(ready // 2, min(math.ceil(calls / self._target), ready * _MAX_UP_RATE))

    def _delayed(self, wish: int, now: float) -> int:
        self._wished.append((now, wish))
        while self._wished[0][0] < now - self._down_delay_seconds:
            self._wished.popleft()
        return max(count for _, count in self._wished)
