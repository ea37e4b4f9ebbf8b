"""How many calls have failed lately, and when it is worth a word."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fleet import NOW
from voicefleet.fleet.ended import LATELY, EndedCalls, Failing, judge

TRUE_FROM_PERCENT = {
    Failing.FEW: 0,
    Failing.ONE_IN_TEN: 10,
    Failing.A_THIRD: 100 / 3,
    Failing.TWO_THIRDS: 200 / 3,
    Failing.NINE_IN_TEN: 90,
}


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@pytest.mark.parametrize(
    ("ended", "failed", "told"),
    [
        pytest.param(0, 0, Failing.FEW, id="no call"),
        pytest.param(4, 4, Failing.FEW, id="all of four calls may be chance"),
        pytest.param(5, 1, Failing.ONE_IN_TEN, id="one of five calls"),
        pytest.param(6, 1, Failing.FEW, id="one of six calls"),
        pytest.param(100, 49, Failing.ONE_IN_TEN, id="just below half"),
        pytest.param(100, 50, Failing.A_THIRD, id="half"),
        pytest.param(100, 79, Failing.A_THIRD, id="just below four in five"),
        pytest.param(100, 80, Failing.TWO_THIRDS, id="four in five"),
        pytest.param(100, 94, Failing.TWO_THIRDS, id="just not nearly all"),
        pytest.param(100, 95, Failing.NINE_IN_TEN, id="nearly all"),
    ],
)
def test_a_share_is_told_when_it_is_clear(ended: int, failed: int, told: Failing) -> None:
    assert judge(Failing.FEW, ended=ended, failed=failed) is told


@pytest.mark.parametrize(
    ("before", "ended", "failed", "told"),
    [
        pytest.param(Failing.ONE_IN_TEN, 10, 1, Failing.ONE_IN_TEN, id="one in ten is still what is told"),
        pytest.param(Failing.ONE_IN_TEN, 11, 1, Failing.FEW, id="fewer than one in ten are not"),
        pytest.param(
            Failing.ONE_IN_TEN, 2, 1, Failing.ONE_IN_TEN, id="one of two calls, which alone would not begin it"
        ),
        pytest.param(Failing.ONE_IN_TEN, 4, 4, Failing.ONE_IN_TEN, id="few calls make it no worse"),
        pytest.param(Failing.ONE_IN_TEN, 4, 0, Failing.FEW, id="no call that failed is left"),
        pytest.param(Failing.A_THIRD, 100, 34, Failing.A_THIRD, id="a third"),
        pytest.param(Failing.A_THIRD, 100, 33, Failing.ONE_IN_TEN, id="less than a third"),
        pytest.param(Failing.NINE_IN_TEN, 100, 89, Failing.TWO_THIRDS, id="less than nine in ten"),
        pytest.param(Failing.NINE_IN_TEN, 100, 5, Failing.FEW, id="well at once"),
    ],
)
def test_a_share_that_was_told_stays_for_as_long_as_it_is_true(
    before: Failing, ended: int, failed: int, told: Failing
) -> None:
    assert judge(before, ended=ended, failed=failed) is told


@given(st.sampled_from(Failing), st.integers(0, 300), st.integers(0, 300))
def test_what_is_told_is_true_and_settles_at_once(before: Failing, failed: int, well: int) -> None:
    ended = failed + well

    told = judge(before, ended=ended, failed=failed)

    assert failed * 100 >= TRUE_FROM_PERCENT[told] * ended
    assert judge(told, ended=ended, failed=failed) is told


@pytest.mark.parametrize("bound_percent", [10, 20, 34, 50, 67, 80, 90, 95])
def test_a_share_that_wavers_about_a_bound_changes_the_words_once_at_most(bound_percent: int) -> None:
    for begun in Failing:
        told = [judge(begun, ended=1000, failed=bound_percent * 10)]
        for wave in range(20):
            told.append(judge(told[-1], ended=1000, failed=bound_percent * 10 + (30 if wave % 2 else -30)))
        assert sum(one is not other for one, other in pairwise(told)) <= 1


def test_calls_that_failed_are_told_for_ten_minutes_and_no_longer() -> None:
    ended = EndedCalls()
    ended.count(5, 2, since=NOW)
    now, told = NOW, ended.look(NOW)

    while told.failing is not Failing.FEW and now - NOW <= LATELY:
        assert told.look_again_after is not None
        now += told.look_again_after
        told = ended.look(now)

    assert LATELY - seconds(30) <= now - NOW <= LATELY
    assert told.look_again_after is None


def test_calls_that_went_well_leave_and_bring_the_share_of_the_others_to_light() -> None:
    """Time alone begins it, so there must be a look."""
    ended = EndedCalls()
    ended.count(40, 0, since=NOW)
    ended.count(10, 5, since=NOW + seconds(300))
    before = ended.look(NOW + seconds(301))
    assert (before.failing, before.look_again_after) == (Failing.FEW, seconds(299))

    assert ended.look(NOW + seconds(600)).failing is Failing.A_THIRD


def test_calls_that_may_have_ended_longer_ago_do_not_count_as_of_now() -> None:
    """A worker is heard again after an hour, or after nine minutes."""
    ended = EndedCalls()
    ended.count(100, 100, since=NOW - seconds(3600))
    assert ended.look(NOW).failing is Failing.FEW

    ended.count(100, 100, since=NOW - seconds(540))
    assert ended.look(NOW).failing is Failing.NINE_IN_TEN
    assert ended.look(NOW + seconds(60)).failing is Failing.FEW


def test_a_day_of_calls_takes_no_more_room_than_ten_minutes_of_them() -> None:
    ended = EndedCalls()
    for second in range(0, 86_400, 7):
        ended.count(1, 0, since=NOW + seconds(second))
        ended.look(NOW + seconds(second + 1))

    assert ended.spans_known <= LATELY.total_seconds() / 30


def test_a_clock_that_was_set_back_keeps_nothing_for_longer() -> None:
    ended = EndedCalls()
    ended.count(5, 5, since=NOW + seconds(3600))

    assert ended.look(NOW).failing is Failing.FEW
    assert ended.spans_known == 0


def test_a_fleet_whose_calls_end_well_need_not_be_looked_at_for_them() -> None:
    ended = EndedCalls()
    ended.count(100, 0, since=NOW)

    assert ended.look(NOW).look_again_after is None
