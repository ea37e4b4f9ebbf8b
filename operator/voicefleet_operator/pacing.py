"""Writing about one object no more often than every other second, whatever happens to it."""

import time
from collections.abc import Callable

_PAUSE_SECONDS = 2.0


class Pacer:
    """When each object was last written about, by uid."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrote_at: dict[str, float] = {}

    def wait_seconds(self, uid: str) -> float:
        """Return how long to wait before the next word about an object."""
        return max(0.0, self._wrote_at.get(uid, float("-inf")) + _PAUSE_SECONDS - self._clock())

    def note(self, uid: str) -> None:
        """Note that something was written now."""
        self._wrote_at[uid] = self._clock()

    def forget(self, uid: str) -> None:
        """Forget an object that is gone."""
        self._wrote_at.pop(uid, None)
