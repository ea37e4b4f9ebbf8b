"""Which words prove nothing any more: those of before a worker's process stopped, of which only the kubelet tells.

A line that breaks tells of it, too. Behind a network that is broken at the same time none does: what was heard last is
a few seconds old, and the process that runs by now may have taken a call.
"""

from dataclasses import replace
from datetime import UTC, datetime

from voicefleet.fleet.observed import Fleet, Pod, Worker

_NEVER = datetime.min.replace(tzinfo=UTC)
_Looks = tuple[datetime | None, bool]


class Doubts:
    """When each pod of one fleet last looked as if its process had stopped or come up; changes with each look."""

    def __init__(self) -> None:
        self._changed: dict[str, tuple[_Looks, datetime]] = {}

    def cast(self, fleet: Fleet, now: datetime) -> Fleet:
        """Return the same fleet, in which a worker must have said since then that it is empty."""
        self._changed = {worker.pod.ref.uid: self._note(worker.pod, now) for worker in fleet}
        return replace(fleet, workers=tuple(map(self._doubt, fleet)))

    def _note(self, pod: Pod, now: datetime) -> tuple[_Looks, datetime]:
        looks, known = (pod.ready_since, pod.process_stopped), self._changed.get(pod.ref.uid)
        if known is None:
            return looks, _NEVER
        return known if known[0] == looks else (looks, now)

    def _doubt(self, worker: Worker) -> Worker:
        _, changed_at = self._changed[worker.pod.ref.uid]
        if worker.heard is None or worker.heard.at > changed_at:
            return worker
        return replace(worker, heard=replace(worker.heard, live=False))
