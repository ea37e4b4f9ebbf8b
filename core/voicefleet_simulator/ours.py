"""Our policy, through the very functions that the operator runs."""

import math
from collections.abc import Sequence
from dataclasses import replace

from voicefleet.autoscaling.choosing import choose
from voicefleet.autoscaling.history import History
from voicefleet.autoscaling.load import Lessons, Outlook, Rules, Standing, WorkerLoad
from voicefleet.autoscaling.packing import choose_rest, plan_loads
from voicefleet.autoscaling.sizing import plan_size
from voicefleet_simulator.dispatch import Dispatch
from voicefleet_simulator.pod import Pod
from voicefleet_simulator.policy import Controls, Policy
from voicefleet_simulator.trace import Trace
from voicefleet_simulator.world import World

SIZE_EVERY_SECONDS = 5.0
_LOADS_EVERY_SECONDS = 1.0
# A worker is empty for good only after the server has heard that it is closed.
_SETTLED_SECONDS = 3.0
_KNOWN_AHEAD_SECONDS = 1800.0


class Voicefleet(Policy):
    """Sizes every 5 s and at once when a call is blocked or a burst begins; packs as often as once a second."""

    period_seconds = _LOADS_EVERY_SECONDS
    grace_seconds = 3600.0
    hurries = True

    def __init__(self, world: World, trace: Trace, dispatch: Dispatch, *, headroom: float | None = None) -> None:
        self._rules = Rules(
            slots_per_worker=world.slots,
            min_workers=1,
            max_workers=world.max_workers,
            target_blocked=world.target_blocked,
            hold_seconds=world.hold_seconds,
        )
        self._history = History(
            self._rules, startup_seconds=world.startup_seconds, expected_call_seconds=world.expected_call_seconds
        )
        self._known = trace.known if world.campaigns_known else ()
        self._packs = dispatch in (Dispatch.PACKED, Dispatch.CLAMPED)
        self._clamped, self._target_load = dispatch is Dispatch.CLAMPED, world.target_load
        self._headroom = headroom
        self._size_at = 0.0
        self._repack = True
        self._burst_until = 0.0
        self._arrived = 0
        self._usual = 0.0
        self._lessons: Lessons | None = None

    def act(self, controls: Controls, now: float) -> None:
        """Size when it is time, pack when something changed that matters."""
        if now >= self._size_at:
            self._resize(controls, now)
            self._size_at = now + SIZE_EVERY_SECONDS
            self._repack = True
        if self._repack and self._packs and self._lessons is not None:
            self._repack = False
            pods = {pod.name: pod for pod in controls.pods}
            rest = choose_rest(self._lessons, self._target_load)
            for name, load in plan_loads(_records(controls.pods), self._lessons, now, rest=rest).items():
                pods[name].tell_load(load, now)

    def wants_to_look(self, now: float) -> bool:  # noqa: ARG002 - it counts calls, not seconds
        """Tell whether far more calls came since the last look than usually do."""
        return self._arrived > self._usual + 4 * math.sqrt(self._usual) + 3

    def on_began(self, pod: Pod, now: float, *, campaign: bool) -> None:  # noqa: ARG002
        """Learn from a call, and pack anew when it fills its worker."""
        self._history.began(now)
        self._arrived += 1
        if self.wants_to_look(now):
            self._size_at = now
        if len(pod.calls) == pod.slots:
            self._repack = True

    def on_ended(self, pod: Pod, began_at: float, now: float) -> None:
        """Learn from a call, and pack anew when its worker was full."""
        self._history.ended(began_at, now)
        if len(pod.calls) == pod.slots - 1:
            self._repack = True

    def on_ready(self, pod: Pod, now: float) -> None:
        """Learn how long a start takes."""
        self._history.started(now - pod.created_at)
        self._repack = True

    def on_blocked(self, now: float) -> None:
        """Learn from a loss, and look at once."""
        self._history.blocked(now)
        self._size_at = now

    def _resize(self, controls: Controls, now: float) -> None:
        lessons = replace(self._history.lessons(now), loads_ignored=self._clamped)
        if self._headroom is not None:
            lessons = replace(lessons, headroom=self._headroom)
        self._lessons = lessons
        self._arrived, self._usual = 0, lessons.arrivals.per_second * SIZE_EVERY_SECONDS
        workers = _records(controls.pods)
        size = plan_size(self._rules, workers, lessons, self._outlook(controls, now), now)
        self._history.sized(size, now)
        choice = choose(workers, size, now)
        pods = {pod.name: pod for pod in controls.pods}
        for name in choice.open:
            pods[name].open(now)
        for name in choice.close:
            pods[name].close(now)
        for name in choice.delete:
            if now >= pods[name].closed_at + _SETTLED_SECONDS:
                controls.delete(pods[name])
        controls.create(choice.create)

    def _outlook(self, controls: Controls, now: float) -> Outlook:
        near = tuple(
            known
            for known in self._known
            if known.begins_at - _KNOWN_AHEAD_SECONDS < now < known.begins_at + known.seconds + _KNOWN_AHEAD_SECONDS
        )
        return Outlook(known_calls=near, waiting=controls.waiting)


def _records(pods: Sequence[Pod]) -> list[WorkerLoad]:
    return [pod.record or _record(pod) for pod in pods]


def _record(pod: Pod) -> WorkerLoad:
    standing = Standing.CLOSED if pod.closed else Standing.OPEN if pod.ready else Standing.STARTING
    pod.record = WorkerLoad(
        name=pod.name,
        slots=pod.slots,
        standing=standing,
        since=pod.created_at,
        calls=tuple(pod.calls.values()),
    )
    return pod.record
