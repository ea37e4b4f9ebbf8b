"""How many calls there may be some seconds ahead, given those that are live now.

The present number is known; only what changes until then is uncertain: which calls end, how many arrive.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import mul

from voicefleet.autoscaling.arrivals import HALF_LIFE_SECONDS
from voicefleet.autoscaling.erlang import negative_binomial_quantile, normal_chance
from voicefleet.autoscaling.load import KnownCalls, Lessons
from voicefleet.autoscaling.survival import BINS

SMALL = 20.0
"""Below so many expected calls whole calls are counted instead of standard deviations."""
KNOWN_SPREAD = 0.1
"""Standard deviation of how many known calls come, as a share of them."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Calls at one moment ahead: how many are expected, and how far it may be off."""

    mean: float
    variance: float

    def at_most(self, headroom: float) -> int:
        """Return the calls that are exceeded as rarely as a normal quantity exceeds so many standard deviations."""
        if self.mean >= SMALL:
            return math.ceil(self.mean + headroom * math.sqrt(self.variance) - 0.5)
        # Calls that almost surely go on are a constant; the rest are counted: 15 calls of which 1.5 may end are
        # 13 and a Poisson number of mean 2.0.
        sure = max(0, math.floor(self.mean - self.variance))
        return sure + negative_binomial_quantile(self.mean - sure, self.variance, normal_chance(headroom))


@dataclass(frozen=True, slots=True)
class Crowd:
    """Live calls by age, and the rate at which more arrive."""

    ages: Sequence[int]
    """Ages of the live calls, in steps of the survival curve, each once."""
    counts: Sequence[int]
    """How many calls there are of each age."""
    waiting: int
    rate: float
    lessons: Lessons
    known: tuple[KnownCalls, ...]
    now: float

    def ahead(self, seconds: float) -> Demand:
        """Return the demand so many seconds from now."""
        curve = self.lessons.survival
        table = curve.ahead(seconds)
        mean = sum(map(mul, self.counts, map(table.stays.__getitem__, self.ages)))
        variance = sum(map(mul, self.counts, map(table.spread.__getitem__, self.ages)))
        arrived = curve.integral(seconds) * self.lessons.seasonal
        mean += self.waiting * table.stays[0] + self.rate * arrived
        variance += self.rate * arrived + self.rate / self.lessons.arrivals.weight_seconds * arrived**2
        due = sum(due_calls(known, self.now, seconds) for known in self.known)
        return Demand(mean + due, variance + due * (1 + KNOWN_SPREAD**2 * due))


def count_ages(began: Iterable[float], now: float, step_seconds: float) -> dict[int, int]:
    """Return how many calls are so many steps of the survival curve old; those beyond it count as its last step."""
    per_step, last = 1 / step_seconds, BINS - 1
    counts: dict[int, int] = {}
    for age, count in Counter([int((now - moment) * per_step) for moment in began]).items():
        place = 0 if age < 0 else min(age, last)
        counts[place] = counts.get(place, 0) + count
    return counts


def due_calls(known: KnownCalls, now: float, seconds: float) -> float:
    """Return how many of the known calls come between now and so many seconds later."""
    overlap = min(known.begins_at + known.seconds, now + seconds) - max(known.begins_at, now)
    if known.seconds <= 0:
        return known.calls if now < known.begins_at <= now + seconds else 0.0
    return known.calls * max(0.0, overlap) / known.seconds


def known_rate(known: KnownCalls, now: float) -> float:
    """Return how much of the measured arrival rate is owed to known calls, which must not be counted twice."""
    if known.seconds <= 0:
        return 0.0
    since_begin = now - known.begins_at
    if since_begin <= 0:
        return 0.0
    since_end = max(0.0, since_begin - known.seconds)
    weight = _faded(since_end) - _faded(since_begin)
    return known.calls / known.seconds * weight


def _faded(seconds: float) -> float:
    return math.exp2(-seconds / HALF_LIFE_SECONDS)
