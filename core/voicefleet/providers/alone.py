"""Which workers of a pool decide alone although it names a Redis, by their own word.

Every worker says so in its first seconds, and all do for ten once Redis has lost its data, or for a moment while it
moves. Only those that go on saying so do not reach it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from voicefleet.names import SILENT_AFTER_SECONDS
from voicefleet.wire import WorkerState

ALONE_AFTER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Sharing:
    """How many of the workers that were given a Redis do without."""

    workers: int = 0
    alone: int = 0


@dataclass(slots=True)
class SharingLedger:
    """When each worker last said whether it shares, and since when it says that it does not."""

    _said_at: dict[str, float] = field(default_factory=dict)
    _alone_since: dict[str, float] = field(default_factory=dict)

    def note(self, uid: str, state: WorkerState, at: float) -> None:
        """Take down what a worker says; one without Redis, or an old one, says nothing."""
        if state.shares_health is None:
            self._said_at.pop(uid, None)
            return
        self._said_at[uid] = at
        if state.shares_health:
            self._alone_since.pop(uid, None)
        else:
            self._alone_since.setdefault(uid, at)

    def retain(self, uids: Collection[str]) -> None:
        """Forget workers that are gone."""
        self._said_at = {uid: at for uid, at in self._said_at.items() if uid in uids}
        self._alone_since = {uid: at for uid, at in self._alone_since.items() if uid in uids}

    def count(self, now: float) -> Sharing:
        """Return how many of those do without that were heard just now."""
        heard = [uid for uid, at in self._said_at.items() if now - at <= SILENT_AFTER_SECONDS]
        alone = sum(now - self._alone_since.get(uid, now) >= ALONE_AFTER_SECONDS for uid in heard)
        return Sharing(len(heard), alone)
