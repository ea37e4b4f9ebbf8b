"""Words about an object wait: a little for each other, and longer while many new ones come."""

from tests.support.clock import Clock
from voicefleet_operator.turns.pacing import Pacer


def test_news_are_told_at_once_and_the_next_ones_after_two_seconds() -> None:
    clock = Clock(100.0)
    pacer = Pacer(clock=clock)
    assert pacer.wait_seconds("a") == 0
    pacer.note("a")
    clock.seconds = 100.5

    assert pacer.wait_seconds("a") == 1.5
    assert pacer.wait_seconds("b") == 0


def test_in_a_crowd_news_are_looked_at_again_now_and_then_and_wait_no_longer_than_half_a_minute() -> None:
    clock, waiting = Clock(100.0), 1000
    pacer = Pacer(waiting=lambda: waiting, clock=clock)

    assert pacer.wait_seconds("a") == 10
    clock.seconds = 128.0
    assert pacer.wait_seconds("a") == 2
    clock.seconds = 130.0
    assert pacer.wait_seconds("a") == 0


def test_news_are_told_as_soon_as_the_crowd_is_gone() -> None:
    clock, waiting = Clock(100.0), 1000
    pacer = Pacer(waiting=lambda: waiting, clock=clock)
    assert pacer.wait_seconds("a") == 10
    waiting, clock.seconds = 3, 110.0

    assert pacer.wait_seconds("a") == 0


def test_many_that_come_within_a_moment_are_a_crowd_too_and_known_ones_are_none() -> None:
    clock = Clock(100.0)
    pacer = Pacer(clock=clock)
    names = [f"agent-{number}" for number in range(9)]

    waits = [pacer.wait_seconds(name) for name in names]
    assert waits == [0] * 8 + [10]
    for name in names:
        pacer.note(name)
    clock.seconds = 103.0

    assert [pacer.wait_seconds(name) for name in names] == [0] * 9
