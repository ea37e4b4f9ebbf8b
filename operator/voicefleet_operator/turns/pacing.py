"""Writing about one object no more often than every other second, and later while many new ones come."""

import time
from collections import deque
from collections.abc import Callable

_PAUSE_SECONDS = 2.0
# What is said of a fleet that has just been asked for is soon said again: pods for all come before words about any.
_LONGEST_PAUSE_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 10.0
# More keys than this, and whoever comes next waits for long enough to notice; more newcomers than this within a moment,
# and the cluster is busy with them.
_CROWD = 8
_MOMENT_SECONDS = 2.0


class Pacer:
    """When each object was last written about, by uid, and since when there is something new to say."""

    def __init__(self, *, waiting: Callable[[], int] = lambda: 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting = waiting
        self._clock = clock
        self._wrote_at: dict[str, float] = {}
        self._news_since: dict[str, float] = {}
        self._newcomers: deque[float] = deque()

    def wait_seconds(self, uid: str) -> float:
        """Return how long to wait before the next word about an object that has news."""
        now = self._clock()
        if uid not in self._wrote_at and uid not in self._news_since:
            self._newcomers.append(now)
        since = self._news_since.setdefault(uid, now)
        patience = since + _LONGEST_PAUSE_SECONDS - now if self._is_crowded(now) else 0.0
        return max(
            0.0, self._wrote_at.get(uid, float("-inf")) + _PAUSE_SECONDS - now, min(patience, _LOOK_AGAIN_SECONDS)
        )

    def note(self, uid: str) -> None:
        """Note that something was written now."""
        self._wrote_at[uid] = self._clock()
        self._news_since.pop(uid, None)

    def forget(self, uid: str) -> None:
        """Forget an object that is gone."""
        self._wrote_at.pop(uid, None)
        self._news_since.pop(uid, None)

    def _is_crowded(self, now: float) -> bool:
        while self._newcomers and self._newcomers[0] <= now - _MOMENT_SECONDS:
            self._newcomers.popleft()
        return self._waiting() > _CROWD or len(self._newcomers) > _CROWD
