"""How long calls last: the chance that a call lives on, from lengths that were measured and a first guess.

The curve is kept on an even grid of a few hundred points, so that sizing looks it up instead of computing it.
"""

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, pairwise

BINS = 512
PRIOR_SPREAD = 0.8
"""Sigma of the lognormal that stands for a fleet of which nothing was measured."""
PRIOR_CALLS = 25.0
"""So many calls is the first guess worth, falling to almost none."""
TRUSTED_CALLS = 500
"""From so many measured calls on the first guess only shapes the tail."""
_BINS_PER_GUESS = 60
_LEAST_STEP_SECONDS = 1.0
_TAIL_BINS = BINS // 4
_MOST_TABLES = 48


@dataclass(frozen=True, slots=True)
class Ahead:
    """For each age of a call, in steps: the chance that it lives on for so long, and the variance of that."""

    stays: Sequence[float]
    spread: Sequence[float]


@dataclass(frozen=True, slots=True)
class Survival:
    """S(t): the share of calls that last longer than t, on an even grid, with a steady hazard beyond it."""

    step_seconds: float
    chances: Sequence[float]
    """S at 0, 1, 2… steps; begins at 1 and never rises."""
    _integrals: Sequence[float] = field(init=False, repr=False, compare=False)
    _tail_hazard: float = field(init=False, repr=False, compare=False)
    _tables: dict[float, Ahead] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        chances = self.chances
        areas = ((low + high) / 2 * self.step_seconds for low, high in pairwise(chances))
        object.__setattr__(self, "_integrals", array("d", accumulate(areas, initial=0.0)))
        tail = min(_TAIL_BINS, len(chances) - 1)
        fall = math.log(chances[-1 - tail] / chances[-1]) if chances[-1] > 0 else math.inf
        object.__setattr__(self, "_tail_hazard", max(fall / (tail * self.step_seconds), 1e-9))

    @staticmethod
    def prior(expected_seconds: float) -> "Survival":
        """Return the first guess for calls of this mean length."""
        return _prior(expected_seconds)

    @staticmethod
    def measured(lengths: Iterable[float], still_live: Iterable[float], expected_seconds: float) -> "Survival":
        """Return the curve of calls that ended, calls that have lasted so long and go on, and the first guess."""
        seen = Lifetimes(expected_seconds)
        for seconds in lengths:
            seen.add(seconds)
        return seen.survival(still_live)

    def at(self, seconds: float) -> float:
        """Return the chance that a call lasts longer than this."""
        place = max(0.0, seconds) / self.step_seconds
        low = int(place)
        last = len(self.chances) - 1
        if low >= last:
            return self.chances[last] * math.exp(-self._tail_hazard * (place - last) * self.step_seconds)
        part = place - low
        return self.chances[low] * (1 - part) + self.chances[low + 1] * part

    def remaining(self, age: float, ahead: float) -> float:
        """Return the chance that a call of this age goes on for so long."""
        age, ahead = max(0.0, age), max(0.0, ahead)
        end = (len(self.chances) - 1) * self.step_seconds
        if age >= end:
            return math.exp(-self._tail_hazard * ahead)
        now = self.at(age)
        return min(1.0, self.at(age + ahead) / now) if now > 0 else 0.0

    def integral(self, seconds: float) -> float:
        """Return G: of calls that arrive one a second, how many are live after so many seconds."""
        seconds = max(0.0, seconds)
        place = seconds / self.step_seconds
        low = int(place)
        last = len(self.chances) - 1
        if low >= last:
            beyond = -math.expm1(-self._tail_hazard * (place - last) * self.step_seconds) / self._tail_hazard
            return self._integrals[last] + self.chances[last] * beyond
        part = place - low
        return self._integrals[low] + part * self.step_seconds * (self.chances[low] + self.at(seconds)) / 2

    @property
    def mean_seconds(self) -> float:
        """How long a call lasts on average."""
        last = len(self.chances) - 1
        return self._integrals[last] + self.chances[last] / self._tail_hazard

    def ahead(self, seconds: float) -> Ahead:
        """Return the chances of living on for so long, by age in steps; computed once for each span."""
        known = self._tables.get(seconds)
        if known is None:
            if len(self._tables) >= _MOST_TABLES:
                self._tables.clear()
            middle = self.step_seconds / 2
            stays = array("d", (self.remaining(bin_ * self.step_seconds + middle, seconds) for bin_ in range(BINS)))
            known = self._tables[seconds] = Ahead(stays, array("d", (stay * (1 - stay) for stay in stays)))
        return known


