"""Days that can be asked for by name."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from voicefleet.autoscaling.load import KnownCalls
from voicefleet_simulator.shapes import (
    DAY_SECONDS,
    Lengths,
    draw_noise,
    draw_span,
    draw_starts,
    flat,
    humps,
    product,
    steps,
)
from voicefleet_simulator.trace import Call, Trace, build_trace

NORMAL_PEAK = 560.0
_HOUR = 3600.0
# Two humps, late morning and afternoon, and a quiet night; the mean is 0.43 of the highest.
OFFICE_DAY = humps((10.8, 2.0, 1.0), (15.8, 2.2, 0.84), (20.0, 1.5, 0.2), floor=0.05)
WEEKDAYS = (1.0, 0.95, 1.0, 1.0, 0.9, 0.3, 0.2)
# (begins at, seconds, calls at a peak of 560)
BURSTS = ((11_520.0, 25.0, 40.0), (40_320.0, 60.0, 120.0), (57_600.0, 1200.0, 700.0), (72_000.0, 120.0, 150.0))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A day by name."""

    name: str
    about: str
    draw: Callable[[float, Random], Trace]
    """From the calls at once that are expected at the busiest time, and a source of chance."""

    def trace(self, *, peak: float = NORMAL_PEAK, seed: int = 1) -> Trace:
        """Draw the day; the same seed gives the same day."""
        return self.draw(peak, Random(f"{self.name} {seed}"))


def _smooth_calls(peak: float, random: Random, lengths: Lengths, *, days: int = 1) -> list[Call]:
    noise = draw_noise(random, deviation=0.08, persistence=0.8, seconds=days * DAY_SECONDS)
    weekdays = steps([(day * DAY_SECONDS, WEEKDAYS[day % 7]) for day in range(days)])
    highest = peak / lengths.overall_mean
    rate = product(flat(highest), OFFICE_DAY, weekdays, noise)
    return [Call(at, lengths.draw(random)) for at in draw_starts(rate, random, seconds=days * DAY_SECONDS)]


def _smooth(peak: float, random: Random) -> Trace:
    return build_trace("smooth", _smooth_calls(peak, random, Lengths()), seconds=DAY_SECONDS)


def _week(peak: float, random: Random) -> Trace:
    return build_trace("week", _smooth_calls(peak, random, Lengths(), days=7), seconds=7 * DAY_SECONDS)


def _campaign_calls(known: tuple[KnownCalls, ...], random: Random, lengths: Lengths) -> list[Call]:
    return [
        Call(at, lengths.draw(random), campaign=True)
        for campaign in known
        for at in draw_span(campaign.begins_at, campaign.seconds, campaign.calls, random)
    ]


def _bursts(peak: float, random: Random) -> Trace:
    lengths = Lengths()
    calls = _smooth_calls(peak, random, lengths)
    known = tuple(KnownCalls(at, seconds, count * peak / NORMAL_PEAK) for at, seconds, count in BURSTS)
    calls += _campaign_calls(known, random, lengths)
    return build_trace("bursts", calls, seconds=DAY_SECONDS, known=known)


def _step(peak: float, random: Random) -> Trace:
    lengths = Lengths()
    low = peak / 3 / lengths.overall_mean
    rate = product(flat(low), steps([(0, 1), (9 * _HOUR, 3), (15 * _HOUR, 1)]))
    return build_trace(
        "step", [Call(at, lengths.draw(random)) for at in draw_starts(rate, random)], seconds=DAY_SECONDS
    )


def _dialler(peak: float, random: Random) -> Trace:
    lengths = Lengths(mean_seconds=120.0, voicemail_share=0.3)
    trickle = 0.03 * peak / lengths.overall_mean
    calls = [Call(at, lengths.draw(random)) for at in draw_starts(flat(trickle), random)]
    # Ten minutes of dialling, twenty of rest, from nine to six; answered calls alone take a slot.
    known = tuple(
        KnownCalls(9 * _HOUR + wave * 1800.0, 600.0, 600.0 * peak / lengths.overall_mean) for wave in range(18)
    )
    calls += _campaign_calls(known, random, lengths)
    return build_trace("dialler", calls, seconds=DAY_SECONDS, known=known)


def _call_centre(peak: float, random: Random) -> Trace:
    """Draw a day like that of a bank's call centre: open from seven to midnight, calls of very unequal length."""
    lengths = Lengths(mean_seconds=188.0, sigma=1.0)
    highest = peak / lengths.overall_mean
    open_hours = steps([(0, 0), (7 * _HOUR, 1)])
    shape = humps((10.5, 1.8, 1.0), (14.5, 2.2, 0.8), (21.5, 1.6, 0.5), floor=0.1)
    noise = draw_noise(random, deviation=0.08, persistence=0.8)
    rate = product(flat(highest), shape, open_hours, noise)
    calls = [Call(at, lengths.draw(random)) for at in draw_starts(rate, random)]
    return build_trace("call-centre", calls, seconds=DAY_SECONDS)


def _flash_crowd(peak: float, random: Random) -> Trace:
    """Draw a smooth day on which, at two, as many calls as at the busiest time come on top within ten minutes."""
    lengths = Lengths()
    calls = _smooth_calls(peak, random, lengths)
    for minute in range(10):
        share = 0.4 * 0.6**minute
        starts = draw_span(14 * _HOUR + 60.0 * minute, 60.0, share * peak, random)
        calls += [Call(at, lengths.draw(random)) for at in starts]
    return build_trace("flash-crowd", calls, seconds=DAY_SECONDS)


def _outage(peak: float, random: Random) -> Trace:
    """Draw a smooth day on which a provider fails for three minutes: all calls end, and people call again."""
    begins, ends = 11.5 * _HOUR, 11.5 * _HOUR + 180.0
    calls, again = [], []
    for call in _smooth_calls(peak, random, Lengths()):
        end = call.start + call.duration
        if call.start >= ends or end <= begins:
            calls.append(call)
            continue
        # Whoever talks is thrown out; whoever calls during the outage hears an apology for ten seconds.
        heard = begins - call.start if call.start < begins else min(10.0, call.duration)
        calls.append(Call(call.start, heard))
        if random.random() < 0.7:
            again.append(Call(max(ends, call.start + heard) + random.expovariate(1 / 60), Lengths().draw(random)))
    return build_trace("outage", [*calls, *again], seconds=DAY_SECONDS)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("smooth", "two humps a day, calls of six minutes (T1)", _smooth),
        Scenario("bursts", "the smooth day and four bursts, which a campaign may announce (T2)", _bursts),
        Scenario("step", "three times the calls from one moment on, nine to three (T3)", _step),
        Scenario("dialler", "ten minutes of dialling, twenty of rest, nine to six (T4)", _dialler),
        Scenario("call-centre", "a bank's call centre from seven on, calls of very unequal length (T5)", _call_centre),
        Scenario("flash-crowd", "the smooth day and an unannounced crowd at two", _flash_crowd),
        Scenario("outage", "the smooth day, a provider's outage at half past eleven, and the redial wave", _outage),
        Scenario("week", "seven smooth days with the weekday's share of calls", _week),
    )
}
