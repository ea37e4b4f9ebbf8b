"""Predictive scaling as AWS Application Auto Scaling does it: a forecast by the hour beside a reactive policy.

The forecast needs a day of history and uses at most fourteen; it launches five minutes early and never scales in. What
AWS learns from them is not public; the mean of the same hour of those days stands for it.
"""

import math
from statistics import fmean

from voicefleet_simulator.baselines.hpa import Hpa, by_calls_per_pod
from voicefleet_simulator.policy import Controls

_HOUR_SECONDS = 3600.0
_EARLY_SECONDS = 300.0
_HOURS_A_DAY = 24
_MOST_DAYS = 14


class Predictive(Hpa):
    """An HPA on calls, and at least as many workers as this hour usually needs."""

    def __init__(self, target_calls: float) -> None:
        super().__init__(by_calls_per_pod(target_calls))
        self._target_calls = target_calls
        self._hours: list[float] = []
        """Calls held on average in each hour that is over."""
        self._counted_seconds = 0.0

    def act(self, controls: Controls, now: float) -> None:
        """Close the hour that is over, then scale."""
        if now >= (len(self._hours) + 1) * _HOUR_SECONDS:
            total = controls.call_seconds(now)
            self._hours.append((total - self._counted_seconds) / _HOUR_SECONDS)
            self._counted_seconds = total
        super().act(controls, now)

    def scale_to(self, controls: Controls, count: int, now: float) -> None:
        """Have at least what the forecast asks for, now and five minutes ahead."""
        forecast = max(self._forecast(now), self._forecast(now + _EARLY_SECONDS))
        super().scale_to(controls, max(count, forecast), now)

    def _forecast(self, at: float) -> int:
        hour = int(at // _HOUR_SECONDS)
        past = [hour - day * _HOURS_A_DAY for day in range(1, _MOST_DAYS + 1)]
        calls = [self._hours[each] for each in past if 0 <= each < len(self._hours)]
        return math.ceil(fmean(calls) / self._target_calls) if calls else 0
