"""What workers tell each other of a provider, and how their words become one picture.

Counts add up, so the fleet's are a sum from which a worker takes away its own. Of breakers the newer one wins, by the
clock of the Redis that they are kept in: those of nodes differ. That a key was refused says nothing to those who have
another one: workers of other namespaces, and those that a new key has reached before the rest.
"""

import json
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from voicefleet.providers.breaker import Breaker, Cause, State, Window, concerns
from voicefleet.providers.latency import BOUNDS_SECONDS

# Numbers come back from a store that others write to; what is larger than this is no count, or no moment.
_LARGEST = 2**53
_LATEST_MILLISECONDS = 10**14
_NO_LATENCY = (0,) * (len(BOUNDS_SECONDS) + 1)
_STATES = tuple(State)
_CAUSES: tuple[Cause | None, ...] = (None, *Cause)
_NUMBERS_WITHOUT_KEY = 5


class Counts(NamedTuple):
    """What one worker, or several together, have of one provider."""

    held: int = 0
    """Leases of its quota, whether or not a request uses them."""
    in_use: int = 0
    """Requests and streams at this moment."""
    lacking: int = 0
    """Workers of which a call has just been refused for want of a lease."""
    requests: int = 0
    """Requests begun within the last minute."""
    tokens: int = 0
    """Tokens used within the last minute."""
    failures: int = 0
    """Failures within the breaker's window."""
    successes: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """All counts of a provider, those of its latency included; they add up."""

    counts: Counts = field(default_factory=Counts)
    latency: tuple[int, ...] = _NO_LATENCY

    def without(self, own: "Figures") -> "Figures":
        """Return what the others have; a worker may know of its own what the sum does not hold yet."""
        return Figures(Counts(*_rest(self.counts, own.counts)), _rest(self.latency, own.latency))

    def window(self) -> Window:
        """Return what fills a breaker's window."""
        return Window(successes=self.counts.successes, failures=self.counts.failures)

    def numbers(self) -> list[int]:
        """Return them as a list, as they are sent; zeros at its end are left out."""
        numbers = [*self.counts, *self.latency]
        while len(numbers) > len(self.counts) and not numbers[-1]:
            numbers.pop()
        return numbers

    @classmethod
    def of(cls, numbers: object) -> Self:
        """Read a list; what is no count counts as none."""
        listed = numbers if isinstance(numbers, list) else []
        counts = [_count(number) for number in listed]
        first = len(Counts._fields)
        padded = [*counts, *(0,) * (first + len(_NO_LATENCY))]
        return cls(Counts(*padded[:first]), tuple(padded[first : first + len(_NO_LATENCY)]))


class Record(NamedTuple):
    """A breaker as it is shared: of two, the greater one counts. Times are milliseconds of the fleet's clock."""

    since: int
    state: int
    until: int
    openings: int
    cause: int
    key: int = 0
    """Fingerprint of the key that was refused."""

    @classmethod
    def of(cls, breaker: Breaker, *, ahead_seconds: float) -> Self:
        """Write a breaker down; the fleet's clock may be ahead of this worker's."""
        return cls(
            since=_milliseconds(breaker.since + ahead_seconds),
            state=_STATES.index(breaker.state),
            until=_milliseconds(breaker.until + ahead_seconds),
            openings=breaker.openings,
            cause=_CAUSES.index(breaker.cause),
            key=breaker.refused_key,
        )

    def breaker(self, *, ahead_seconds: float) -> Breaker:
        """Return the breaker by this worker's clock."""
        return Breaker(
            state=_STATES[self.state],
            since=max(0.0, self.since / 1000 - ahead_seconds),
            until=max(0.0, self.until / 1000 - ahead_seconds),
            cause=_CAUSES[self.cause],
            openings=self.openings,
            refused_key=self.key,
        )

    def text(self) -> str:
        """Return it as it is sent; without a key, as all versions of the worker have sent it."""
        return json.dumps(list(self if self.key else self[:_NUMBERS_WITHOUT_KEY]))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read a record, or return None for what is none."""
        try:
            numbers = json.loads(text)
        except ValueError:
            return None
        if not isinstance(numbers, list) or not _NUMBERS_WITHOUT_KEY <= len(numbers) <= len(cls._fields):
            return None
        record = cls(*(_count(number) for number in numbers))
        is_sound = record.state < len(_STATES) and record.cause < len(_CAUSES)
        return record if is_sound and max(record.since, record.until) <= _LATEST_MILLISECONDS else None


@dataclass(frozen=True, slots=True)
class Published:
    """A breaker, and how it stands in Redis."""

    breaker: Breaker
    record: Record


def bare(breaker: Breaker) -> Breaker:
    """Return a breaker without its window, which its worker keeps."""
    return replace(breaker, window=Window())


def publish(breaker: Breaker, before: Published | None, *, ahead_seconds: float) -> Published | None:
    """Return what a worker publishes of a breaker; of one that never changed, nothing.

    What is published already keeps its moment: clocks are never read alike twice, and of two readings of one moment
    the later one would count as news.
    """
    now = bare(breaker)
    if now == Breaker():
        return before
    if before is not None and before.breaker == now:
        return before
    record = Record.of(now, ahead_seconds=ahead_seconds)
    if before is not None and before.breaker.since == now.since:
        record = record._replace(since=before.record.since)
    return Published(now, record)


def adopt(
    mine: Breaker, sent: Published | None, answer: Record | None, *, ahead_seconds: float, key: int = 0
) -> tuple[Breaker, Published | None]:
    """Return the breaker to go by, and what of it stands in Redis, once Redis has answered what was sent.

    The key is the one that this worker has.
    """
    if answer is None or (sent is not None and answer == sent.record):
        return mine, sent
    theirs = answer.breaker(ahead_seconds=ahead_seconds)
    if not concerns(theirs, key):
        return mine, sent
    # Meanwhile this worker may have seen something newer, which it publishes next.
    unchanged = bare(mine) == (sent.breaker if sent else Breaker())
    if unchanged or theirs.since > mine.since:
        return theirs, Published(theirs, answer)
    return mine, sent


def _rest(whole: tuple[int, ...], part: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(max(0, a - b) for a, b in zip(whole, part, strict=True))


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _count(number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int | float):
        return 0
    return int(number) if 0 <= number <= _LARGEST else 0
