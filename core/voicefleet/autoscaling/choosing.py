"""Which workers to open, close, create and delete for a size.

Opening undoes a cordon and comes before creating. Only a worker that was closed, is heard and holds no call is deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from voicefleet.autoscaling.load import Size, Standing, WorkerLoad


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do about the workers of one fleet."""

    create: int = 0
    open: tuple[str, ...] = ()
    close: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()


def choose(workers: Sequence[WorkerLoad], size: Size, now: float, *, blind: bool = False) -> Choice:
    """Return what brings the workers to their size; a blind operator only adds."""
    del now  # by counts alone: the longest remaining call packs no better when measured
    closed = sorted((w for w in workers if w.standing is Standing.CLOSED and w.known), key=_fullest_first)
    serving = sum(1 for w in workers if w.standing is not Standing.CLOSED)
    create = max(0, size.desired - len(workers))
    opened = closed[: max(0, size.desired - serving)]
    if blind:
        return Choice(create, _names(opened))
    # Starting workers are not counted as surplus: they could not be closed, and may never come.
    close = _to_close(workers, size) if not opened else ()
    empty = [worker for worker in closed[len(opened) :] if not worker.calls]
    spare = max(0, len(workers) - max(size.keep, size.desired))
    return Choice(create, _names(opened), _names(close), _names(empty[:spare]))


def _to_close(workers: Sequence[WorkerLoad], size: Size) -> Sequence[WorkerLoad]:
    candidates = [worker for worker in workers if worker.standing is Standing.OPEN]
    surplus = len(candidates) - max(size.keep, size.desired)
    if surplus <= 0:
        return ()
    heard = sorted((worker for worker in candidates if worker.known), key=_fullest_first, reverse=True)
    return heard[:surplus]


def _fullest_first(worker: WorkerLoad) -> tuple[int, float, str]:
    return -len(worker.calls), worker.since, worker.name


def _names(workers: Sequence[WorkerLoad]) -> tuple[str, ...]:
    return tuple(worker.name for worker in workers)
