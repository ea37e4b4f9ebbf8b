"""When a process is too late to go on."""

import pytest

from voicefleet_operator.metrics import Metrics
from voicefleet_operator.pulse import Freshness, Pulse


def pulse(*lags: float) -> Pulse:
    beating = Pulse(Metrics())
    for lag in lags:
        beating.beat(lag)
    return beating


@pytest.mark.parametrize(
    ("lags", "dead"),
    [
        ((), False),
        ((6, 6), False),
        ((6, 6, 6), True),
        ((6, 6, 0.1, 6), False),
        ((5, 5, 5), False),
        ((6, 7, 8, 1), False),
    ],
)
def test_only_a_loop_that_is_late_again_and_again_is_dead(lags: tuple[float, ...], dead: bool) -> None:
    assert (pulse(*lags).why_dead() is not None) is dead


def test_the_last_lag_is_told() -> None:
    assert pulse(3, 0.25).lag_seconds == 0.25


def test_a_clock_that_was_set_back_is_no_lag() -> None:
    assert pulse(-1).lag_seconds == 0


@pytest.mark.parametrize(("lags", "is_late"), [((), False), ((3,), False), ((3.1,), True), ((9, 0.1), False)])
def test_a_loop_is_late_whose_last_beat_was(lags: tuple[float, ...], is_late: bool) -> None:
    assert pulse(*lags).is_late() is is_late


def test_a_loop_is_stuck_that_has_not_beaten_for_as_long_as_a_lead_lasts() -> None:
    seconds = [100.0]
    beating = Pulse(Metrics(), clock=lambda: seconds[0])
    seconds[0] += 10.0
    assert not beating.is_stuck()
    seconds[0] += 0.1
    assert beating.is_stuck()

    beating.beat(9.6)
    assert not beating.is_stuck()


@pytest.mark.parametrize(
    ("story", "is_old"),
    [
        pytest.param(("89",), False, id="a bookmark is a little late"),
        pytest.param(("91",), True, id="no word for longer than bookmarks take"),
        pytest.param(("60", "heard", "89"), False, id="it was heard meanwhile"),
        pytest.param(("broke", "14"), False, id="a connection that broke just now"),
        pytest.param(("broke", "16"), True, id="a connection that does not come back"),
        pytest.param(("broke", "10", "broke", "6"), True, id="one that breaks again and again"),
        pytest.param(("broke", "16", "opened"), False, id="one that came back"),
        pytest.param(("broke", "16", "heard"), False, id="one whose word was made up for by a list"),
        pytest.param(("opened", "50", "opened", "41"), True, id="a server that opens and says nothing"),
    ],
)
def test_what_a_watch_told_is_old_after(story: tuple[str, ...], is_old: bool) -> None:
    seconds = [0.0]
    fresh = Freshness(clock=lambda: seconds[0])
    for step in story:
        if step.isdecimal():
            seconds[0] += int(step)
        else:
            getattr(fresh, step)()

    assert fresh.is_old() is is_old
