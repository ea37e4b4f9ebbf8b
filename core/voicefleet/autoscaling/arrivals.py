"""How many calls arrive per second, from calls seen and seconds watched, of which the last ones weigh most."""

import math
from dataclasses import dataclass

HALF_LIFE_SECONDS = 90.0
"""After so long a call weighs half; long enough to know 0.7 calls a second within a tenth."""
MEMORY_SECONDS = HALF_LIFE_SECONDS / math.log(2)
"""What all seconds ever watched weigh together."""
_LEAST_SECONDS = 30.0
"""Who watched for less counts as having watched for so long, lest one early call become a flood."""


@dataclass(frozen=True, slots=True)
class ArrivalRate:
    """A discounted count of calls over discounted seconds, which is a Gamma distribution of the rate."""

    calls: float = 0.0
    seconds: float = 0.0
    silent_seconds: float = 0.0
    """Undiscounted: how long no call came."""

    def after(self, count: int, seconds: float) -> "ArrivalRate":
        """Return what is known when so many seconds more have passed, with so many calls at their end."""
        seconds = max(0.0, seconds)
        weight = 0.5 ** (seconds / HALF_LIFE_SECONDS)
        return ArrivalRate(
            calls=self.calls * weight + count,
            seconds=self.seconds * weight + (1 - weight) * MEMORY_SECONDS,
            silent_seconds=0.0 if count else self.silent_seconds + seconds,
        )

    @property
    def weight_seconds(self) -> float:
        """Seconds that the rate rests on; the fewer, the less sure it is."""
        return max(self.seconds, _LEAST_SECONDS)

    @property
    def per_second(self) -> float:
        """Calls to expect each second; half a call is added, so that silence is never proof."""
        return (self.calls + 0.5) / self.weight_seconds

    def chance_of_call(self, seconds: float) -> float:
        """Return the chance of a call within so many seconds; a silence longer than the memory tells for itself."""
        rate = self.per_second
        if self.silent_seconds > self.weight_seconds:
            rate = min(rate, 0.5 / self.silent_seconds)
        return -math.expm1(-rate * seconds)
