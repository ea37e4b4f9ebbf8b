"""Policies that keep a buffer of free slots and delete only workers without a call.

Agones: counter or list autoscaler, sync 30 s. Pipecat Cloud's rule: as many warm as active, 5 min cool-down.
"""

import math
from collections import deque
from collections.abc import Callable

from voicefleet_simulator.pod import Pod
from voicefleet_simulator.policy import Controls, Policy

Buffer = Callable[[int], int]


def percentage(percent: float) -> Buffer:
    """Keep this share of all slots free: 20 % over 80 calls are ceil(8000 / 80) - 80 = 20."""
    return lambda calls: math.ceil(100 * calls / (100 - percent)) - calls


def fixed(slots: int) -> Buffer:
    """Keep so many slots free."""
    return lambda _: slots


class AgonesBuffer(Policy):
    """A FleetAutoscaler that keeps a buffer; a server with calls is never deleted."""

    period_seconds = 30.0

    def __init__(self, buffer: Buffer, slots: int) -> None:
        self._buffer, self._slots = buffer, slots

    def act(self, controls: Controls, now: float) -> None:  # noqa: ARG002 - it knows no time
        """Add what the buffer lacks, or remove idle servers while it stays whole."""
        calls = sum(len(pod.calls) for pod in controls.pods)
        free = self._slots * len(controls.pods) - calls
        buffer = self._buffer(calls)
        if free < buffer:
            controls.create(math.ceil((buffer - free) / self._slots))
            return
        for pod in [pod for pod in reversed(controls.pods) if not pod.calls]:
            if free - self._slots < buffer or len(controls.pods) <= 1:
                return
            controls.delete(pod)
            free -= self._slots


class PipecatRule(Policy):
    """Warm instances: the larger of those reserved and those active; surplus leaves after the cool-down."""

    period_seconds = 5.0
    cooldown_seconds = 300.0
    window_seconds = 30.0

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._began = 0
        self._began_at: deque[tuple[float, int]] = deque()
        self._wished: deque[tuple[float, int]] = deque()

    def on_began(self, pod: Pod, now: float, *, campaign: bool) -> None:  # noqa: ARG002
        """Count calls, for the calls per second."""
        self._began += 1

    def act(self, controls: Controls, now: float) -> None:
        """Add at once, remove idle ones after the cool-down."""
        self._began_at.append((now, self._began))
        while self._began_at[0][0] < now - self.window_seconds:
            self._began_at.popleft()
        calls = controls.calls_now
        # Calls per second times 30 s of start-up: those that began in the last 30 s.
        reserved = self._began - self._began_at[0][1]
        self._wished.append((now, max(1, math.ceil((calls + max(reserved, calls)) / self._slots))))
        while self._wished[0][0] < now - self.cooldown_seconds:
            self._wished.popleft()
        wish = max(count for _, count in self._wished)
        controls.create(max(0, wish - len(controls.pods)))
        surplus = len(controls.pods) - wish
        for pod in [pod for pod in reversed(controls.pods) if not pod.calls][: max(0, surplus)]:
            controls.delete(pod)
