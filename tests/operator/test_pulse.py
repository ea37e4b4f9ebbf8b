"""When a process is too late to go on."""

import pytest

from voicefleet_operator.metrics import Metrics
from voicefleet_operator.pulse import Pulse


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
