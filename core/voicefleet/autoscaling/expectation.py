"""At which rate calls will arrive: as measured, without those that were announced, and more during a burst."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voicefleet.autoscaling.arrivals import Memory, Rate
from voicefleet.autoscaling.load import KnownCalls, Lessons

BURST_WINDOW_SECONDS = 20.0
BURST_SECONDS = 60.0
"""How long a burst counts as under way after its last sign."""
_UNSURE_BELOW_SECONDS = 60.0
_YOUNG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Expectation:
    """The rate of calls that nobody announced, and whether they come in a burst."""

    rate: Rate
    burst: bool


def expect(lessons: Lessons, known: Sequence[KnownCalls], ages: Mapping[int, int], now: float) -> Expectation:
    """Return what to expect of the calls that nobody announced; ages are those of live calls, in steps."""
    arrivals = lessons.arrivals
    rate = arrivals.besides(
        sum(_announced(calls, arrivals.long, now) for calls in known),
        sum(_announced(calls, arrivals.short, now) for calls in known),
    )
    if arrivals.watched_seconds < _UNSURE_BELOW_SECONDS:
        # Whoever began to watch a moment ago reads the rate off the calls that are still young.
        youngest = _YOUNG_SECONDS / lessons.survival.step_seconds
        young = sum(count for age, count in ages.items() if age < youngest)
        rate = Rate(max(rate.per_second, young / lessons.survival.integral(_YOUNG_SECONDS)), rate.weight_seconds)
    if now < lessons.burst_until:
        current = sum(_rate_of_late(calls, now) for calls in known)
        if is_burst(lessons.burst_rate * BURST_WINDOW_SECONDS, rate.per_second + current):
            return Expectation(
                Rate(max(rate.per_second, lessons.burst_rate - current), rate.weight_seconds), burst=True
            )
    return Expectation(rate, burst=False)


def is_burst(calls: float, usual_per_second: float) -> bool:
    """Tell whether so many calls within the window are more than chance and the usual rate explain."""
    usual = usual_per_second * BURST_WINDOW_SECONDS
    return calls > usual + 4 * math.sqrt(usual) + 3


def _announced(known: KnownCalls, memory: Memory, now: float) -> float:
    """Return the part of a measured rate that announced calls are, which must not be counted twice."""
    since_begin = now - known.begins_at
    if known.seconds <= 0 or since_begin <= 0:
        return 0.0
    return known.calls / known.seconds * memory.share(since_begin, since_begin - known.seconds)


def _rate_of_late(known: KnownCalls, now: float) -> float:
    """Return the rate of announced calls that a burst may consist of: those of now and of just before."""
    ended_at = known.begins_at + known.seconds
    if known.seconds <= 0 or not known.begins_at <= now < ended_at + BURST_WINDOW_SECONDS + BURST_SECONDS:
        return 0.0
    return known.calls / known.seconds
