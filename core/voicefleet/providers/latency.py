"""How long a provider takes, as counts by class: small, and two of them add up to one."""

from bisect import bisect_left
from dataclasses import dataclass, replace

# Each class is a fifth wider than the one before: no quantile is off by more than a tenth.
BOUNDS_SECONDS = tuple(round(0.02 * 1.2**step, 4) for step in range(38))
SLICE_SECONDS = 60
_CLASSES = len(BOUNDS_SECONDS) + 1
_EMPTY = (0,) * _CLASSES


@dataclass(frozen=True, slots=True)
class Sketch:
    """Latencies of one minute and of the one before."""

    slice_number: int = 0
    counts: tuple[int, ...] = _EMPTY
    earlier: tuple[int, ...] = _EMPTY

    def at(self, now: float) -> "Sketch":
        """Let go of what is older than two minutes."""
        current = int(now // SLICE_SECONDS)
        if current == self.slice_number:
            return self
        return Sketch(current, _EMPTY, self.counts if current == self.slice_number + 1 else _EMPTY)

    def adding(self, seconds: float, now: float) -> "Sketch":
        """Count one request by the time to its first byte."""
        fresh, its_class = self.at(now), bisect_left(BOUNDS_SECONDS, seconds)
        counts = (*fresh.counts[:its_class], fresh.counts[its_class] + 1, *fresh.counts[its_class + 1 :])
        return replace(fresh, counts=counts)

    def merged(self, other: "Sketch", now: float) -> "Sketch":
        """Return both as one."""
        one, two = self.at(now), other.at(now)
        return Sketch(one.slice_number, _sums(one.counts, two.counts), _sums(one.earlier, two.earlier))

    def quantile(self, share: float) -> float | None:
        """Return the latency that this share of requests did not exceed; the middle of its class."""
        counts = _sums(self.counts, self.earlier)
        wanted, so_far = share * sum(counts), 0
        for its_class, count in enumerate(counts):
            so_far += count
            if count and so_far >= wanted:
                return _middle(its_class)
        return None


def _middle(its_class: int) -> float:
    above = BOUNDS_SECONDS[min(its_class, len(BOUNDS_SECONDS) - 1)]
    below = BOUNDS_SECONDS[its_class - 1] if its_class else 0.0
    return (above + below) / 2


def _sums(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, two, strict=True))
