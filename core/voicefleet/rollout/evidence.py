"""How strongly counts speak for a higher rate, in a way that stays valid however often one looks.

Each function returns log likelihood ratios, one for each of a few alternatives: how much likelier is what was seen if
the odds are higher by that factor? Their mean over the alternatives is a test martingale: while the rate is not
higher, the chance that it *ever* exceeds 1/a is at most a (Ville's inequality). So a canary can be compared every few
seconds for days without more false alarms than one comparison is allowed, and nothing is remembered of earlier looks
but the sums. An ordinary test repeated at each look would give nearly every harmless canary an alarm in the end.
"""

import math
from collections.abc import Iterable, Sequence

# From a little worse to broken. More alternatives cost sureness (the logarithm of their number), fewer miss cases.
ODDS = (1.5, 2.5, 5.0, 15.0)
# Counts above this are thinned in proportion: the sum below has a term for each possible count, and a worker may lie.
_LARGEST_COUNT = 10_000
# Beyond any sureness that can be asked for, and small enough to be added up.
_CERTAIN = 500.0

LogRatios = tuple[float, ...]
NOTHING: LogRatios = (0.0,) * len(ODDS)


def weigh_difference(*, hits: int, of: int, other_hits: int, other_of: int) -> LogRatios:
    """Weigh one time's counts of two revisions: whether the first one's rate is higher than the other's.

    Given how many hits there were in all, it is a hypergeometric matter how many fell to the first; if its odds are
    higher by a factor, Fisher's noncentral hypergeometric. The rate itself cancels out, so a bad hour for both
    revisions speaks against neither, and ratios of successive times may be multiplied.
    """
    hits, of, other_hits, other_of = _thin(hits, of, other_hits, other_of)
    total = hits + other_hits
    low, high = max(0, total - other_of), min(total, of)
    if low == high:
        return NOTHING
    counts = range(low, high + 1)
    ways = [_log_choose(of, count) + _log_choose(other_of, total - count) for count in counts]
    base = _log_sum(ways)
    return tuple(
        hits * math.log(odds)
        + base
        - _log_sum([way + count * math.log(odds) for way, count in zip(ways, counts, strict=True)])
        for odds in ODDS
    )


def weigh_excess(*, hits: int, of: int, limit: float) -> LogRatios:
    """Weigh all counts so far against a limit: whether the rate is above it."""
    if limit >= 1 or of == 0:
        return NOTHING
    if limit <= 0:
        return (_CERTAIN if hits else 0.0,) * len(ODDS)
    return tuple(_log_ratio(hits, of, limit, odds) for odds in ODDS)


def strength(ratios: Iterable[float], *, weight: float = 1.0) -> float:
    """Return the logarithm of the mean ratio, which is compared with the logarithm of 1/a.

    The weight is for counts that come in clumps: one call with a slow line has twenty slow turns, and they are one
    witness, not twenty. With a weight of calls per turn, turns of one call count as much as one.
    """
    weighted = [ratio * weight for ratio in ratios]
    return _log_sum(weighted) - math.log(len(weighted)) if weighted else 0.0


def upper_bound(hits: int, of: int) -> float:
    """Return a rate that the true one is below with 95 % sureness (Wilson's score interval); 1 if nothing is known."""
    if of == 0:
        return 1.0
    z, rate = 1.645, min(1.0, hits / of)
    centre = rate + z * z / (2 * of)
    spread = z * math.sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))
    return min(1.0, (centre + spread) / (1 + z * z / of))


def _log_ratio(hits: int, of: int, limit: float, odds: float) -> float:
    higher = odds * limit / (1 - limit + odds * limit)
    return hits * math.log(higher / limit) + (of - hits) * math.log((1 - higher) / (1 - limit))


def _thin(*counts: int) -> tuple[int, ...]:
    factor = max(1.0, max(counts) / _LARGEST_COUNT)
    return tuple(int(count / factor) for count in counts)


def _log_choose(of: int, count: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)


def _log_sum(logs: Sequence[float]) -> float:
    highest = max(logs)
    return highest + math.log(sum(math.exp(value - highest) for value in logs))
