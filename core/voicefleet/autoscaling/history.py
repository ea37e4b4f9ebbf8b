"""What a fleet learns as it runs: arrivals, lengths of calls, start-up times, and the headroom that the target needs.

The one thing here that changes; it reads no clock, every event brings its moment.
"""

import math
from bisect import insort
from collections import Counter, deque
from collections.abc import Iterable

from voicefleet.autoscaling.arrivals import ArrivalRate
from voicefleet.autoscaling.erlang import normal_quantile
from voicefleet.autoscaling.expectation import BURST_SECONDS, BURST_WINDOW_SECONDS, is_burst
from voicefleet.autoscaling.holding import SETTLED_SECONDS
from voicefleet.autoscaling.load import Lessons, Rules, Size, Startup
from voicefleet.autoscaling.survival import Lifetimes, Survival

MOST_CORRECTION = 1.0
"""Standard deviations that losses may add: what a flash crowd taught should not cost for days."""
CORRECTION = 0.02
"""Standard deviations of headroom that one blocked call adds."""
_MOST_STARTS = 64
_STARTS_TRUSTED = 20
_STARTS_OF_OUR_OWN = 5
"""From so many on, one slow start that another process saw counts no more."""
# A start varies by about a fifth: 95 of 100 take at most 1.4 times the mean, 99 at most 1.6 times.
_SLOW_START = 1.4
_SLOWEST_START = 1.6
_PATIENT_SECONDS = 10.0
"""Callers who are tried again for longer allow no less headroom: not many should wait."""
_RELEARN_SECONDS = 60.0
_RELEARN_SHARE = 0.02
_FADE_SECONDS = 86_400.0
_FADE = 0.82
"""Weight of yesterday's calls today: half after three and a half days."""
_FORGOTTEN_AFTER = 2.0
"""A call whose end nobody reported is forgotten after so many times the length of the grid."""
_SEEN_BACK_SECONDS = 2 * BURST_WINDOW_SECONDS
"""How far the calls that live when watching begins tell how often they came before."""
_FEWEST_THAT_STAY = 0.1
"""Of older calls than those of which one in ten still lives, too few are left to tell how many came."""


def least_headroom(target_blocked: float, hold_seconds: float = 0.0) -> float:
    """Return the standard deviations that hold the target in smooth traffic.

    The chance to run out at one moment one lead ahead may be three times the target: workers are whole, so most moments
    have more room than was asked for. Who may wait is rarely lost, so with a hold it may be higher, twice as high at
    fifteen seconds, of which a caller is tried again in the last ten. One in a thousand becomes 2.75, then 2.49.
    """
    times = 3 + min(max(0.0, hold_seconds - SETTLED_SECONDS), _PATIENT_SECONDS) / 3
    return normal_quantile(1 - min(0.3, times * target_blocked))


