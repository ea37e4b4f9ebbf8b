"""Which pods the cluster is told to guard, because they hold calls or may, and by what."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from voicefleet.api.metadata import ObjectMeta
from voicefleet.fleet.observed import Activity, PodRef, Worker
from voicefleet.manifests import Manifest
from voicefleet.manifests.children import build_busy_guard

# Each is a write; a turn that had hundreds to make would decide about callers who hung up long ago.
WRITES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Mark:
    """A pod's label that tells the cluster whether it may be evicted."""

    pod: PodRef
    busy: bool


def plan_guards(live: list[Worker], now: datetime) -> tuple[Mark, ...]:
    """Return the marks to set, guards before their removal; the next turn goes on where there are many."""
    marks = (Mark(w.pod.ref, _should_be_marked_busy(w, now)) for w in live)
    wrong = [mark for mark, worker in zip(marks, live, strict=True) if mark.busy is not worker.pod.marked_busy]
    return tuple(sorted(wrong, key=lambda mark: not mark.busy)[:WRITES_AT_ONCE])


def build_guards(owner: ObjectMeta, fleet: Iterable[Worker], marks: Iterable[Mark] = ()) -> tuple[Manifest, ...]:
    """Return the budget over the busy pods, while there are any: over none, Kubernetes tells of it again and again."""
    is_needed = any(mark.busy for mark in marks) or any(worker.pod.marked_busy for worker in fleet)
    return (build_busy_guard(owner),) if is_needed else ()


def _should_be_marked_busy(worker: Worker, now: datetime) -> bool:
    """Tell whether to guard it: one that never came up holds nothing yet, one that fell silent may hold all.

    One that LiveKit lost counts as starting, and may hold calls all the same: its own word goes first.
    """
    never_came_up = worker.state(now) is None and worker.activity(now) is Activity.STARTING
    return not never_came_up and worker.may_hold_calls(now)
