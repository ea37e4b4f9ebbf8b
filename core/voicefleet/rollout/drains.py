"""How the calls on replaced workers end: counted from one observation to the next.

Drained = finished + cut + those that still go on. Only the sums survive a restart of the operator; calls that ended
while nobody looked count as finished, since that is how nearly all calls end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class WorkerCalls:
    """One worker as far as drains are concerned."""

    uid: str
    revision: str
    calls: int | None
    """Calls that it holds; None if it is silent, or if its pod has ended."""
    closed: bool = False
    """Whether it takes no new calls: cordoned, draining or leaving."""
    ended: bool = False
    """Whether its pod is over, with whatever it held."""
    ending_calls: bool = False
    """Whether it was told to end its calls, be it by a limit or by a person."""
    process: str = ""
    """Which process of its pod speaks, if it says so: a container that starts again has lost its calls."""

    def was_started_anew(self, before: "WorkerCalls") -> bool:
        """Tell whether this is another process than before."""
        return "" not in (self.process, before.process) and self.process != before.process


@dataclass(frozen=True, slots=True)
class Drains:
    """What became of the calls that replaced workers held when they were cordoned."""

    drained: int = 0
    finished: int = 0
    cut: int = 0
    held: Mapping[str, WorkerCalls] = field(default_factory=dict)
    """Each worker that drains, as last heard."""

    @property
    def going_on(self) -> int:
        """Count the drained calls that have not ended."""
        return sum(worker.calls or 0 for worker in self.held.values())

    resumed: bool = False
    """Whether the sums come from a status, and who held what is still to be seen."""

    @classmethod
    def resume(cls, drained: int, finished: int, cut: int) -> Self:
        """Return the bookkeeping as a status remembers it."""
        return cls(drained, finished, cut, resumed=True)

    def note(self, workers: Iterable[WorkerCalls], *, target: str) -> "Drains":
        """Return the bookkeeping after one more look at all workers; those of the target are not replaced."""
        seen = {worker.uid: worker for worker in workers}
        if self.resumed and any(w.calls is None and not w.ended and w.revision != target for w in seen.values()):
            # After a restart nobody is heard yet, and what is not heard of has not finished.
            return self
        after = self._with_ends(seen)
        for worker in seen.values():
            if worker.closed and worker.revision != target and not worker.ended and worker.calls is not None:
                after = after._with_calls(worker)
        return after._settled() if self.resumed else after

    def _with_ends(self, seen: Mapping[str, WorkerCalls]) -> "Drains":
        """Settle those that are no longer draining: gone or started anew with calls is cut, opened again is none."""
        after = self
        for uid, before in self.held.items():
            worker, calls = seen.get(uid), before.calls or 0
            if worker is None or worker.ended or worker.was_started_anew(before):
                after = after._without(uid, cut=after.cut + calls)
            elif not worker.closed and worker.calls is not None:
                after = after._without(uid, drained=after.drained - calls)
        return after

    def _with_calls(self, worker: WorkerCalls) -> "Drains":
        calls, known = worker.calls or 0, self.held.get(worker.uid)
        before = (known.calls or 0) if known is not None else 0
        after = replace(self, held={**self.held, worker.uid: worker})
        if calls > before:
            # A call may still have been on its way when the worker was cordoned.
            return replace(after, drained=after.drained + calls - before)
        if worker.ending_calls:
            return replace(after, cut=after.cut + before - calls)
        return replace(after, finished=after.finished + before - calls)

    def _without(self, uid: str, *, drained: int | None = None, cut: int | None = None) -> "Drains":
        held = {other: worker for other, worker in self.held.items() if other != uid}
        return replace(
            self,
            held=held,
            drained=self.drained if drained is None else drained,
            cut=self.cut if cut is None else cut,
        )

    def _settled(self) -> "Drains":
        """Match what is held now with what a status remembers, after a restart."""
        held = self.going_on
        # The first look counted all that is held as newly drained.
        before = self.drained - held
        outstanding = before - self.finished - self.cut
        finished = self.finished + max(0, outstanding - held)
        return replace(self, drained=max(before, finished + self.cut + held), finished=finished, resumed=False)
