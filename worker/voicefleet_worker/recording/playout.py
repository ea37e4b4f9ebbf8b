"""When what an agent says is heard: it is made faster than it is spoken, and a caller may cut it short.

Where the sink plays is told only when a sentence is over; whoever waits for that loses it when the process is killed.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]


class Playout:
    """Pieces of sound, one after the other, each no sooner than it was made. Times are those of one clock."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pieces: deque[tuple[float, Samples]] = deque()
        self._end = 0.0
        self._paused_at: float | None = None

    def add(self, samples: Samples, now: float) -> None:
        """Play a piece when those before it are over."""
        begin = max(self._end, now if self._paused_at is None else self._paused_at)
        self._pieces.append((begin, samples))
        self._end = begin + len(samples) / self._rate

    def pause(self, now: float) -> None:
        """Play nothing until further notice."""
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, now: float) -> None:
        """Go on where it was paused."""
        if self._paused_at is None:
            return
        paused_at, self._paused_at = self._paused_at, None
        # What was heard before the pause keeps its time; the rest of a word comes after it.
        heard, rest = list(self._until(paused_at)), list(self._pieces)
        shifted = [(max(at, paused_at) + now - paused_at, samples) for at, samples in rest]
        self._pieces = deque([*heard, *shifted])
        self._end = max(self._end, paused_at) + now - paused_at if rest else self._end

    def clear(self, now: float) -> None:
        """Forget what has not been heard yet."""
        heard_until = now if self._paused_at is None else self._paused_at
        kept = [(at, samples[: self._count(heard_until - at)]) for at, samples in self._pieces if at < heard_until]
        self._pieces = deque(kept)
        self._end = min(self._end, heard_until)

    def take(self, now: float) -> Iterator[tuple[float, Samples]]:
        """Give away what has begun to be heard, with the time at which it did."""
        yield from self._until(now if self._paused_at is None else min(now, self._paused_at))

    def _until(self, until: float) -> Iterator[tuple[float, Samples]]:
        while self._pieces and self._pieces[0][0] < until:
            begin, samples = self._pieces.popleft()
            heard = self._count(until - begin)
            if heard < len(samples):
                self._pieces.appendleft((begin + heard / self._rate, samples[heard:]))
            if heard:
                yield begin, samples[:heard]
            if heard < len(samples):
                return

    def _count(self, seconds: float) -> int:
        return max(0, round(seconds * self._rate))