class History:
    """What was seen of one fleet, in bounded memory."""

    def __init__(
        self,
        rules: Rules,
        startup_seconds: float = 45.0,
        expected_call_seconds: float = 180.0,
        *,
        known_startup_seconds: float | None = None,
    ) -> None:
        self._target = rules.target_blocked
        self._floor = least_headroom(rules.target_blocked, rules.hold_seconds)
        self._headroom = self._floor
        self._startup_guess = startup_seconds
        self._known_startup = known_startup_seconds
        """What another process measured, and told as the time that nineteen of twenty starts need."""
        self._starts: deque[float] = deque(maxlen=_MOST_STARTS)
        self._startup = _measure_startup((), startup_seconds, known_startup_seconds)
        self._rate = ArrivalRate()
        self._rate_at: float | None = None
        self._recent: deque[float] = deque()
        self._burst_until = -math.inf
        self._burst_rate = 0.0
        self._fell_at: float | None = None
        self._lifetimes = Lifetimes(expected_call_seconds)
        self._survival = Survival.prior(expected_call_seconds)
        self._learned_at = -math.inf
        self._learned_calls = 0.0
        self._faded_at: float | None = None
        self._live: Counter[float] = Counter()
        self._watched_since = -math.inf
        self._found: Counter[float] = Counter()

    def guess_anew(self, rules: Rules, startup_seconds: float, expected_call_seconds: float) -> None:
        """Go by other guesses and another target: what was measured stays, but where somebody now guesses otherwise."""
        floor = least_headroom(rules.target_blocked, rules.hold_seconds)
        self._target, self._floor, self._headroom = rules.target_blocked, floor, floor + self._headroom - self._floor
        if startup_seconds != self._startup_guess:
            self._startup_guess, self._known_startup = startup_seconds, None
            self._starts.clear()
            self._startup = _measure_startup((), startup_seconds, None)
        if expected_call_seconds != self._lifetimes.expected_seconds:
            self._lifetimes = Lifetimes(expected_call_seconds)
            self._survival = Survival.prior(expected_call_seconds)
            self._learned_at, self._learned_calls = -math.inf, 0.0

    def seed(self, began: Iterable[float], now: float) -> None:
        """Take over calls that began while nobody watched; the young ones tell how often calls arrive.

        How long they last teaches nothing: the short ones that came with them are over, and were not seen.
        """
        began = tuple(began)
        self._found.update(began)
        if self._rate_at is None:
            self._rate = ArrivalRate.guess(0.0, _SEEN_BACK_SECONDS)
            self._rate_at = self._watched_since = now
        self._pass_time(now)
        for moment in began:
            if moment > self._watched_since - _SEEN_BACK_SECONDS:
                # Where one in twenty is over after 30 s, each that is still there stands for 1.05 that came.
                came = 1 / max(_FEWEST_THAT_STAY, self._survival.at(now - moment))
                self._rate = self._rate.earlier(came, max(0.0, now - max(moment, self._watched_since)))

    def slept(self, seconds: float) -> None:
        """Take over a silence that somebody else has watched."""
        self._rate = ArrivalRate().after(0, seconds)

    def began(self, at: float) -> None:
        """Count a call that found a slot."""
        self._live[at] += 1
        self._arrived(at)
        self._headroom = max(self._floor, self._headroom - CORRECTION * self._target)

    def ended(self, began_at: float, at: float) -> None:
        """Count a call that is over."""
        if began_at in self._found:
            _take_one(self._found, began_at)
            return
        _take_one(self._live, began_at)
        self._lifetimes.add(at - began_at)

    def blocked(self, at: float) -> None:
        """Count a call that found no slot: more headroom from now on, and a burst for a minute."""
        self._arrived(at)
        self._headroom = min(self._floor + MOST_CORRECTION, self._headroom + CORRECTION * (1 - self._target))
        self._mark_burst(at)

    def knocked(self, at: float) -> None:
        """Count a call that came while there was no worker: it is known that it came, not yet what becomes of it."""
        self._arrived(at)

    def started(self, seconds: float) -> None:
        """Count a worker that took so long from its creation to readiness for calls."""
        self._starts.append(seconds)
        self._startup = _measure_startup(self._starts, self._startup_guess, self._known_startup)

    def sized(self, size: Size, now: float) -> None:
        """Remember since when there are more workers than the size asks for."""
        if not size.surplus:
            self._fell_at = None
        elif self._fell_at is None:
            self._fell_at = now

    def lessons(self, now: float) -> Lessons:
        """Return what all this amounts to at one moment."""
        self._pass_time(now)
        self._learn_lifetimes(now)
        return Lessons(
            arrivals=self._rate,
            survival=self._survival,
            startup=self._startup,
            headroom=self._headroom,
            burst_until=self._burst_until,
            burst_rate=self._burst_rate,
            fell_at=self._fell_at,
        )

    def _pass_time(self, now: float) -> None:
        if self._rate_at is None:
            self._rate_at = now
        if now > self._rate_at:
            self._rate = self._rate.after(0, now - self._rate_at)
            self._rate_at = now
        while self._recent and self._recent[0] <= now - BURST_WINDOW_SECONDS:
            self._recent.popleft()

    def _arrived(self, at: float) -> None:
        self._pass_time(at)
        usual = self._rate.per_second
        self._rate = self._rate.after(1, 0.0)
        # Worker by worker, calls are not told of in their order; one behind a younger one would stay for too long.
        insort(self._recent, at)
        if is_burst(len(self._recent), usual):
            self._mark_burst(at)

    def _mark_burst(self, at: float) -> None:
        came = len(self._recent)
        rate = (came + 1.3 * math.sqrt(came)) / BURST_WINDOW_SECONDS
        self._burst_rate = rate if at > self._burst_until else max(rate, self._burst_rate)
        self._burst_until = at + BURST_SECONDS

    def _learn_lifetimes(self, now: float) -> None:
        if self._faded_at is None:
            self._faded_at = now
        if now - self._faded_at >= _FADE_SECONDS:
            self._lifetimes.fade(_FADE)
            self._learned_calls *= _FADE
            self._faded_at = now
        news = self._lifetimes.calls - self._learned_calls
        if news < 1 or news < _RELEARN_SHARE * self._learned_calls or now - self._learned_at < _RELEARN_SECONDS:
            return
        oldest = now - _FORGOTTEN_AFTER * self._lifetimes.span_seconds
        self._live = Counter({began: count for began, count in self._live.items() if began > oldest})
        self._survival = self._lifetimes.survival(now - began for began in self._live.elements())
        self._learned_at, self._learned_calls = now, self._lifetimes.calls


def _take_one(moments: Counter[float], moment: float) -> None:
    if moments[moment] > 1:
        moments[moment] -= 1
    else:
        del moments[moment]


def _measure_startup(starts: Iterable[float], guess: float, known: float | None) -> Startup:
    measured = sorted(starts)
    if len(measured) < _STARTS_TRUSTED:
        typical = max([guess, *measured[len(measured) // 2 :][:1]])
        slowest = measured[-1] if measured else 0.0
        slow = _SLOW_START * typical
        if known is not None and len(measured) < _STARTS_OF_OUR_OWN:
            typical, slow = min(typical, known / _SLOW_START), known
        return Startup(mean=typical, q95=max(slow, slowest), q99=max(_SLOWEST_START * typical, slow, slowest))
    mean = sum(measured) / len(measured)
    q95 = measured[math.ceil(0.95 * len(measured)) - 1]
    return Startup(mean=mean, q95=q95, q99=max(measured[-1], _SLOWEST_START * mean))
