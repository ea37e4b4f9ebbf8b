"""Sizing by Erlang-B on the offered load (the modified offered load of Massey and Whitt), with ideal packing.

It asks how many slots a steady stream of such calls would need, and does not use that today's calls are known.
"""

import math

from voicefleet.autoscaling.arrivals import ArrivalRate
from voicefleet.autoscaling.erlang import slots_for
from voicefleet_simulator.pod import Pod
from voicefleet_simulator.policy import Controls, Policy
from voicefleet_simulator.world import World


class ErlangB(Policy):
    """As many workers as Erlang-B asks for; only idle ones are deleted."""

    period_seconds = 5.0

    def __init__(self, world: World) -> None:
        self._target, self._slots = world.target_blocked, world.slots
        self._rate = ArrivalRate()
        self._arrived = 0
        self._ended = 1.0
        self._ended_seconds = world.expected_call_seconds

    def on_began(self, pod: Pod, now: float, *, campaign: bool) -> None:  # noqa: ARG002
        """Count a call."""
        self._arrived += 1

    def on_ended(self, pod: Pod, began_at: float, now: float) -> None:  # noqa: ARG002
        """Learn how long calls last."""
        self._ended += 1
        self._ended_seconds += now - began_at

    def act(self, controls: Controls, now: float) -> None:  # noqa: ARG002
        """Turn the offered load into workers."""
        half = self.period_seconds / 2
        self._rate = self._rate.after(self._arrived, half).after(0, half)
        self._arrived = 0
        load = self._rate.per_second * self._ended_seconds / self._ended
        wish = max(1, math.ceil(slots_for(load, self._target) / self._slots))
        controls.create(max(0, wish - len(controls.pods)))
        surplus = len(controls.pods) - wish
        for pod in [pod for pod in reversed(controls.pods) if not pod.calls][: max(0, surplus)]:
            controls.delete(pod)
