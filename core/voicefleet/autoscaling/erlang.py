"""How many slots a load needs, and how often a call finds none: Erlang-B and the quantiles that sizing uses.

Nothing here knows of workers or time.
"""

import math
from statistics import NormalDist

_STANDARD = NormalDist()
_EXACT_BELOW = 500.0
"""Up to this mean a quantile is summed term by term; e**-500 is still a number."""


def blocking(load: float, slots: int) -> float:
    """Return the share of calls that find no slot, for so many calls held on average if none were refused."""
    if load <= 0:
        return 0.0 if slots > 0 else 1.0
    # I(0) = 1, I(c) = 1 + c/load * I(c-1), B = 1/I: only additions of positive terms, so nothing cancels, and what
    # grows beyond all numbers becomes infinity, of which the share is rightly 0.
    inverse = 1.0
    for slot in range(1, slots + 1):
        inverse = 1.0 + slot / load * inverse
    return 1.0 / inverse


def slots_for(load: float, target: float) -> int:
    """Return the fewest slots with which at most the target share of calls is refused."""
    if not 0 < target <= 1:
        raise ValueError(f"the target must be above 0 and at most 1, was {target}")
    if load <= 0:
        return 1 if target < 1 else 0
    inverse, slots = 1.0, 0
    while inverse * target < 1.0:
        slots += 1
        inverse = 1.0 + slots / load * inverse
    return slots


def normal_quantile(chance: float) -> float:
    """Return the number of standard deviations that a normal quantity stays below with this chance."""
    return _STANDARD.inv_cdf(chance)


def normal_chance(deviations: float) -> float:
    """Return the chance that a normal quantity stays below so many standard deviations."""
    return _STANDARD.cdf(deviations)


def poisson_quantile(mean: float, chance: float) -> int:
    """Return the smallest count that a Poisson quantity does not exceed with this chance."""
    return negative_binomial_quantile(mean, mean, chance)


def negative_binomial_quantile(mean: float, variance: float, chance: float) -> int:
    """Return the smallest count not exceeded with this chance, of counts spread wider than Poisson.

    A variance at or below the mean is taken as Poisson.
    """
    if not 0 <= chance < 1:
        raise ValueError(f"the chance must be at least 0 and below 1, was {chance}")
    if mean <= 0:
        return 0
    if mean > _EXACT_BELOW:
        return _by_cornish_fisher(mean, max(variance, mean), chance)
    # Panjer's recursion p(k) = p(k-1) * (a + b/k) covers both: a = 0 for Poisson, 0 < a < 1 for negative binomial.
    ratio = max(0.0, 1 - mean / variance) if variance > mean else 0.0
    step = mean * (1 - ratio) - ratio
    term = math.exp(-mean) if ratio < 1e-12 else math.exp(mean * (1 - ratio) / ratio * math.log1p(-ratio))
    count, total = 0, term
    limit = mean + 40 * math.sqrt(max(variance, mean)) + 40
    while total < chance and count < limit:
        count += 1
        term *= ratio + step / count
        total += term
    return count


def _by_cornish_fisher(mean: float, variance: float, chance: float) -> int:
    deviations = _STANDARD.inv_cdf(max(chance, 1e-300))
    # Third cumulant of both families: variance * (2 * variance / mean - 1).
    skewness = (2 * variance / mean - 1) / math.sqrt(variance)
    return max(0, math.ceil(mean + math.sqrt(variance) * (deviations + (deviations**2 - 1) * skewness / 6) - 0.5))
