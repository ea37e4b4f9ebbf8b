"""A fleet's workers counted once, for the decision about their number."""

from collections.abc import Sequence
from dataclasses import dataclass

from voicefleet.autoscaling.load import Standing, Startup, WorkerLoad

OVERDUE_FACTOR = 1.5
"""A start that takes so many times longer than 99 of 100 is taken for one that will never end."""


@dataclass(frozen=True, slots=True)
class Census:
    """How many workers of each sort there are, and what they hold."""

    calls: int
    total: int
    open: int
    busy: int
    """Workers that hold calls, or may."""
    silent: int
    silent_calls: int
    """Calls on workers that have fallen silent, by their last word; such workers take no more."""
    overdue: int
    """Workers that should have started long ago."""
    sizes: tuple[int, ...]
    """Slots of the workers that can be counted on, those with the most calls first."""

    @property
    def replaced(self) -> int:
        """How many overdue starts another worker stands in for: few, since what stops one may stop them all."""
        return min(self.overdue, max(1, self.open // 10))


def take_census(workers: Sequence[WorkerLoad], startup: Startup, now: float) -> Census:
    """Return the workers counted."""
    silent = [worker for worker in workers if not worker.known]
    overdue_before = now - OVERDUE_FACTOR * startup.q99
    usable, overdue, open_workers = [], 0, 0
    for worker in workers:
        if not worker.known:
            continue
        if worker.standing is Standing.STARTING and worker.since < overdue_before:
            overdue += 1
            continue
        usable.append(worker)
        open_workers += worker.standing is Standing.OPEN
    usable.sort(key=lambda worker: -len(worker.calls))
    return Census(
        calls=sum(len(worker.calls) for worker in workers),
        total=len(workers),
        open=open_workers,
        busy=sum(1 for worker in workers if worker.calls or not worker.known),
        silent=len(silent),
        silent_calls=sum(len(worker.calls) for worker in silent),
        overdue=overdue,
        sizes=tuple(worker.slots for worker in usable),
    )
