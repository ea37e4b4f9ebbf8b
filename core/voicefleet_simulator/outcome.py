"""What came of a simulated day."""

import math
from collections import Counter
from dataclasses import dataclass, field

_QUARTER_HOUR = 900.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy's day in figures."""

    calls: int
    finished: int
    """Answered, and held until the people ended them."""
    waited: int
    """Answered, but not at once."""
    blocked: int
    cut: int
    """Answered, and ended by us."""
    pod_hours: float
    pods_created: int
    p99_wait_seconds: float
    p999_wait_seconds: float
    worst_quarter_hour: float
    """The highest share of blocked calls in any quarter of an hour."""
    peak_pods: int

    @property
    def blocked_fraction(self) -> float:
        """Return the share of calls that found no slot."""
        return self.blocked / self.calls if self.calls else 0.0

    @property
    def waited_fraction(self) -> float:
        """Return the share of calls that waited for a slot, and got one."""
        return self.waited / self.calls if self.calls else 0.0


@dataclass(slots=True)
class Tally:
    """Counts calls while the day goes on."""

    answered: int = 0
    finished: int = 0
    cut: int = 0
    waits: list[float] = field(default_factory=list)
    """Of those that were answered after a wait."""
    arrivals_by_quarter: Counter[int] = field(default_factory=Counter)
    blocked_by_quarter: Counter[int] = field(default_factory=Counter)

    @property
    def blocked(self) -> int:
        """Return how many calls found no slot."""
        return sum(self.blocked_by_quarter.values())

    def note_arrival(self, at: float) -> None:
        """Count a call that came."""
        self.arrivals_by_quarter[int(at // _QUARTER_HOUR)] += 1

    def note_blocked(self, arrived_at: float) -> None:
        """Count a call that was lost, for the quarter of an hour in which it came."""
        self.blocked_by_quarter[int(arrived_at // _QUARTER_HOUR)] += 1

    def wait_quantile(self, share: float) -> float:
        """Return the wait that this share of the answered calls did not exceed."""
        place = math.ceil(share * self.answered) - 1
        at_once = self.answered - len(self.waits)
        return 0.0 if place < at_once else sorted(self.waits)[place - at_once]

    def worst_quarter_hour(self) -> float:
        """Return the highest share of blocked calls in any quarter of an hour."""
        return max((lost / self.arrivals_by_quarter[at] for at, lost in self.blocked_by_quarter.items()), default=0.0)
