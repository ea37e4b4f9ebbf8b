"""Writing about one object no more often than every other second, and later while others wait for their turn."""

import time
from collections.abc import Callable

_PAUSE_SECONDS = 2.0
# What is said of a fleet that has just been asked for is soon said again: pods for all come before words about any.
_CROWDED_PAUSE_SECONDS = 10.0
# More keys than this, and whoever comes next waits for long enough to notice.
_CROWD = 8


class Pacer:
    """When each object was last written about, by uid, and since when there is something new to say."""

    def __init__(self, *, waiting: Callable[[], int] = lambda: 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting = waiting
        self._clock = clock
        self._wrote_at: dict[str, float] = {}
        self._news_since: dict[str, float] = {}

    def wait_seconds(self, uid: str) -> float:
        """Return how long to wait before the next word about an object that has news."""
        now = self._clock()
        since = self._news_since.setdefault(uid, now)
        crowded = _CROWDED_PAUSE_SECONDS if self._waiting() > _CROWD else 0.0
        return max(0.0, self._wrote_at.get(uid, float("-inf")) + _PAUSE_SECONDS - now, since + crowded - now)

    def note(self, uid: str) -> None:
        """Note that something was written now."""
        self._wrote_at[uid] = self._clock()
        self._news_since.pop(uid, None)

    def forget(self, uid: str) -> None:
        """Forget an object that is gone."""
        self._wrote_at.pop(uid, None)
        self._news_since.pop(uid, None)
