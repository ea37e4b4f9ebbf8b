"""How many calls there may be some seconds ahead, given those that are live now.

The present number is known; only what changes until then is uncertain: which calls end, how many arrive.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import mul

from voicefleet.autoscaling.arrivals import Rate
from voicefleet.autoscaling.erlang import negative_binomial_quantile, normal_chance
from voicefleet.autoscaling.load import KnownCalls, Lessons
from voicefleet.autoscaling.survival import BINS, Survival

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
        # What spreads less than Poisson is a constant and a Poisson number: a mean of 11.4 with a variance of 0.9 is
        # 10.5 and a Poisson number of mean 0.9.
        sure = max(0.0, self.mean - self.variance)
        rest = negative_binomial_quantile(self.mean - sure, self.variance, normal_chance(headroom))
        return math.ceil(sure + rest - 0.5)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Live calls by age, and the rate at which more arrive."""

    ages: Sequence[int]
    """Ages of the live calls, in steps of the survival curve, each once."""
    counts: Sequence[int]
    """How many calls there are of each age."""
    waiting: int
    rate: Rate
    lessons: Lessons
    known: tuple[KnownCalls, ...]
    now: float

    def ahead(self, seconds: float) -> Demand:
        """Return the demand so many seconds from now."""
        curve = self.lessons.survival
        mean = variance = 0.0
        # A thousand agents without a call need no thousand tables.
        if self.counts or self.waiting:
            table = curve.ahead(seconds)
            mean = sum(map(mul, self.counts, map(table.stays.__getitem__, self.ages)))
            mean += self.waiting * table.stays[0]
            variance = sum(map(mul, self.counts, map(table.spread.__getitem__, self.ages)))
        arrived = curve.integral(seconds) * self.lessons.seasonal
        rate = self.rate.per_second
        mean += rate * arrived
        variance += rate * arrived + rate / self.rate.weight_seconds * arrived**2
        due = sum(_known_ahead(known, curve, self.now, seconds) for known in self.known)
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
    """Return how many of the known calls begin between now and so many seconds later."""
    if known.seconds <= 0:
        return known.calls if now < known.begins_at <= now + seconds else 0.0
    overlap = min(known.begins_at + known.seconds, now + seconds) - max(known.begins_at, now)
    return known.calls * max(0.0, overlap) / known.seconds


def _known_ahead(known: KnownCalls, curve: Survival, now: float, seconds: float) -> float:
    """Return how many of the known calls that begin from now on are live so many seconds later."""
    first, last = max(0.0, known.begins_at - now), min(seconds, known.begins_at + known.seconds - now)
    if known.seconds <= 0:
        return known.calls * curve.at(seconds - first) if now < known.begins_at <= now + seconds else 0.0
    if last <= first:
        return 0.0
    # Calls that begin at u are live at h with S(h - u): the integral from h - last to h - first.
    return known.calls / known.seconds * (curve.integral(seconds - first) - curve.integral(seconds - last))
