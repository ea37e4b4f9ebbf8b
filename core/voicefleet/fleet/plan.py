"""What to do next about a fleet: create, cordon, uncordon, delete.

It never names a pod for deletion unless `Worker.may_be_deleted`; it takes capacity away only after as much stands
ready elsewhere; and once the fleet is as wanted it plans nothing. It knows no API and no clock.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from voicefleet.fleet.observed import SILENT_AFTER, Activity, Fleet, PodRef, Worker
from voicefleet.fleet.size import Size

# A pod that ended stays this long before its place is filled again, so that a crash at once is not a crash loop.
FAILED_REST = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The fleet that should be."""

    revision: str
    size: Size
    max_surge_percent: int = 25


@dataclass(frozen=True, slots=True)
class Mark:
    """A pod's label that tells the cluster whether it may be evicted."""

    pod: PodRef
    busy: bool


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """The next steps, safe to repeat: numbers of workers to create, and pods to act on."""

    desired: int = 0
    create: tuple[int, ...] = ()
    cordon: tuple[PodRef, ...] = ()
    uncordon: tuple[PodRef, ...] = ()
    delete: tuple[PodRef, ...] = ()
    mark: tuple[Mark, ...] = ()
    held: bool = False
    """Workers would be taken away, were not the load of some unknown (promise 8)."""
    look_again_after: timedelta | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing is to be done."""
        return not (self.create or self.cordon or self.uncordon or self.delete or self.mark)


def plan_fleet(wanted: Wanted, fleet: Fleet, *, now: datetime) -> FleetPlan:
    """Return the next steps towards the wanted fleet."""
    live = [w for w in fleet if not w.pod.leaving and not w.pod.ended]
    ended = [w for w in fleet if w.pod.ended and not w.pod.leaving]
    current = [w for w in live if w.pod.revision == wanted.revision]
    old = [w for w in live if w.pod.revision != wanted.revision]
    ranked = sorted(current, key=lambda w: _rank(w, now))
    kept, surplus = ranked[: wanted.size.desired], ranked[wanted.size.desired :]
    held = fleet.is_blind(now) and any(w.activity(now) in _CAPACITY for w in surplus)
    # A rollout goes on even so: what it takes away already stands ready elsewhere.
    leaving = _replaced(old, kept, wanted.size.desired, now) + ([] if held else surplus)
    resting = [w for w in ended if not _has_rested(w, now)]
    deleted = [w for w in ended if _has_rested(w, now)] + [w for w in surplus + old if w.may_be_deleted(now)]
    return FleetPlan(
        desired=wanted.size.desired,
        create=_new_numbers(wanted, fleet, places=len(kept) + len(resting), others=len(surplus) + len(old)),
        cordon=_refs(w for w in leaving if _can_be_told(w, now) and not _is_cordoned(w, now)),
        uncordon=_refs(w for w in kept if _can_be_told(w, now) and _is_cordoned(w, now)),
        delete=_refs(deleted),
        # A mark changes the pod, and its deletion would then find another version than the one it was decided on.
        mark=_marks([w for w in live if w not in deleted], now),
        held=held,
        look_again_after=_next_look(live, resting, now),
    )


def plan_marks(fleet: Fleet, *, now: datetime) -> FleetPlan:
    """Return the steps that are right even while nobody knows what the fleet should look like."""
    live = [w for w in fleet if not w.pod.leaving and not w.pod.ended]
    return FleetPlan(desired=len(live), mark=_marks(live, now), look_again_after=_next_look(live, [], now))


# What would be missed.
_CAPACITY = (Activity.FULL, Activity.READY, Activity.SILENT, Activity.STARTING)
_RANKS = {
    Activity.FULL: 0,
    Activity.READY: 1,
    Activity.SILENT: 2,
    Activity.STARTING: 3,
    Activity.CORDONED: 4,
    Activity.FAILED: 5,
}


def _rank(worker: Worker, now: datetime) -> tuple[int, int, str]:
    """Order workers by how much is lost with them; names settle ties, so that two passes agree."""
    return (_RANKS[worker.activity(now)], -worker.calls(now), worker.pod.ref.name)


def _replaced(old: list[Worker], kept: list[Worker], desired: int, now: datetime) -> list[Worker]:
    """Choose the old workers whose callers the new ones can take, those with the fewest calls first."""
    taking = sorted((w for w in old if w.takes_calls(now)), key=lambda w: (w.calls(now), w.pod.ref.name))
    still_needed = max(0, desired - sum(w.takes_calls(now) for w in kept))
    return taking[: max(0, len(taking) - still_needed)]


def _new_numbers(wanted: Wanted, fleet: Fleet, *, places: int, others: int) -> tuple[int, ...]:
    desired = wanted.size.desired
    surge = math.ceil(desired * wanted.max_surge_percent / 100)
    count = max(0, min(desired - places, desired + surge - places - others))
    endings = {w.pod.ref.name.rpartition("-")[2] for w in fleet if w.pod.revision == wanted.revision}
    taken = {int(ending) for ending in endings if ending.isdecimal()}
    free = (number for number in range(len(taken) + count) if number not in taken)
    return tuple(number for number, _ in zip(free, range(count), strict=False))


def _can_be_told(worker: Worker, now: datetime) -> bool:
    state = worker.state(now)
    return state is not None and not state.draining


def _is_cordoned(worker: Worker, now: datetime) -> bool:
    state = worker.state(now)
    return state is not None and state.cordoned


def _has_rested(worker: Worker, now: datetime) -> bool:
    ended_at = worker.pod.ended_at
    return ended_at is None or now - ended_at >= FAILED_REST


def _marks(live: list[Worker], now: datetime) -> tuple[Mark, ...]:
    marks = (Mark(w.pod.ref, _should_be_marked_busy(w, now)) for w in live)
    return tuple(mark for mark, worker in zip(marks, live, strict=True) if mark.busy is not worker.pod.marked_busy)


def _should_be_marked_busy(worker: Worker, now: datetime) -> bool:
    """Tell whether to guard it: one that never came up holds nothing yet, one that fell silent may hold all.

    One that LiveKit lost counts as starting, and may hold calls all the same: its own word goes first.
    """
    never_came_up = worker.state(now) is None and worker.activity(now) is Activity.STARTING
    return not never_came_up and worker.may_hold_calls(now)


def _next_look(live: list[Worker], resting: list[Worker], now: datetime) -> timedelta | None:
    moments = [w.heard.at + SILENT_AFTER for w in live if w.heard is not None and w.state(now) is not None]
    moments += [w.pod.ended_at + FAILED_REST for w in resting if w.pod.ended_at is not None]
    return max(min(moments) - now, timedelta()) + timedelta(milliseconds=100) if moments else None


def _refs(workers: Iterable[Worker]) -> tuple[PodRef, ...]:
    return tuple(worker.pod.ref for worker in workers)
