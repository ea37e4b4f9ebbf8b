"""How long workers of an older revision may hold their calls: the time counts from when they were closed.

That moment is noted on the pod. It is taken off as soon as the worker serves again: a later rollout would read it as
its own, and end calls that have just begun.
"""

from collections.abc import Iterable
from datetime import datetime

from voicefleet.fleet.observed import PodRef, Worker
from voicefleet.fleet.parts import Parts
from voicefleet.fleet.wanted import Wanted


def to_note(wanted: Wanted, parts: Parts, now: datetime) -> tuple[PodRef, ...]:
    """Return the pods that are to note since when they take no calls, since that is limited; empty ones only go."""
    return tuple(
        worker.pod.ref
        for worker in parts.retiring
        if wanted.drain.limit and worker.calls(now) and worker.is_closed(now) and worker.pod.cordoned_at is None
    )


def to_forget(parts: Parts, staying: Iterable[Worker], now: datetime) -> tuple[PodRef, ...]:
    """Return the pods with a note of an earlier rollout; of a silent worker nobody knows whether it takes calls."""
    noted = [worker for worker in staying if worker.pod.cordoned_at is not None]
    serving = {worker.pod.ref for workers in parts.serving.values() for worker in workers}
    return tuple(worker.pod.ref for worker in noted if worker.pod.ref in serving or worker.is_open(now))


def is_overdue(wanted: Wanted, worker: Worker, now: datetime) -> bool:
    """Tell whether a worker of an older revision holds calls beyond the limit."""
    since, limit = worker.pod.cordoned_at, wanted.drain.limit
    if limit is None or since is None or worker.is_open(now):
        return False
    return now - since >= limit and worker.may_hold_calls(now)
