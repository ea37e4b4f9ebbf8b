"""Two channels on one time line. Silence is whatever nothing was written over, or what nobody may hear again."""

import threading
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

CALLER, AGENT = 0, 1
# A network that hiccups delivers late and then all at once; only sound that stays late was really silence before.
_LATE_SECONDS = 0.1
_STAYS_LATE_SECONDS = 0.5


@dataclass(slots=True)
class Run:
    """Sound that arrives piece by piece and has no time of its own but that of its arrival."""

    rate: int
    end: float | None = None
    _late_since: float | None = None

    def place(self, count: int, arrived_at: float) -> float:
        """Return when a piece began that has just come to its end."""
        begin = arrived_at - count / self.rate
        if self.end is None or self._is_anew(begin - self.end, arrived_at):
            self.end, self._late_since = begin, None
        begin, self.end = self.end, self.end + count / self.rate
        return begin

    def _is_anew(self, late_seconds: float, now: float) -> bool:
        if late_seconds <= _LATE_SECONDS:
            self._late_since = None
            return False
        if late_seconds > 2 * _STAYS_LATE_SECONDS:
            return True
        self._late_since = now if self._late_since is None else self._late_since
        return now - self._late_since > _STAYS_LATE_SECONDS


@dataclass(slots=True)
class Timeline:
    """What was heard since a moment, as far as it was not taken yet. Written by a call, read by a thread of its own."""

    rate: int
    began_at: float
    _placed: tuple[list[tuple[int, Samples]], list[tuple[int, Samples]]] = field(default_factory=lambda: ([], []))
    _pauses: list[tuple[int, int | None]] = field(default_factory=list)
    _taken: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def place(self, channel: int, at: float, samples: Samples) -> None:
        """Put sound where it belongs; what comes too late for that is lost."""
        with self._lock:
            self._placed[channel].append((self._index(at), samples))

    def pause(self, now: float) -> None:
        """Let nobody hear what is said from now on."""
        with self._lock:
            if not self.is_paused:
                self._pauses.append((self._index(now), None))

    def resume(self, now: float) -> None:
        """Let everybody hear again."""
        with self._lock:
            if self.is_paused:
                self._pauses[-1] = (self._pauses[-1][0], self._index(now))

    @property
    def is_paused(self) -> bool:
        """Whether what is said now is left out."""
        return bool(self._pauses) and self._pauses[-1][1] is None

    def take(self, until: float) -> Samples:
        """Return both channels from where they were taken last until a moment, interleaved as players want them."""
        with self._lock:
            begin, end = self._taken, max(self._taken, self._index(until))
            block = np.zeros((end - begin, 2), dtype=np.int16)
            for channel, placed in enumerate(self._placed):
                placed[:] = [rest for piece in placed if (rest := _write(block[:, channel], begin, piece)) is not None]
            for first, last in self._pauses:
                block[max(0, first - begin) : None if last is None else max(0, last - begin)] = 0
            self._pauses = [pause for pause in self._pauses if pause[1] is None or pause[1] > end]
            self._taken = end
            return block

    def _index(self, at: float) -> int:
        return round((at - self.began_at) * self.rate)


def _write(channel: npt.NDArray[np.int16], begin: int, piece: tuple[int, Samples]) -> tuple[int, Samples] | None:
    """Write the part of a piece that falls into a block, and return what comes after the block."""
    at, samples = piece
    end = begin + len(channel)
    first, last = max(at, begin), min(at + len(samples), end)
    if first < last:
        channel[first - begin : last - begin] = samples[first - at : last - at]
    if at + len(samples) <= end:
        return None
    keep = max(at, end)
    return keep, samples[keep - at :]
