"""How calls come and how long they last: rates over a day, and draws from them."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

DAY_SECONDS = 86_400.0
_BIN_SECONDS = 20.0
_NOISE_SECONDS = 300.0

Rate = Callable[[float], float]
"""Calls per second at a second of the day."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long calls last: lognormal, with a share of short ones that reached a voicemail."""

    mean_seconds: float = 360.0
    sigma: float = 0.7
    voicemail_share: float = 0.0
    voicemail_seconds: float = 20.0

    @property
    def overall_mean(self) -> float:
        """Return the mean over all calls."""
        return (1 - self.voicemail_share) * self.mean_seconds + self.voicemail_share * self.voicemail_seconds

    def draw(self, random: Random) -> float:
        """Draw one length."""
        if self.voicemail_share and random.random() < self.voicemail_share:
            return self.voicemail_seconds
        return random.lognormvariate(math.log(self.mean_seconds) - self.sigma**2 / 2, self.sigma)


def draw_starts(rate: Rate, random: Random, *, seconds: float = DAY_SECONDS) -> Iterator[float]:
    """Draw arrivals of a Poisson process whose rate changes in steps of 20 s."""
    left = random.expovariate(1.0)
    begin = 0.0
    while begin < seconds:
        per_second = max(0.0, rate(begin + _BIN_SECONDS / 2))
        at, span = begin, min(_BIN_SECONDS, seconds - begin)
        while left < per_second * (begin + span - at):
            at += left / per_second
            yield at
            left = random.expovariate(1.0)
        left -= per_second * (begin + span - at)
        begin += span


def draw_span(begins_at: float, seconds: float, calls: float, random: Random) -> Iterator[float]:
    """Draw so many arrivals on average, evenly over a span."""
    at = begins_at + random.expovariate(calls / seconds)
    while at < begins_at + seconds:
        yield at
        at += random.expovariate(calls / seconds)


def draw_noise(random: Random, *, deviation: float, persistence: float, seconds: float = DAY_SECONDS) -> Rate:
    """Draw a factor around 1 that wanders: autoregressive of first order, one step each five minutes."""
    value, factors = random.gauss(0, deviation), []
    for _ in range(math.ceil(seconds / _NOISE_SECONDS) + 1):
        factors.append(max(0.0, 1 + value))
        value = persistence * value + math.sqrt(1 - persistence**2) * random.gauss(0, deviation)
    return lambda at: factors[int(at // _NOISE_SECONDS)]


def humps(*bells: tuple[float, float, float], floor: float) -> Rate:
    """Return a shape of bells (hour, width in hours, height) over a floor, with 1 at its highest."""

    def raw(at: float) -> float:
        hour = at % DAY_SECONDS / 3600
        return floor + sum(height * math.exp(-(((hour - middle) / width) ** 2) / 2) for middle, width, height in bells)

    highest = max(raw(minute * 60.0) for minute in range(1440))
    return lambda at: raw(at) / highest


def flat(per_second: float) -> Rate:
    """Return a rate that never changes."""
    return lambda _: per_second


def product(*rates: Rate) -> Rate:
    """Return the product of shapes."""
    return lambda at: math.prod(rate(at) for rate in rates)


def steps(levels: Sequence[tuple[float, float]]) -> Rate:
    """Return a shape of levels, each from its second on; the first begins at 0."""

    def level(at: float) -> float:
        return [height for begin, height in levels if begin <= at][-1]

    return level