class Lifetimes:
    """Lengths of calls that ended, counted in steps; old ones fade. Changes as calls end."""

    def __init__(self, expected_seconds: float) -> None:
        self.expected_seconds = expected_seconds
        self.step_seconds = _step(expected_seconds)
        self.calls = 0.0
        self._ended = [0.0] * BINS
        self._beyond = 0.0

    @property
    def span_seconds(self) -> float:
        """The longest length that is told apart from longer ones."""
        return BINS * self.step_seconds

    def add(self, seconds: float) -> None:
        """Count a call of this length."""
        self.calls += 1
        place = int(max(0.0, seconds) / self.step_seconds)
        if place < BINS:
            self._ended[place] += 1
            return
        self._beyond += 1
        # One call in twenty beyond the grid: the guess was too short, and the grid becomes twice as wide.
        if self._beyond > 2 and self._beyond * 20 > self.calls:
            self._widen()

    def fade(self, weight: float) -> None:
        """Let all calls counted so far weigh only this much of what they did."""
        self.calls *= weight
        self._beyond *= weight
        self._ended = [count * weight for count in self._ended]

    def survival(self, still_live: Iterable[float] = ()) -> Survival:
        """Return the Kaplan-Meier curve of calls that ended and of calls that have lasted so long and go on."""
        live = [0.0] * (BINS + 1)
        for age in still_live:
            live[min(BINS, int(max(0.0, age) / self.step_seconds))] += 1
        prior = Survival.prior(self.expected_seconds)
        weight = max(0.5, PRIOR_CALLS * (1 - self.calls / TRUSTED_CALLS))
        # A call that ended is at risk up to its step, a live one up to its age; the guess is so many calls more.
        at_risk = self.calls + sum(live)
        chance, chances = 1.0, array("d", [1.0])
        for place in range(BINS):
            guess, later = prior.at(place * self.step_seconds), prior.at((place + 1) * self.step_seconds)
            # A live call saw, on average, half of its last step.
            risk = at_risk - live[place] / 2 + weight * guess
            ended = self._ended[place] + weight * (guess - later)
            chance *= max(0.0, 1 - ended / risk) if risk > 0 else 0.0
            chances.append(chance)
            at_risk = max(0.0, at_risk - self._ended[place] - live[place])
        return Survival(self.step_seconds, chances)

    def _widen(self) -> None:
        halves = [self._ended[place] + self._ended[place + 1] for place in range(0, BINS, 2)]
        self._ended = halves + [0.0] * (BINS - len(halves))
        # Where those beyond the old grid lie is forgotten; its first new step is the least that they lasted.
        self._ended[BINS // 2] += self._beyond
        self._beyond = 0.0
        self.step_seconds *= 2


def _step(expected_seconds: float) -> float:
    return max(_LEAST_STEP_SECONDS, expected_seconds / _BINS_PER_GUESS)


@lru_cache(maxsize=64)
def _prior(expected_seconds: float) -> Survival:
    step = _step(expected_seconds)
    middle = math.log(expected_seconds) - PRIOR_SPREAD**2 / 2
    lengths = (step * place for place in range(1, BINS + 1))
    rest = (math.erfc((math.log(length) - middle) / (PRIOR_SPREAD * math.sqrt(2))) / 2 for length in lengths)
    return Survival(step, array("d", (1.0, *rest)))
