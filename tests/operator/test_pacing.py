"""Words about an object wait: a little for each other, and longer while others wait for their turn."""

from voicefleet_operator.pacing import Pacer


def test_news_are_told_at_once_and_the_next_ones_after_two_seconds() -> None:
    now = 100.0
    pacer = Pacer(clock=lambda: now)
    assert pacer.wait_seconds("a") == 0
    pacer.note("a")
    now = 100.5

    assert pacer.wait_seconds("a") == 1.5
    assert pacer.wait_seconds("b") == 0


def test_in_a_crowd_news_wait_for_ten_seconds_and_not_longer() -> None:
    now, waiting = 100.0, 1000
    pacer = Pacer(waiting=lambda: waiting, clock=lambda: now)

    assert pacer.wait_seconds("a") == 10
    now = 104.0
    assert pacer.wait_seconds("a") == 6
    now = 110.0
    assert pacer.wait_seconds("a") == 0
    pacer.note("a")
    waiting, now = 3, 112.0
    assert pacer.wait_seconds("a") == 0
