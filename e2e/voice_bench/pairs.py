"""What pairs of figures say that were taken side by side, and whether a series grows: pure arithmetic."""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import median

from e2e.scale.figures import quantile

__all__ = ["added", "grown_share", "median_or_nothing", "ratio", "slope"]


def median_or_nothing(values: Sequence[float]) -> float:
    """Return the middle of what was measured; infinite if nothing was, so that no limit is kept by it."""
    return median(values) if values else math.inf


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the middle of the ratios of each pair.

    The machine's speed changes between pairs and not within one: [1, 4] against [1, 2] is 1.5, and not 5 to 3.
    """
    pairs = zip(ours, theirs, strict=True)
    return median_or_nothing([mine / other if other > 0 else math.inf for mine, other in pairs])


def added(ours: Sequence[float], theirs: Sequence[float], share: float) -> float:
    """Return by how much a quantile of ours lies above the same quantile of theirs."""
    return quantile(ours, share) - quantile(theirs, share) if ours and theirs else math.inf


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Return the growth per unit of time: the middle of the slopes between any two points (Theil and Sen).

    A few points far off, as when somebody reads memory while a process starts, do not move it.
    """
    points = list(zip(times, values, strict=True))
    return median_or_nothing([(b - a) / (t - s) for (s, a), (t, b) in combinations(points, 2) if t != s])


def grown_share(times: Sequence[float], values: Sequence[float], *, within: float) -> float:
    """Return by which share of its level a series grows within so much time; nobody counts shrinking."""
    level = median_or_nothing(values)
    return max(0.0, slope(times, values) * within / level) if math.isfinite(level) and level > 0 else math.inf
