"""How long calls last: the curve, its integral, and what is learned from calls that ended and calls that go on."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.autoscaling.survival import BINS, Lifetimes, Survival

lengths = st.lists(st.floats(0, 4000), min_size=1, max_size=80)
expected = st.floats(20, 2000)


@given(lengths, lengths, expected)
def test_the_chance_to_last_never_rises(ended: list[float], live: list[float], guess: float) -> None:
    curve = Survival.measured(ended, live, guess)
    chances = [curve.at(7.0 * k) for k in range(800)]

    assert chances[0] == 1.0
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(chances))
    assert chances[-1] >= 0


@given(lengths, expected, st.floats(0, 10_000))
def test_the_integral_is_the_sum_of_the_curve(ended: list[float], guess: float, until: float) -> None:
    curve = Survival.measured(ended, (), guess)
    pieces = 800
    width = until / pieces
    summed = sum(curve.at((k + 0.5) * width) for k in range(pieces)) * width

    assert curve.integral(until) == pytest.approx(summed, rel=1e-2, abs=0.5)


@given(expected, st.floats(0, 20_000), st.floats(0, 5000))
def test_the_chance_to_go_on_is_a_chance(guess: float, age: float, ahead: float) -> None:
    curve = Survival.prior(guess)

    assert 0 <= curve.remaining(age, ahead) <= 1
    assert curve.remaining(age, 0) == pytest.approx(1)
    assert curve.remaining(age, ahead) >= curve.remaining(age, ahead + 60) - 1e-12


def test_the_first_guess_has_the_mean_that_was_expected() -> None:
    assert Survival.prior(180).mean_seconds == pytest.approx(180, rel=0.02)
    assert Survival.prior(5000).mean_seconds == pytest.approx(5000, rel=0.02)


def test_many_calls_outweigh_the_first_guess() -> None:
    exponential = [-400 * math.log1p(-(number + 0.5) / 20_000) for number in range(20_000)]
    curve = Survival.measured(exponential, (), 180)

    assert curve.mean_seconds == pytest.approx(400, rel=0.03)
    for seconds in (60, 240, 600, 1200):
        assert curve.at(seconds) == pytest.approx(math.exp(-seconds / 400), abs=0.015)
        assert curve.remaining(seconds, 60) == pytest.approx(math.exp(-60 / 400), abs=0.03)


def test_few_calls_do_not_outweigh_it() -> None:
    assert 120 < Survival.measured([20.0, 25.0], (), 180).mean_seconds < 180


def test_calls_that_go_on_are_worked_out_as_kaplan_and_meier_did() -> None:
    # By hand, of 1,000 calls: 200 end at 31 s, 500 have lasted 61 s and go on, 300 end at 91 s.
    # After 31 s 4/5 are left; at 91 s all 300 end that were still watched, so none is left but for the guess.
    ended = [31.5] * 200 + [91.5] * 300
    curve = Survival.measured(ended, [61.5] * 500, 60)

    assert curve.at(45) == pytest.approx(0.8, abs=0.005)
    assert curve.at(80) == pytest.approx(0.8, abs=0.005)
    assert curve.at(100) == pytest.approx(0.0, abs=0.005)


def test_ignoring_calls_that_go_on_would_make_calls_seem_short() -> None:
    ended, live = [60.0] * 600, [300.0] * 600

    assert Survival.measured(ended, live, 180).at(120) == pytest.approx(0.5, abs=0.02)
    assert Survival.measured(ended, (), 180).at(120) == pytest.approx(0.0, abs=0.02)


def test_the_grid_widens_for_calls_longer_than_anyone_guessed() -> None:
    seen = Lifetimes(30)
    for number in range(2000):
        seen.add(1800 + number % 600)

    assert seen.span_seconds > 2400
    assert seen.survival().mean_seconds == pytest.approx(2100, rel=0.05)


def test_the_table_for_a_span_is_the_curve_at_each_age() -> None:
    curve = Survival.prior(180)
    table = curve.ahead(60)

    assert len(table.stays) == BINS
    for age in (0, 10, 100, BINS - 1):
        middle = (age + 0.5) * curve.step_seconds
        assert table.stays[age] == pytest.approx(curve.remaining(middle, 60))
        assert table.spread[age] == pytest.approx(table.stays[age] * (1 - table.stays[age]))


def test_yesterdays_calls_fade() -> None:
    seen = Lifetimes(180)
    for _ in range(1000):
        seen.add(30)
    seen.fade(0.1)
    for _ in range(1000):
        seen.add(600)

    assert seen.survival().at(300) == pytest.approx(1000 / 1100, abs=0.01)
