"""How many calls this worker holds, counted from the moment it says yes.

LiveKit's own estimate counts a call only once its process runs, and goes wrong with the loads that packing
needs; under a burst it would take more calls than there are slots. So this count decides.
"""

import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

# LiveKit weighs open workers by 1 - load, so loads below zero pack calls. Anything below the threshold is open.
LOAD_THRESHOLD = 1.0
CLOSED_LOAD = LOAD_THRESHOLD


@dataclass(slots=True)
class _Call:
    began_seconds: float
    launched: bool = False
    dispatch: str = ""


class Held(NamedTuple):
    """One call on this worker."""

    job: str
    dispatch: str
    age_seconds: float


class Slots:
    """The calls on this worker, by job id. Not for threads: one event loop owns it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._calls: dict[str, _Call] = {}

    @property
    def used(self) -> int:
        """Calls accepted and not yet over."""
        return len(self._calls)

    @property
    def full(self) -> bool:
        """Whether another call would be one too many."""
        return self.used >= self.limit

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._calls

    def take(self, job_id: str, *, now_seconds: float, dispatch: str = "") -> bool:
        """Take a slot for a call; offered twice, it stays one call."""
        if job_id in self._calls:
            return True
        if self.full:
            return False
        self._calls[job_id] = _Call(now_seconds, dispatch=dispatch)
        return True

    def mark_launched(self, job_id: str) -> None:
        """Note that the call has a process; from now on it ends when that does."""
        if job_id in self._calls:
            self._calls[job_id].launched = True

    def give_back(self, job_id: str) -> None:
        """Free the slot of a call that never came; one that has a process ends when that does."""
        if job_id in self._calls and not self._calls[job_id].launched:
            del self._calls[job_id]

    def keep_running(self, running: Collection[str], *, now_seconds: float) -> tuple[str, ...]:
        """Free the slots of launched calls whose process is gone, and return which.

        A process without a slot gets one: a call offered again after a lost connection may fail one time and
        come the other. Doubt about whether a worker is busy means that it is.
        """
        over = tuple(job for job, call in self._calls.items() if call.launched and job not in running)
        for job in over:
            del self._calls[job]
        for job in running:
            self._calls.setdefault(job, _Call(now_seconds)).launched = True
        return over

    def held(self, *, now_seconds: float) -> tuple[Held, ...]:
        """Return each call, the oldest first."""
        return tuple(
            Held(job, call.dispatch, max(0.0, now_seconds - call.began_seconds)) for job, call in self._calls.items()
        )


def reported_load(*, used: int, limit: int, closed: bool, asked: float | None = None) -> float:
    """Return the load to report: as asked while there is room, or else below zero, the fuller the nearer to it.

    12 slots, nothing asked: empty -1.0, six calls -0.5, eleven -0.083; full, cordoned or draining 1.0.
    """
    if closed or used >= limit:
        return CLOSED_LOAD
    return -1.0 + used / limit if asked is None else asked


def load_on_the_wire(load: float) -> float:
    """Return a load as LiveKit reads it: its protocol has half of our digits, so -1000000.01 is -1000000.0."""
    return float(struct.unpack("<f", struct.pack("<f", load))[0])
