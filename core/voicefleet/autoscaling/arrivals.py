"""How many calls arrive per second, from calls seen and seconds watched, of which the last ones weigh most.

Two memories: a long one that is steady, and a short one that takes over as soon as the two differ by more than chance.
"""

import math
from dataclasses import dataclass

LONG_HALF_LIFE_SECONDS = 300.0
SHORT_HALF_LIFE_SECONDS = 80.0
_LEAST_SECONDS = 30.0
"""Who watched for less counts as having watched for so long, lest one early call become a flood."""
_LEAST_OWN_SHARE = 0.1
"""However many of the calls were announced, so much of the measured rate is taken for others."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per second, and how sure that is."""

    per_second: float
    weight_seconds: float
    """The seconds of watching that the number rests on: the fewer, the less sure it is."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Discounted calls over discounted seconds, which is a Gamma distribution of the rate."""

    half_life_seconds: float
    calls: float = 0.0
    seconds: float = 0.0

    def after(self, count: int, seconds: float) -> "Memory":
        """Return the memory when so many seconds more have passed, with so many calls at their end."""
        weight = 0.5 ** (seconds / self.half_life_seconds)
        watched = (1 - weight) * self.half_life_seconds / math.log(2)
        return Memory(self.half_life_seconds, self.calls * weight + count, self.seconds * weight + watched)

    def earlier(self, calls: float, seconds_ago: float) -> "Memory":
        """Return the memory when it turns out that so many calls came so long ago."""
        weight = 0.5 ** (seconds_ago / self.half_life_seconds)
        return Memory(self.half_life_seconds, self.calls + calls * weight, self.seconds)

    def share(self, since_begin: float, since_end: float) -> float:
        """Return how much of the memory lies between two moments, so many seconds ago; 1 is all of it."""
        lives = max(0.0, since_end) / self.half_life_seconds, since_begin / self.half_life_seconds
        return math.exp2(-lives[0]) - math.exp2(-lives[1])

    def rate(self, announced: float) -> Rate:
        """Return the rate besides what was announced; half a call is added, so that silence is never proof."""
        seconds = max(self.seconds, _LEAST_SECONDS)
        measured = (self.calls + 0.5) / seconds
        return Rate(max(measured - announced, _LEAST_OWN_SHARE * measured), seconds)


@dataclass(frozen=True, slots=True)
class ArrivalRate:
    """What is known of the calls that arrive."""

    long: Memory = Memory(LONG_HALF_LIFE_SECONDS)
    short: Memory = Memory(SHORT_HALF_LIFE_SECONDS)
    silent_seconds: float = 0.0
    """Undiscounted: how long no call came."""

    @staticmethod
    def guess(calls: float, seconds: float) -> "ArrivalRate":
        """Return what so many calls in the last so many seconds tell."""
        return ArrivalRate(
            Memory(LONG_HALF_LIFE_SECONDS, calls, seconds), Memory(SHORT_HALF_LIFE_SECONDS, calls, seconds)
        )

    def after(self, count: int, seconds: float) -> "ArrivalRate":
        """Return what is known when so many seconds more have passed, with so many calls at their end."""
        seconds = max(0.0, seconds)
        silent = 0.0 if count else self.silent_seconds + seconds
        return ArrivalRate(self.long.after(count, seconds), self.short.after(count, seconds), silent)

    def earlier(self, calls: float, seconds_ago: float) -> "ArrivalRate":
        """Return what is known when it turns out that so many calls came so long ago."""
        silent = min(self.silent_seconds, seconds_ago)
        return ArrivalRate(self.long.earlier(calls, seconds_ago), self.short.earlier(calls, seconds_ago), silent)

    def besides(self, announced_long: float = 0.0, announced_short: float = 0.0) -> Rate:
        """Return the rate of calls that nobody announced, given what share of each memory was announced."""
        steady, recent = self.long.rate(announced_long), self.short.rate(announced_short)
        # Discounted counts of a Poisson process vary half as much as plain ones over the same seconds would.
        spread = math.sqrt((steady.per_second + announced_short) / (2 * recent.weight_seconds))
        # Up to one standard deviation apart is chance; from two on the short memory alone is right.
        trust = min(1.0, max(0.0, abs(recent.per_second - steady.per_second) / spread - 1))
        return Rate(
            steady.per_second + trust * (recent.per_second - steady.per_second),
            steady.weight_seconds + trust * (recent.weight_seconds - steady.weight_seconds),
        )

    @property
    def per_second(self) -> float:
        """Calls to expect each second."""
        return self.besides().per_second

    @property
    def watched_seconds(self) -> float:
        """Seconds that were watched, discounted."""
        return self.long.seconds

    def chance_of_call(self, seconds: float) -> float:
        """Return the chance of a call within so many seconds; a silence longer than the memory tells for itself."""
        rate = self.per_second
        if self.silent_seconds > self.long.seconds:
            rate = min(rate, 0.5 / self.silent_seconds)
        return -math.expm1(-rate * seconds)


def silence_for(chance: float, seconds: float) -> float:
    """Return how long no call must have come for one within so many seconds to have at most this chance."""
    return 0.5 * seconds / -math.log1p(-chance)
