"""What a caller said and nobody has written down yet: it is played to whoever hears next."""

from collections import deque
from collections.abc import Iterator

from livekit import rtc

_LONGEST_SECONDS = 30.0
# Where a recogniser does not tell when the words ended that it has written down, the last of what it heard is kept.
_KEPT_SECONDS = 0.3


class Tape:
    """Frames of sound by their place on the time of a call."""

    def __init__(self) -> None:
        self._frames: deque[rtc.AudioFrame] = deque()
        self._seconds = 0.0
        self.end_seconds = 0.0
        """Length of everything that was ever recorded."""

    def __iter__(self) -> Iterator[rtc.AudioFrame]:
        return iter(tuple(self._frames))

    @property
    def begin_seconds(self) -> float:
        """Where the first frame lies that is still here."""
        return self.end_seconds - self._seconds

    def record(self, frame: rtc.AudioFrame) -> None:
        """Keep a frame, and let go of what is too old for anybody to wait for an answer to it."""
        self._frames.append(frame)
        self._seconds += frame.duration
        self.end_seconds += frame.duration
        self.cut(self.end_seconds - _LONGEST_SECONDS)

    def cut(self, until_seconds: float) -> None:
        """Let go of what lies before a moment."""
        while self._frames and self.begin_seconds + self._frames[0].duration <= until_seconds + 1e-6:
            self._seconds -= self._frames.popleft().duration
        if not self._frames:
            self._seconds = 0.0

    def written_down(self, until_seconds: float | None) -> None:
        """Let go of what was heard and understood, as far as anybody knows up to where."""
        self.cut(self.end_seconds - _KEPT_SECONDS if until_seconds is None else until_seconds)
