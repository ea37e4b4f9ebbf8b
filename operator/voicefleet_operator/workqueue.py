"""The queue of keys to reconcile: each key once, never twice at a time, failures later and later.

It holds no task and no timer; time is asked of the clock that it was given.
"""

import asyncio
import heapq
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 300.0


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One object to reconcile."""

    kind: str
    namespace: str
    name: str


class QueueClosed(Exception):  # noqa: N818 - an end, not an error
    """No more keys will be handed out."""


class WorkQueue:
    """Keys in the order in which they came, without repetition."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()
        self._taken: set[Key] = set()
        self._again: set[Key] = set()
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._ready) + len(self._again)

    def add(self, key: Key) -> None:
        """Ask for a key to be reconciled; while it is being worked on, once more after that."""
        if key in self._taken:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Ask for a key later; of several wishes the earliest counts."""
        due = self._clock() + seconds
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._wake.set()

    def take(self) -> Key | None:
        """Hand out the next key, if any is ready now; it must be given back with `done`."""
        self._promote()
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._taken.add(key)
        # What was wished for later is served by this turn, which says itself when to look again.
        self._due.pop(key, None)
        return key

    def done(self, key: Key) -> None:
        """Give a key back, so that it may be handed out again."""
        self._taken.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def succeed(self, key: Key) -> None:
        """Forget a key's failures."""
        self._failures.pop(key, None)

    def fail(self, key: Key) -> float:
        """Ask for a key after a pause that doubles with each failure, and return the pause."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        longest = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** min(failures, 20))
        # Between half and all of it, so that keys that failed together don't come back together.
        pause = longest * (0.5 + self._jitter() / 2)
        self.add_after(key, pause)
        return pause

    def next_due_seconds(self) -> float | None:
        """Return the time until the next delayed key, or None if there is none."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None

    async def get(self) -> Key:
        """Wait for the next key."""
        while not self._closed:
            key = self.take()
            if key is not None:
                return key
            self._wake.clear()
            try:
                async with asyncio.timeout(self.next_due_seconds()):
                    await self._wake.wait()
            except TimeoutError:
                continue
        raise QueueClosed

    def close(self) -> None:
        """Hand out no more keys."""
        self._closed = True
        self._wake.set()

    def _promote(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
