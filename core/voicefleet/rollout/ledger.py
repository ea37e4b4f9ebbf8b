"""Sums of what workers count, by revision; workers restart, vanish and repeat themselves, and no call counts twice."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from voicefleet.rollout.figures import Figures
from voicefleet.wire import WorkerState


@dataclass(frozen=True, slots=True)
class _Entry:
    revision: str
    instance: str
    figures: Figures
    calls: int


class Ledger:
    """What was counted since the last look, by revision: one accumulator for each fleet, kept in memory.

    It holds one entry for each live worker and one sum for each revision, so it is as large as the fleet. What was
    counted before it first heard of a worker is not known to be of this rollout, and does not count.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._sums: dict[str, Figures] = {}

    def note(self, uid: str, revision: str, state: WorkerState) -> Figures:
        """Take down what a worker says, and return what it has counted since it was heard before.

        The revision is that of its pod, not the one that it claims.
        """
        figures, before = Figures.of(state.tally), self._entries.get(uid)
        self._entries[uid] = _Entry(revision, state.instance, figures, len(state.sessions))
        if before is None:
            return Figures()
        if before.instance != state.instance or figures.fell_since(before.figures):
            # Another process in the same pod: it counts from zero, and its forerunner took its calls along.
            return self._add(revision, figures + _failed(before.calls))
        return self._add(revision, figures - before.figures)

    def crashed(self, uid: str) -> Figures:
        """Take down that a worker's containers ended by themselves, and return the calls that it held with them."""
        entry = self._entries.pop(uid, None)
        return Figures() if entry is None else self._add(entry.revision, _failed(entry.calls))

    def retain(self, uids: Collection[str]) -> None:
        """Forget workers that are gone; calls lost with a node say nothing about a revision."""
        self._entries = {uid: entry for uid, entry in self._entries.items() if uid in uids}

    def since_look(self) -> Mapping[str, Figures]:
        """Return what was counted since the last look was closed."""
        return dict(self._sums)

    def close_look(self, used: Mapping[str, Figures], revisions: Iterable[str]) -> None:
        """Take away what a decision used, once its status is written; revisions that are not named are forgotten."""
        self._sums = {
            revision: self._sums[revision] - used.get(revision, Figures())
            for revision in revisions
            if revision in self._sums
        }

    def _add(self, revision: str, figures: Figures) -> Figures:
        if figures != Figures():
            self._sums[revision] = self._sums.get(revision, Figures()) + figures
        return figures


def _failed(calls: int) -> Figures:
    return Figures(calls_ended=calls, calls_failed=calls)
