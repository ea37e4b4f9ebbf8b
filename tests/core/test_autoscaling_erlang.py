"""Erlang-B and quantiles, against formulas, printed tables and numeric sums."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.autoscaling.erlang import (
    blocking,
    negative_binomial_quantile,
    normal_chance,
    normal_quantile,
    poisson_quantile,
    slots_for,
)

loads = st.floats(0.01, 40)
chances = st.floats(0.001, 0.9999)


def by_the_formula(load: float, slots: int) -> float:
    terms = [load**k / math.factorial(k) for k in range(slots + 1)]
    return terms[-1] / sum(terms)


def poisson_cdf(mean: float, count: int) -> float:
    return sum(math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(count + 1))


def negative_binomial_cdf(mean: float, variance: float, count: int) -> float:
    size, success = mean**2 / (variance - mean), mean / variance
    return sum(
        math.exp(
            math.lgamma(k + size)
            - math.lgamma(size)
            - math.lgamma(k + 1)
            + size * math.log(success)
            + k * math.log1p(-success)
        )
        for k in range(count + 1)
    )


@given(loads, st.integers(0, 30))
def test_the_recursion_is_the_formula(load: float, slots: int) -> None:
    assert blocking(load, slots) == pytest.approx(by_the_formula(load, slots), rel=1e-9)


@pytest.mark.parametrize(
    ("load", "slots", "target"),
    [
        (4.461, 10, 0.01),
        (12.03, 20, 0.01),
        (37.90, 50, 0.01),
        (84.06, 100, 0.01),
        (3.092, 10, 0.001),
        (75.24, 100, 0.001),
    ],
)
def test_printed_tables_are_met(load: float, slots: int, target: float) -> None:
    assert blocking(load, slots) == pytest.approx(target, rel=2e-3)
    assert slots_for(load * 0.998, target) == slots
    assert slots_for(load * 1.002, target) == slots + 1


@given(st.floats(0.01, 500), st.floats(1e-9, 0.5))
def test_the_inverse_gives_the_fewest_slots_that_hold_the_target(load: float, target: float) -> None:
    slots = slots_for(load, target)

    assert blocking(load, slots) <= target * (1 + 1e-9)
    assert slots == 0 or blocking(load, slots - 1) > target * (1 - 1e-9)


def test_loads_beyond_all_factorials_give_numbers_and_not_errors() -> None:
    assert blocking(50_000, 100_000) == 0.0
    assert blocking(100_000, 50_000) == pytest.approx(0.5, abs=1e-3)
    assert blocking(0, 1) == 0.0
    assert blocking(0, 0) == 1.0


@pytest.mark.parametrize(("target", "message"), [(0.0, "was 0.0"), (1.5, "was 1.5")])
def test_a_target_that_is_no_share_is_refused(target: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        slots_for(10, target)


@given(st.floats(0.05, 200), chances)
def test_a_poisson_quantile_is_the_first_count_that_reaches_the_chance(mean: float, chance: float) -> None:
    count = poisson_quantile(mean, chance)

    assert poisson_cdf(mean, count) >= chance - 1e-9
    assert count == 0 or poisson_cdf(mean, count - 1) <= chance + 1e-9


@given(st.floats(0.05, 50), st.floats(1.05, 6), chances)
def test_a_negative_binomial_quantile_is_the_first_count_that_reaches_the_chance(
    mean: float, spread: float, chance: float
) -> None:
    count = negative_binomial_quantile(mean, mean * spread, chance)

    assert negative_binomial_cdf(mean, mean * spread, count) >= chance - 1e-9
    assert count == 0 or negative_binomial_cdf(mean, mean * spread, count - 1) <= chance + 1e-9


def test_large_means_go_on_where_exact_sums_end() -> None:
    below, above = poisson_quantile(499.9, 0.99), poisson_quantile(500.1, 0.99)

    assert 0 <= above - below <= 1


def test_a_quantile_of_certainty_does_not_exist() -> None:
    with pytest.raises(ValueError, match="below 1"):
        poisson_quantile(3, 1.0)
    assert poisson_quantile(0, 0.99) == 0


def test_normal_quantile_and_chance_undo_each_other() -> None:
    assert normal_quantile(0.99) == pytest.approx(2.3263, abs=1e-4)
    assert normal_chance(normal_quantile(0.9975)) == pytest.approx(0.9975)
