"""How many of a fleet's calls have failed lately, as a share that is told in words.

A share is told by what it surely is not below, and gives way only when that is no longer true. So the words change
rarely, however the figures do, and are never wrong.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

LATELY = timedelta(minutes=10)
_SPAN_SECONDS = 30
_FEWEST_CALLS = 5
"""Of fewer calls no share is told that was not told before: one that fails may be chance."""


class Failing(IntEnum):
    """Which share of the calls that ended lately has failed, at least."""

    FEW = 0
    """So few that nobody need be told."""
    ONE_IN_TEN = 1
    A_THIRD = 2
    TWO_THIRDS = 3
    NINE_IN_TEN = 4


# From which share on, in percent, it is told, and down to which it goes on being told.
_BOUNDS = {
    Failing.ONE_IN_TEN: (20, 10),
    Failing.A_THIRD: (50, 34),
    Failing.TWO_THIRDS: (80, 67),
    Failing.NINE_IN_TEN: (95, 90),
}


@dataclass(frozen=True, slots=True)
class EndedLately:
    """What there is to say of the calls that ended lately, and when time alone may change it."""

    failing: Failing = Failing.FEW
    look_again_after: timedelta | None = None


NOTHING_ENDED = EndedLately()


class EndedCalls:
    """Calls of one fleet that ended lately, kept in memory: two counts for each half minute, whoever held the calls."""

    def __init__(self) -> None:
        self._spans: dict[int, tuple[int, int]] = {}
        self._failing = Failing.FEW

    @property
    def spans_known(self) -> int:
        """Return how many half minutes it keeps in mind."""
        return len(self._spans)

    def count(self, ended: int, failed: int, *, since: datetime) -> None:
        """Take down calls of one worker that ended since its word that was looked at before.

        They count from then on: whoever is heard again after an hour tells of calls that may have ended an hour ago,
        and of those nobody shall read that they ended lately.
        """
        if ended:
            span = _span_of(since)
            before = self._spans.get(span, (0, 0))
            self._spans[span] = (before[0] + ended, before[1] + failed)

    def look(self, now: datetime) -> EndedLately:
        """Forget what is long ago, and tell how the rest stands."""
        oldest, newest = _span_of(now - LATELY), _span_of(now)
        # A clock that was set back must not keep anything for longer.
        self._spans = {span: counts for span, counts in self._spans.items() if oldest < span <= newest}
        ended = sum(counts[0] for counts in self._spans.values())
        failed = sum(counts[1] for counts in self._spans.values())
        self._failing = judge(self._failing, ended=ended, failed=failed)
        # Without calls that failed nothing begins, and nothing is left to end.
        return EndedLately(self._failing, self._look_again_after(now) if failed else None)

    def _look_again_after(self, now: datetime) -> timedelta:
        """Return when the oldest calls stop counting, which may end what is told as well as begin it."""
        leaves_at = min(self._spans) * _SPAN_SECONDS + LATELY.total_seconds()
        return timedelta(seconds=max(1.0, leaves_at - now.timestamp()))


def judge(before: Failing, *, ended: int, failed: int) -> Failing:
    """Return which share is to be told, after that which was told before.

    Of 20 calls 4 failed: a share is told, and stays when 3 of 24 did; of 31 it is gone. What was told stays while it is
    true, also of few calls: one more good call or one less would make it come and go. None of it outlasts the last
    call that failed.
    """
    if not failed:
        return Failing.FEW
    told = [
        level
        for level, (begins, ends) in _BOUNDS.items()
        if (ended >= _FEWEST_CALLS and failed * 100 >= begins * ended)
        or (level <= before and failed * 100 >= ends * ended)
    ]
    return max(told, default=Failing.FEW)


def _span_of(moment: datetime) -> int:
    return int(moment.timestamp() // _SPAN_SECONDS)
