"""Room for calls: how much there is, how much is wanted, and which workers may close without lowering it.

Calls on workers that take no new ones need no slot elsewhere for as long as they last. Some end before another worker
could stand in for theirs, so only those count that are expected to last for one start-up.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from voicefleet.autoscaling.census import OVERDUE_FACTOR
from voicefleet.autoscaling.survival import BINS
from voicefleet.fleet.observed import Activity, Worker
from voicefleet.fleet.parts import Parts, held_calls
from voicefleet.fleet.wanted import Wanted


@dataclass(frozen=True)
class Room:
    """A fleet at one moment, counted in slots."""

    wanted: Wanted
    parts: Parts
    now: datetime
    _known: dict[str, float] = field(init=False, default_factory=dict, compare=False, repr=False)

    @property
    def elsewhere(self) -> float:
        """Count the lasting calls on workers that take no part in the future."""
        return sum(map(self.lasting, (*self.parts.retiring, *self.parts.fleeing)))

    @cached_property
    def free(self) -> int:
        """Count the free slots of workers that stay where they are."""
        return sum(worker.free_slots(self.now) for worker in self.parts.live if not worker.pod.node_is_leaving)

    @cached_property
    def lacking(self) -> float:
        """Return by how many slots there are fewer than wanted; below zero if there are more."""
        return max(0.0, self._wanted_free(with_lasting=True)) - self.free

    def closing(self, surplus: list[Worker]) -> list[Worker]:
        """Choose the workers that take no new calls: the surplus, and those that others replace.

        Only as far as others have the free slots that are wanted; those with the fewest calls go first. Until the
        first worker of the target takes calls nothing proves that another will, and lasting calls spare no slot: else
        a revision that never comes up would take away all workers that were full when it was asked for.
        """
        proven = any(worker.takes_calls(self.now) for worker in self.parts.serving[self.wanted.target])
        # One that bears the note of an earlier rollout loses it first: by it its calls would be ended at once.
        replaced = [w for w in self.parts.retiring if w.takes_calls(self.now) and w.pod.cordoned_at is None]
        replaced.sort(key=lambda w: (w.calls(self.now), w.pod.ref.name))
        free, wanted_free = self.free, self._wanted_free(with_lasting=proven)
        # Old workers may have more slots than new ones: while there are none of these, their number counts, too.
        spare = len(self.parts.live) if proven else self._taking - self.wanted.size.desired
        closing: list[Worker] = []
        for worker in [*surplus, *replaced]:
            free_then = free - worker.free_slots(self.now)
            ending = worker.calls(self.now) - (self.lasting(worker) if proven else 0.0)
            fits = free_then >= wanted_free + ending and len(closing) < spare
            if fits or self.wanted.size.desired == 0:
                free, wanted_free = free_then, wanted_free + ending
                closing.append(worker)
        return closing

    @property
    def _taking(self) -> int:
        return sum(worker.takes_calls(self.now) and not worker.pod.node_is_leaving for worker in self.parts.live)

    def reopening(self, coming: int) -> list[Worker]:
        """Choose closed workers of the revision that calls go back to, if its successor does not come up in time.

        They are opened as far as slots are lacking beside those of so many workers that are on their way.
        """
        lacking, opened = self.lacking - coming * self.wanted.slots, []
        closed = [w for w in self.parts.retiring if w.pod.revision == self.wanted.refuge and w.may_be_opened(self.now)]
        for worker in sorted(closed, key=lambda w: (-w.calls(self.now), w.pod.ref.name)):
            if lacking <= 0:
                break
            lacking -= self._cost(worker)
            opened.append(worker)
        return opened

    @property
    def next_to_replace(self) -> float:
        """Return the slots that must be spare for the next retiring worker to close, unless one is on its way out.

        With 2 x 16 slots wanted, 2 old workers of 12 and a new one of 16 leave 8 to spare, too few for either of the
        old.
        """
        if not all(worker.takes_calls(self.now) for worker in self.parts.retiring):
            return 0.0
        return min((self._cost(worker) for worker in self.parts.retiring), default=0.0)

    def comes(self, worker: Worker) -> bool:
        """Tell whether a worker is on its way up, as far as anybody can tell."""
        if worker.activity(self.now) is not Activity.STARTING or worker.pod.trouble is not None:
            return False
        if self.wanted.lessons is None or worker.pod.created_at is None:
            return True
        age_seconds = (self.now - worker.pod.created_at).total_seconds()
        return age_seconds <= OVERDUE_FACTOR * self.wanted.lessons.startup.q99

    def lasting(self, worker: Worker) -> float:
        """Return the calls on a worker that are expected to last for one start-up."""
        known = self._known.get(worker.pod.ref.uid)
        if known is None:
            known = self._known[worker.pod.ref.uid] = _lasting(self.wanted, worker, self.now)
        return known

    def _wanted_free(self, *, with_lasting: bool) -> float:
        """Return the free slots that the wanted size leaves beside the calls that are held, and will be."""
        held = 0.0
        for worker in self.parts.live:
            if worker.takes_calls(self.now) and not worker.pod.node_is_leaving:
                held += worker.calls(self.now)
            elif with_lasting or worker.activity(self.now) is Activity.SILENT:
                held += self.lasting(worker)
        return self.wanted.size.desired * self.wanted.slots - held

    def _cost(self, worker: Worker) -> float:
        """Return the slots that go with a worker when it closes, and come back with it."""
        state = worker.state(self.now)
        return max(0.0, state.slots - self.lasting(worker)) if state else 0.0


def _lasting(wanted: Wanted, worker: Worker, now: datetime) -> float:
    """Return the calls that will last for one start-up; all of them where nothing is known of how long calls last."""
    if wanted.lessons is None or worker.heard is None or worker.activity(now) is Activity.SILENT:
        return float(held_calls(worker, wanted.slots, now))
    state, curve = worker.state(now), wanted.lessons.survival
    if state is None or not state.sessions:
        return 0.0
    stays = curve.ahead(float(math.ceil(wanted.lessons.startup.q95))).stays
    since = (now - worker.heard.at).total_seconds()
    steps = (int(max(0.0, call.age_seconds + since) / curve.step_seconds) for call in state.sessions)
    return sum(stays[min(step, BINS - 1)] for step in steps)
