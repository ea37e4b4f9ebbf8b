"""What became of calls, as counts that can be added up and told apart."""

from dataclasses import dataclass
from typing import Self

from voicefleet.latency_counts import latency_quantile
from voicefleet.wire import LATENCY_BOUNDS_MILLISECONDS, Tally

CLASSES = len(LATENCY_BOUNDS_MILLISECONDS) + 1


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of calls, turns and requests, of one worker or of many."""

    calls_ended: int = 0
    calls_failed: int = 0
    hung_up_early: int = 0
    provider_requests: int = 0
    provider_errors: int = 0
    turn_latency: tuple[int, ...] = (0,) * CLASSES
    """Turns by the classes of `voicefleet.wire.LATENCY_BOUNDS_MILLISECONDS`."""

    @classmethod
    def of(cls, tally: Tally) -> Self:
        """Return what a worker process counted."""
        return cls(
            calls_ended=tally.calls_ended,
            calls_failed=tally.calls_failed,
            hung_up_early=tally.hung_up_early,
            provider_requests=tally.provider_requests,
            provider_errors=tally.provider_errors,
            turn_latency=tally.turn_latency,
        )

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            self.calls_ended + other.calls_ended,
            self.calls_failed + other.calls_failed,
            self.hung_up_early + other.hung_up_early,
            self.provider_requests + other.provider_requests,
            self.provider_errors + other.provider_errors,
            tuple(map(int.__add__, self.turn_latency, other.turn_latency)),
        )

    def __sub__(self, earlier: "Figures") -> "Figures":
        """Return what was counted since; no count is below nothing."""
        return Figures(
            max(0, self.calls_ended - earlier.calls_ended),
            max(0, self.calls_failed - earlier.calls_failed),
            max(0, self.hung_up_early - earlier.hung_up_early),
            max(0, self.provider_requests - earlier.provider_requests),
            max(0, self.provider_errors - earlier.provider_errors),
            tuple(
                late - early if late > early else 0
                for late, early in zip(self.turn_latency, earlier.turn_latency, strict=True)
            ),
        )

    def fell_since(self, earlier: "Figures") -> bool:
        """Tell whether some count is lower than it was, as only another process can make it."""
        return any(
            late < early
            for late, early in (
                (self.calls_ended, earlier.calls_ended),
                (self.calls_failed, earlier.calls_failed),
                (self.hung_up_early, earlier.hung_up_early),
                (self.provider_requests, earlier.provider_requests),
                (self.provider_errors, earlier.provider_errors),
                *zip(self.turn_latency, earlier.turn_latency, strict=True),
            )
        )

    @property
    def turns(self) -> int:
        """Count the turns that were answered."""
        return sum(self.turn_latency)

    def slower_than(self, milliseconds: int) -> int:
        """Count the turns that surely took longer; those of the class that the limit cuts in two are in doubt.

        A limit of 2750 lies between 2500 and 3000: turns beyond 3000 count, those from 2500 to 3000 don't.
        """
        above = (0, *LATENCY_BOUNDS_MILLISECONDS)
        return sum(count for low, count in zip(above, self.turn_latency, strict=True) if low >= milliseconds)

    def turn_latency_quantile(self, quantile: float) -> int | None:
        """Return the upper bound of the class in which a quantile lies, or nothing if there were no turns."""
        return latency_quantile(self.turn_latency, quantile)
