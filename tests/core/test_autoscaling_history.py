"""What a fleet learns as it runs, told as timelines."""

from itertools import pairwise

import pytest

from voicefleet.autoscaling.arrivals import ArrivalRate
from voicefleet.autoscaling.history import CORRECTION, MOST_CORRECTION, History, least_headroom
from voicefleet.autoscaling.load import Lessons, Rules, Size
from voicefleet.autoscaling.survival import BINS

RULES = Rules(slots_per_worker=12, max_workers=100)


def call_every(history: History, seconds: float, begin: float, end: float) -> None:
    count = round((end - begin) / seconds)
    for number in range(count):
        history.began(begin + number * seconds)


def in_burst(lessons: Lessons, now: float) -> bool:
    return now < lessons.burst_until


def test_the_rate_is_learned_from_calls_and_seconds() -> None:
    history = History(RULES)
    history.lessons(0)
    call_every(history, 2.0, 0, 1800)

    assert history.lessons(1800).arrivals.per_second == pytest.approx(0.5, rel=0.03)


def test_a_rate_that_triples_is_known_two_minutes_later() -> None:
    history = History(RULES)
    history.lessons(0)
    call_every(history, 3.0, 0, 1800)
    call_every(history, 1.0, 1800, 1920)

    assert history.lessons(1920).arrivals.per_second > 0.7


def test_chance_alone_does_not_move_the_steady_rate() -> None:
    steady = ArrivalRate()
    for _ in range(900):
        steady = steady.after(1, 2.0)
    a_few_more = steady
    for _ in range(4):
        a_few_more = a_few_more.after(1, 1.0)

    assert a_few_more.per_second == pytest.approx(a_few_more.long.rate(0).per_second)


def test_one_early_call_is_no_flood() -> None:
    history = History(RULES)
    history.lessons(0)
    history.began(1)

    assert history.lessons(2).arrivals.per_second <= 0.05


def test_silence_is_never_proof_but_a_long_one_tells_more() -> None:
    silence = ArrivalRate()
    chances = []
    for _ in range(24):
        silence = silence.after(0, 3600)
        chances.append(silence.chance_of_call(60))

    assert all(later < earlier for earlier, later in pairwise(chances))
    assert chances[0] > 0.001
    assert 0 < chances[-1] < 0.001


def test_a_burst_is_seen_within_its_first_seconds_and_is_over_a_minute_after_the_last_sign() -> None:
    history = History(RULES)
    history.lessons(0)
    call_every(history, 10.0, 0, 3600)
    assert not in_burst(history.lessons(3600), 3600)

    call_every(history, 0.5, 3600, 3610)

    assert in_burst(history.lessons(3610), 3610)
    assert history.lessons(3610).burst_rate > 1.0
    assert in_burst(history.lessons(3668), 3668)
    assert not in_burst(history.lessons(3670), 3670)


def test_calls_as_often_as_usual_are_no_burst() -> None:
    history = History(RULES)
    history.lessons(0)
    call_every(history, 0.5, 0, 3600)

    # The first minute is all news; the rest is not.
    assert not in_burst(history.lessons(3600), 3600)


def test_a_call_that_found_no_slot_is_a_burst_and_asks_for_more_headroom() -> None:
    history = History(RULES)
    history.lessons(0)
    history.blocked(100)
    lessons = history.lessons(101)

    assert in_burst(lessons, 101)
    assert lessons.headroom == pytest.approx(least_headroom(0.001) + CORRECTION, abs=0.001)


def test_headroom_goes_up_with_losses_and_comes_down_with_answered_calls() -> None:
    history = History(RULES)
    for number in range(500):
        history.blocked(float(number))
    highest = history.lessons(500).headroom
    assert highest == pytest.approx(least_headroom(0.001) + MOST_CORRECTION)

    for number in range(10_000):
        history.began(500.0 + number)
    lower = history.lessons(10_500).headroom
    assert least_headroom(0.001) < lower < highest

    for number in range(100_000):
        history.began(10_500.0 + number)
    assert history.lessons(110_500).headroom == least_headroom(0.001)


def test_a_sharper_target_asks_for_more_headroom() -> None:
    assert [round(least_headroom(target), 2) for target in (0.01, 0.001, 0.0001)] == [1.88, 2.75, 3.43]
    assert least_headroom(0.2) > 0


def test_who_may_wait_needs_less_headroom_up_to_a_patience() -> None:
    assert [round(least_headroom(0.001, hold), 2) for hold in (0, 5, 8, 15, 120)] == [2.75, 2.75, 2.65, 2.49, 2.49]


def test_start_ups_are_guessed_until_twenty_were_measured() -> None:
    history = History(RULES, startup_seconds=45)
    assert history.lessons(0).startup.q95 == pytest.approx(63)

    for _ in range(19):
        history.started(30)
    assert history.lessons(0).startup.mean == 45
    history.started(30)

    assert (history.lessons(0).startup.mean, history.lessons(0).startup.q95) == (30, 30)


def test_start_ups_slower_than_guessed_count_at_once() -> None:
    history = History(RULES, startup_seconds=45)
    history.started(120)

    assert history.lessons(0).startup.q95 >= 120


def test_only_the_last_starts_count() -> None:
    history = History(RULES)
    for _ in range(100):
        history.started(200)
    for _ in range(64):
        history.started(20)

    assert history.lessons(0).startup.q95 == 20


def test_live_calls_tell_a_new_operator_how_often_calls_arrive() -> None:
    history = History(RULES, expected_call_seconds=360)
    history.seed([float(-age) for age in range(0, 400, 2)], now=0)
    lessons = history.lessons(1)

    assert lessons.arrivals.per_second == pytest.approx(0.5, rel=0.25)
    assert not in_burst(lessons, 1)


def test_lengths_are_learned_from_calls_that_ended_and_calls_that_go_on() -> None:
    history = History(RULES, expected_call_seconds=180)
    now = 0.0
    for number in range(2000):
        now = number * 2.0
        history.began(now)
        if number >= 30:
            history.ended(now - 60.0, now)
    lessons = history.lessons(now + 60)

    assert lessons.survival.mean_seconds == pytest.approx(60, rel=0.1)


def test_the_end_of_a_call_that_nobody_saw_begin_is_no_error() -> None:
    history = History(RULES)
    history.ended(5.0, 65.0)

    assert history.lessons(70).arrivals.per_second < 0.05


def test_memory_is_bounded_even_if_no_end_is_ever_reported() -> None:
    history = History(RULES, expected_call_seconds=60)
    for number in range(20_000):
        history.began(number * 1.0)
        if number % 2:
            history.ended(number * 1.0, number + 30.0)
        if number % 1000 == 0:
            history.lessons(number * 1.0)
    history.lessons(20_100)

    assert len(history._live) < 4 * BINS
    assert len(history._recent) <= 21


def test_a_surplus_is_dated_from_its_beginning_and_forgotten_when_it_ends() -> None:
    history = History(RULES)
    surplus, enough = Size(3, "Demand", surplus=True), Size(3, "Demand")
    history.sized(surplus, 10)
    history.sized(surplus, 20)
    assert history.lessons(20).fell_at == 10

    history.sized(enough, 30)
    assert history.lessons(30).fell_at is None
