"""Requests of the last minute, told without a list of when they were."""

from voicefleet.providers.rates import Rate


def rate_of(*moments: float) -> Rate:
    rate = Rate()
    for moment in moments:
        rate = rate.counting(moment)
    return rate


def test_of_the_minute_before_counts_the_share_that_is_not_over() -> None:
    rate = rate_of(*range(600, 660))

    assert [rate.last_minute(at) for at in (659, 660, 690, 719, 720)] == [60, 60, 30, 1, 0]


def test_a_clock_that_is_set_back_multiplies_nothing() -> None:
    """An hour back, 90 requests of two minutes counted as thousands of one, and a quota as used up for an hour."""
    rate = rate_of(*range(3600, 3690))

    assert [rate.last_minute(at) for at in (3690, 90, 3599)] == [60, 30, 30]
    assert rate.counting(90).last_minute(119) == 31
