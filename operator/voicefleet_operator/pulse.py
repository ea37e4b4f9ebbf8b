"""How late the event loop is: whatever holds it up holds up everything, the lease first."""

import asyncio
import time
from collections.abc import Callable

from voicefleet.names import SILENT_AFTER_SECONDS
from voicefleet_operator.metrics import Metrics

_BEAT_SECONDS = 0.5
# Half of what the lease allows: a process that is held up for so long again and again had better be a new one.
_TOO_LATE_SECONDS = 5.0
_TOO_OFTEN = 3
# Whoever is so late decides on what was so long ago.
_LATE_SECONDS = 3.0
# As long as a lead lasts that is not renewed.
_STUCK_SECONDS = 10.0
# As long as a worker may be silent before nobody goes by its word.
_BROKEN_SECONDS = SILENT_AFTER_SECONDS
# A server sends a bookmark each minute to whoever hears nothing else; one that does not has forgotten us.
QUIET_SECONDS = 90.0


class Pulse:
    """A beat twice a second, and how late each one came."""

    def __init__(self, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._late_in_row = 0
        self._beat_at = clock()
        self.lag_seconds = 0.0
        """Of the last beat."""

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            due = self._clock() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self.beat(self._clock() - due)

    def beat(self, lag_seconds: float) -> None:
        """Take down one beat."""
        self._beat_at = self._clock()
        self.lag_seconds = max(0.0, lag_seconds)
        self._late_in_row = self._late_in_row + 1 if self.lag_seconds > _TOO_LATE_SECONDS else 0
        self._metrics.loop_lag.observe(self.lag_seconds)

    def is_late(self) -> bool:
        """Tell whether the loop is held up for so long that what it has taken in is old."""
        return self.lag_seconds > _LATE_SECONDS

    def is_stuck(self) -> bool:
        """Tell, to another thread, whether the loop does not come round any more."""
        return self._clock() - self._beat_at > _STUCK_SECONDS

    def why_dead(self) -> str | None:
        """Say that the loop is held up for good, if so."""
        if self._late_in_row < _TOO_OFTEN:
            return None
        return f"the event loop was more than {_TOO_LATE_SECONDS:g} seconds late {self._late_in_row} times in a row"


class LastWord:
    """When something was last heard."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at: float | None = None

    def note(self) -> None:
        """Take down that it was heard now."""
        self._at = self._clock()

    def age_seconds(self) -> float | None:
        """Return how long ago that was, if ever."""
        return None if self._at is None else self._clock() - self._at


class Freshness:
    """Whether what a watch has told is how things are, as far as anybody can know."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard_at = clock()
        self._broken_at: float | None = None

    def heard(self) -> None:
        """Take down a word, or a list, which tells everything at once."""
        self._heard_at, self._broken_at = self._clock(), None

    def opened(self) -> None:
        """Take down that the server tells again what happens, though nothing may happen for now."""
        self._broken_at = None

    def broke(self) -> None:
        """Take down that nobody tells anything."""
        self._broken_at = self._clock() if self._broken_at is None else self._broken_at

    def is_old(self) -> bool:
        """Tell whether too much may have happened unheard."""
        now = self._clock()
        broken = self._broken_at is not None and now - self._broken_at > _BROKEN_SECONDS
        return broken or now - self._heard_at > QUIET_SECONDS
