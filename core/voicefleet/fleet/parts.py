"""A fleet sorted by what becomes of its workers: those that serve, those that leave, those that are over."""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from voicefleet.autoscaling.load import Size
from voicefleet.fleet.observed import Activity, Fleet, Worker
from voicefleet.fleet.wanted import Wanted

# So many calls more than would spare a worker must be expected to last before one is taken away for it.
_WAVERING = 1.0
RESIZED_WITHIN = timedelta(minutes=2)
"""A node that has no room for a worker's new size may never have: as all others on it may wait for the same."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The workers of a fleet, each in exactly one part; those whose pod is being deleted are in none."""

    serving: dict[str, list[Worker]]
    """Workers of the revisions that take new calls."""
    retiring: list[Worker]
    """Workers that others replace, once those take calls: of an older revision, or of a size that cannot be mended."""
    fleeing: list[Worker]
    """Workers whose node goes: they take no new call from now on, whether or not others stand ready."""
    ended: list[Worker]

    @property
    def live(self) -> list[Worker]:
        """Return all whose process may run."""
        return [*(worker for workers in self.serving.values() for worker in workers), *self.retiring, *self.fleeing]


def sort_out(wanted: Wanted, fleet: Fleet, now: datetime) -> Parts:
    """Return the parts of a fleet."""
    parts = Parts({revision: [] for revision in wanted.active}, [], [], [])
    for worker in fleet:
        if not worker.pod.leaving:
            _part_of(parts, wanted, worker, now).append(worker)
    return parts


def _part_of(parts: Parts, wanted: Wanted, worker: Worker, now: datetime) -> list[Worker]:
    if worker.pod.ended:
        return parts.ended
    # One that starts there is waited for: were it replaced, its successor might land there too, and the next as well.
    if worker.pod.node_is_leaving and worker.activity(now) is not Activity.STARTING:
        return parts.fleeing
    if worker.pod.revision not in parts.serving or _cannot_stay(wanted, worker, now):
        return parts.retiring
    return parts.serving[worker.pod.revision]


def _cannot_stay(wanted: Wanted, worker: Worker, now: datetime) -> bool:
    state = worker.state(now)
    if state is not None and state.draining:
        return True
    if has_other_size(wanted, worker):
        return worker.pod.resize_refused or not wanted.resize_in_place
    since = worker.pod.resizing_since
    return since is not None and now - since > RESIZED_WITHIN


def has_other_size(wanted: Wanted, worker: Worker) -> bool:
    """Tell whether a worker has other resources than its revision asks for now."""
    resources = wanted.resources.get(worker.pod.revision)
    return bool(resources and worker.pod.resources) and resources != worker.pod.resources


def held_calls(worker: Worker, slots: int, now: datetime) -> int:
    """Count the slots that a worker may have in use; all of them if it has fallen silent."""
    if worker.activity(now) is Activity.SILENT:
        return worker.heard.state.slots if worker.heard else slots
    return worker.calls(now)


def split_size(wanted: Wanted, elsewhere: float) -> dict[str, Size]:
    """Return the size of each revision that takes new calls; calls elsewhere need no slot of theirs.

    5 workers wanted and 30 calls on old ones, at 12 a worker: 3 new ones hold what the old ones will not. How many of
    these last is an estimate, and moves: whom 29.9 made necessary, 30.1 does not take away.
    """
    size = wanted.size
    spared, surely_spared = (int(max(0.0, calls) // wanted.slots) for calls in (elsewhere, elsewhere - _WAVERING))
    desired = max(min(1, size.desired), size.desired - spared)
    keep = max(desired, size.keep - surely_spared)
    if len(wanted.active) == 1:
        return {wanted.target: replace(size, desired=desired, keep=keep)}
    share = wanted.share_percent / 100
    return {
        wanted.target: _part_size(size, math.ceil(desired * share), math.ceil(keep * share)),
        wanted.active[1]: _part_size(size, math.ceil(desired * (1 - share)), math.ceil(keep * (1 - share))),
    }


def _part_size(size: Size, desired: int, keep: int) -> Size:
    least = min(1, size.desired)
    return replace(size, desired=max(least, desired), keep=max(least, desired, keep))
