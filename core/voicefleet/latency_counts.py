"""Latencies as counts by class: what can be said of them."""

import math
from collections.abc import Sequence

from voicefleet.wire import LATENCY_BOUNDS_MILLISECONDS

# What lies beyond the last bound is only known to be slower than it.
SLOWEST_MILLISECONDS = 60_000
_BOUNDS = (*LATENCY_BOUNDS_MILLISECONDS, SLOWEST_MILLISECONDS)


def latency_quantile(counts: Sequence[int], quantile: float) -> int | None:
    """Return the upper bound of the class in which a quantile lies, or nothing if nothing was counted."""
    rank = max(1, math.ceil(quantile * sum(counts)))
    seen = 0
    for bound, count in zip(_BOUNDS, counts, strict=True):
        seen += count
        if seen >= rank:
            return bound
    return None
