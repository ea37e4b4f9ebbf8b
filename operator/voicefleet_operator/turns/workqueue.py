"""The queue of keys to reconcile: each key once, never twice at a time, failures later and later.

The first change of a quiet object is served at once, and a shower of changes a few times a second. Namespaces take
turns, so that whoever has a thousand objects does not keep the others waiting; within one, newcomers go first, then
those whose calls have changed, then the others; whoever has been passed over a few times has the next turn all the
same. While there are newcomers, nobody else is served but one at a time.

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
# Changes of a busy fleet come in showers; one decision serves them all.
_PACE_SECONDS = 0.2
# Who has nothing yet waits for more than who is being looked after; but these are not forgotten over a crowd of those.
_PASSED_OVER_AT_MOST = 3
# What is written for those who are looked after makes the apiserver slow for whoever has nothing yet.
_KNOWN_BESIDE_NEWCOMERS = 1
# A turn that takes longer waits for an answer that may never come, and keeps nobody else waiting.
_LONG_TURN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One object to reconcile."""

    kind: str
    namespace: str
    name: str


class QueueClosed(Exception):  # noqa: N818 - an end, not an error
    """No more keys will be handed out."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """Whom somebody looks after at the moment, and since when."""

    is_first: bool
    began_at: float


class _Lane(deque[Key]):
    """Some who wait in one namespace, and how often somebody else was served before the first of them."""

    passed_over = 0


class _Waiters:
    """Who waits in one namespace."""

    def __init__(self) -> None:
        self.new, self.urgent, self.known = _Lane(), _Lane(), _Lane()

    def __bool__(self) -> bool:
        return bool(self.new or self.urgent or self.known)

    def hurry(self, key: Key) -> None:
        """Let one of those who are known go before the others, unless it is the next of them anyway."""
        if self.known and self.known[0] != key and key in self.known:
            self.known.remove(key)
            self.urgent.append(key)

    def next(self, *, new_only: bool) -> Key | None:
        """Take out whose turn it is, if there is anybody."""
        lanes = [lane for lane in ((self.new,) if new_only else (self.new, self.urgent, self.known)) if lane]
        if not lanes:
            return None
        impatient = [lane for lane in lanes if lane.passed_over >= _PASSED_OVER_AT_MOST]
        first = (impatient or lanes)[0]
        for lane in lanes:
            lane.passed_over = 0 if lane is first else lane.passed_over + 1
        return first.popleft()


class WorkQueue:
    """Keys in the order in which they came, without repetition, the namespaces in turn."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        pace_seconds: float = _PACE_SECONDS,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._pace_seconds = pace_seconds
        self._ready: dict[str, _Waiters] = {}
        self._known: set[Key] = set()
        self._urgent: set[Key] = set()
        # Turns of newcomers only have an order of their own: a namespace that had one is not behind with the others.
        self._orders: dict[bool, deque[str]] = {False: deque(), True: deque()}
        self._rests_until: dict[Key, float] = {}
        self._rests: deque[tuple[float, Key]] = deque()
        self._waiting: set[Key] = set()
        self._newcomers = 0
        self._taken: dict[Key, _Turn] = {}
        self._again: set[Key] = set()
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._again)

    def add(self, key: Key, *, urgent: bool = False) -> None:
        """Ask for a key to be reconciled; while it is being worked on or rests, once more after that."""
        if urgent:
            self._hurry(key)
        if key in self._taken:
            self._again.add(key)
        elif (rest := self._rests_until.get(key, 0.0) - self._clock()) > 0:
            self.add_after(key, rest)
        else:
            self._put(key)

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
        key = self._next()
        if key is None:
            return None
        self._waiting.discard(key)
        self._urgent.discard(key)
        self._taken[key] = _Turn(key not in self._known, self._clock())
        self._known.add(key)
        self._let_rest(key)
        # What was wished for later is served by this turn, which says itself when to look again.
        self._due.pop(key, None)
        return key

    def done(self, key: Key) -> None:
        """Give a key back, so that it may be handed out again."""
        del self._taken[key]
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        if self._waiting:
            # It may have been the last newcomer, whom others had to wait for.
            self._wake.set()

    def forget(self, key: Key) -> None:
        """Take a key that is gone for a newcomer if it comes again."""
        self._known.discard(key)

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
        """Return the time until there may be a key to hand out though nobody adds one, or None if there is none."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        moments = [self._heap[0][0]] if self._heap else []
        if self._waiting:
            # For a turn to end, or to last for too long, which one may have done just now.
            moments += [turn.began_at + _LONG_TURN_SECONDS for turn in self._short_turns()] or [self._clock()]
        return max(0.0, min(moments) - self._clock()) if moments else None

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

    def _put(self, key: Key) -> None:
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key.namespace not in self._ready:
            self._ready[key.namespace] = _Waiters()
            for order in self._orders.values():
                order.append(key.namespace)
        waiters = self._ready[key.namespace]
        is_known = key in self._known
        (waiters.known if is_known else waiters.new).append(key)
        if key in self._urgent:
            waiters.hurry(key)
        self._newcomers += not is_known
        self._wake.set()

    def _hurry(self, key: Key) -> None:
        if key not in self._urgent:
            self._urgent.add(key)
            if key in self._waiting:
                self._ready[key.namespace].hurry(key)

    def _next(self) -> Key | None:
        """Take out the key whose turn it is, the namespaces in turn."""
        turns = self._short_turns()
        known = sum(not turn.is_first for turn in turns)
        new_only = known >= _KNOWN_BESIDE_NEWCOMERS and (self._newcomers > 0 or known < len(turns))
        for namespace in self._orders[new_only] if self._newcomers or not new_only else ():
            waiters = self._ready[namespace]
            newcomers = len(waiters.new)
            key = waiters.next(new_only=new_only)
            if key is not None:
                self._newcomers += len(waiters.new) - newcomers
                self._end_turn_of(namespace, self._orders[new_only])
                return key
        return None

    def _short_turns(self) -> list[_Turn]:
        """Return the turns under way, but for those that last for long."""
        latest = self._clock() - _LONG_TURN_SECONDS
        return [turn for turn in self._taken.values() if turn.began_at > latest]

    def _end_turn_of(self, namespace: str, order: deque[str]) -> None:
        """Let a namespace wait for its next turn; one that was passed over keeps its place."""
        if self._ready[namespace]:
            order.remove(namespace)
            order.append(namespace)
        else:
            del self._ready[namespace]
            for each in self._orders.values():
                each.remove(namespace)

    def _let_rest(self, key: Key) -> None:
        now = self._clock()
        while self._rests and self._rests[0][0] <= now:
            until, rested = self._rests.popleft()
            if self._rests_until.get(rested) == until:
                del self._rests_until[rested]
        self._rests_until[key] = now + self._pace_seconds
        self._rests.append((now + self._pace_seconds, key))

    def _promote(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                if key in self._taken:
                    self._again.add(key)
                else:
                    self._put(key)
