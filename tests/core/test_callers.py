"""Callers who found no slot: who of them is dispatched again, and when somebody looks for them."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fleet import (
    NOW,
    busy,
    cordoned,
    failed,
    fleet,
    heard,
    idle,
    lessons,
    off_the_line,
    pod,
    silent,
    starting,
    state,
    stuck,
)
from voicefleet.autoscaling.arrivals import ArrivalRate
from voicefleet.autoscaling.holding import SETTLED_SECONDS, Dispatch, find_waiting
from voicefleet.fleet import Fleet, PodRef, Worker
from voicefleet.fleet.callers import Callers, LookForCallers, Scene, is_short, next_look, plan_look
from voicefleet.wire import CallersAnswer, CallersOrder

HOLD_SECONDS = 8


def dispatch(name: str, age_seconds: float, *, taken: bool = False) -> Dispatch:
    return Dispatch(name, f"room-{name}", age_seconds, taken)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("one", "waits", "lost"),
    [
        (dispatch("on its way", 4.9), False, 0),
        (dispatch("untaken", 5.0), True, 0),
        (dispatch("taken", 5.0, taken=True), False, 0),
        (dispatch("at the end of its patience", 20.0), True, 0),
        (dispatch("given up", 20.1), False, 1),
        (dispatch("taken late", 20.1, taken=True), False, 0),
        (dispatch("given up by the look before", 21.1), False, 0),
    ],
    ids=lambda value: value.id if isinstance(value, Dispatch) else "",
)
def test_who_waits_and_who_is_lost(one: Dispatch, waits: bool, lost: int) -> None:
    found = find_waiting([one], 20)

    assert ([d.id for d in found.callers], found.lost) == ([one.id] if waits else [], lost)


def test_who_has_waited_longest_comes_first() -> None:
    found = find_waiting([dispatch("young", 6), dispatch("old", 19), dispatch("middle", 11)], 20)

    assert [d.id for d in found.callers] == ["old", "middle", "young"]


@given(st.floats(0, 0.999), st.integers(1, 120), st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0, 30.0]), max_size=20))
def test_a_caller_whom_nobody_takes_is_lost_exactly_once(arrived: float, hold: int, pauses: list[float]) -> None:
    age, lost = -arrived, 0
    for pause in [*pauses, *([1.0] * 125)]:
        age += pause
        lost += find_waiting([dispatch("d", max(0.0, age))], hold, pause).lost

    assert lost == 1


def scene(seen: Fleet, callers: Callers, *, hold: int = HOLD_SECONDS, watchman: PodRef | None = None) -> Scene:
    return Scene("voice.desk", seen, callers, hold, watchman)


FULL = fleet(busy("desk-new-0", calls=12), busy("desk-new-1", calls=12))
ROOMY = fleet(busy("desk-new-0", calls=12), busy("desk-new-1", calls=10))


@pytest.mark.parametrize(
    ("seen", "calls_per_second", "short"),
    [
        (FULL, 0.0, True),
        (ROOMY, 0.0, False),
        (ROOMY, 1.9, False),
        (ROOMY, 2.1, True),
        (fleet(), 0.0, True),
        (fleet(starting("desk-new-0")), 0.0, True),
        (fleet(cordoned("desk-new-0"), silent("desk-new-1")), 0.0, True),
    ],
)
def test_a_fleet_is_short_of_slots_when_the_next_second_may_fill_it(
    seen: Fleet,
    calls_per_second: float,
    short: bool,
) -> None:
    rate = ArrivalRate.guess(calls_per_second * 10_000, 10_000.0)

    assert is_short(seen, lessons(arrivals=rate), NOW) is short


def test_a_fleet_that_was_never_short_is_not_asked() -> None:
    assert plan_look(scene(ROOMY, Callers()), NOW) is None


def test_the_worker_with_the_most_room_looks_and_knows_of_all_room() -> None:
    seen = fleet(busy("desk-new-0", calls=12), busy("desk-new-1", calls=11), busy("desk-new-2", calls=9))

    look = plan_look(scene(seen, Callers(short_at=NOW)), NOW)

    assert look is not None
    assert (look.pod.name, look.order.hold_seconds, look.order.room) == ("desk-new-2", HOLD_SECONDS, 4)


def test_a_full_fleet_is_asked_as_well_so_that_it_is_known_who_waits() -> None:
    look = plan_look(scene(FULL, Callers(short_at=NOW)), NOW)

    assert look is not None
    assert look.order.room == 0


@pytest.mark.parametrize("seen", [fleet(), fleet(starting("desk-new-0")), fleet(silent("desk-new-0"))])
def test_without_a_worker_on_the_line_nobody_is_asked_and_no_turn_is_spent_on_it(seen: Fleet) -> None:
    assert plan_look(scene(seen, Callers(short_at=NOW)), NOW) is None
    assert next_look(scene(seen, Callers(short_at=NOW)), NOW) is None


def test_calls_that_may_not_wait_are_counted_when_they_are_lost_and_dispatched_no_more() -> None:
    """LiveKit offers a call to nobody who is full: no worker can tell of one that found all of them full."""
    mixed = fleet(busy("desk-new-0", calls=12), busy("desk-new-1", calls=8))
    short = Callers(short_at=NOW)
    looks = [plan_look(scene(seen, short, hold=0), NOW) for seen in (FULL, mixed)]

    assert [(look.only_counts, look.order.hold_seconds, look.order.room) for look in looks if look] == [
        (True, 6, 0)
    ] * 2
    assert next_look(scene(FULL, short, hold=0), NOW + timedelta(seconds=13)) is None


NOBODY = CallersAnswer()


def looks(callers: Callers, *, found: list[CallersAnswer]) -> list[float]:
    """Take a turn each tenth of a second, and return when a roomy fleet was asked; one answer after the other."""
    asked, answers = [], iter(found)
    for tenth in range(300):
        now = at(tenth / 10)
        if plan_look(scene(ROOMY, callers), now) is not None:
            asked.append(tenth / 10)
            callers = callers.with_look(now, "uid").with_answer(now, next(answers, NOBODY))
    return asked


def test_looks_follow_each_other_by_a_second_until_one_that_came_late_enough_finds_nobody_and_then_slowly() -> None:
    waits = CallersAnswer(waiting=1)
    seconds = [float(second) for second in range(15)]

    assert looks(Callers(short_at=NOW), found=[]) == [*seconds[:7], 11.0]
    assert looks(Callers(short_at=NOW), found=[NOBODY] * 6 + [waits, waits]) == [*seconds[:9], 13.0]


def test_where_not_all_could_be_seen_somebody_may_wait() -> None:
    assert looks(Callers(short_at=NOW), found=[NOBODY] * 6 + [CallersAnswer(more=True)])[-2:] == [7.0, 12.0]


def test_whoever_was_dispatched_again_may_find_nobody_once_more() -> None:
    again = CallersAnswer(dispatched=1)

    assert looks(Callers(short_at=NOW), found=[NOBODY] * 6 + [again])[6:] == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]


def test_a_look_that_is_not_answered_counts_for_nothing_but_the_pace() -> None:
    callers, asked = Callers(short_at=NOW), []
    for second in range(30):
        if plan_look(scene(ROOMY, callers), at(second)) is not None:
            asked.append(second)
            callers = callers.with_look(at(second), "uid")

    assert asked == list(range(HOLD_SECONDS + 7))


def test_nobody_is_looked_for_who_must_have_hung_up() -> None:
    asked = looks(Callers(short_at=NOW), found=[CallersAnswer(waiting=9)] * 100)

    assert asked[-1] == HOLD_SECONDS + SETTLED_SECONDS + 1


def test_what_was_found_long_ago_is_not_said_any_more() -> None:
    callers = Callers(short_at=NOW).with_answer(NOW, CallersAnswer(waiting=3))

    assert (callers.waiting_at(at(7)), callers.waiting_at(at(7.1))) == (3, 0)


def test_a_shortage_that_goes_on_is_looked_at_for_as_long() -> None:
    callers = Callers()
    for second in range(14):
        callers = callers.with_shortage(at(second))
        assert plan_look(scene(FULL, callers), at(second)) is not None
        callers = callers.with_look(at(second), "uid").with_answer(at(second), NOBODY)


def test_callers_who_were_dispatched_again_are_awaited_for_a_moment() -> None:
    sent = Callers().with_answer(NOW, CallersAnswer(dispatched=2)).with_answer(at(1), NOBODY)

    assert [sent.dispatched_lately(at(second)) for second in (0, 5, 6)] == [True, True, False]
    assert not Callers().with_answer(NOW, CallersAnswer(waiting=2)).dispatched_lately(NOW)


def test_an_idle_fleet_has_room() -> None:
    assert not is_short(fleet(idle("desk-new-0")), lessons(), NOW)


WATCHMAN = PodRef("other-new-0", "uid-other", "1")


@pytest.mark.parametrize("seen", [fleet(), fleet(starting("desk-new-0")), fleet(silent("desk-new-0"))])
def test_a_watchman_looks_for_a_fleet_that_has_nobody_to_look_and_dispatches_nobody(seen: Fleet) -> None:
    look = plan_look(scene(seen, Callers(), watchman=WATCHMAN), NOW)

    assert look == LookForCallers(WATCHMAN, CallersOrder(agent="voice.desk", hold_seconds=HOLD_SECONDS, room=0))


def test_a_fleet_that_has_come_up_looks_for_itself() -> None:
    look = plan_look(scene(fleet(idle("desk-new-0")), Callers(short_at=NOW), watchman=WATCHMAN), NOW)

    assert look is not None
    assert (look.pod.name, look.order.room) == ("desk-new-0", 12)


def test_a_watchman_looks_every_five_seconds_for_as_long_as_there_is_no_worker() -> None:
    callers, asked = Callers(), []
    for second in range(60):
        if plan_look(scene(fleet(), callers, watchman=WATCHMAN), at(second)):
            asked.append(second)
            callers = callers.with_look(at(second), "uid").with_answer(at(second), NOBODY)

    assert asked == list(range(0, 60, 5))


def test_whoever_looks_is_told_which_calls_are_young_and_held() -> None:
    look = plan_look(scene(fleet(holding({"AD_3": 3, "AD_25": 25, "AD_60": 60})), Callers(short_at=NOW)), NOW)

    assert look is not None
    assert (look.order.held, look.order.room) == (("AD_3", "AD_25"), 9)


def test_while_a_worker_does_not_tell_which_call_it_took_nobody_is_dispatched_again() -> None:
    young = plan_look(scene(fleet(holding({"": 3})), Callers(short_at=NOW)), NOW)
    old = plan_look(scene(fleet(holding({"": 60})), Callers(short_at=NOW)), NOW)

    assert young is not None
    assert old is not None
    assert (young.order.room, old.order.room) == (0, 11)


def holding(ages: dict[str, float]) -> Worker:
    """Return a worker with calls of these dispatches."""
    calls = [{"id": f"call {dispatch}", "dispatch": dispatch, "ageSeconds": age} for dispatch, age in ages.items()]
    return heard("desk-new-0", state(sessions=calls))


def test_while_somebody_is_silent_nobody_is_dispatched_again() -> None:
    seen = fleet(idle("desk-new-0"), silent("desk-new-1"))

    look = plan_look(scene(seen, Callers(short_at=NOW)), NOW)

    assert look is not None
    assert look.order.room == 0


def test_a_worker_that_did_not_answer_is_not_asked_twice_if_another_can_be() -> None:
    seen = fleet(idle("desk-new-0"), busy("desk-new-1", calls=6))
    first = plan_look(scene(seen, Callers(short_at=NOW)), NOW)
    assert first is not None
    unanswered = Callers(short_at=NOW).with_look(NOW, first.pod.uid)

    second = plan_look(scene(seen, unanswered), at(1))
    third = plan_look(scene(seen, unanswered.with_answer(NOW, NOBODY)), at(1))

    assert second is not None
    assert third is not None
    assert [look.pod.name for look in (first, second, third)] == ["desk-new-0", "desk-new-1", "desk-new-0"]


def test_an_old_worker_that_cannot_look_is_not_asked() -> None:
    old = heard("desk-new-0", state(calls=12, looks_for_callers=False))

    assert plan_look(scene(fleet(old), Callers(short_at=NOW)), NOW) is None
    assert next_look(scene(fleet(old), Callers(short_at=NOW)), NOW) is None


@pytest.mark.parametrize(
    ("other", "room"),
    [
        (off_the_line(idle("desk-new-1")), 0),
        (Worker(pod("desk-new-1")), 0),  # ready, and not heard yet
        (starting("desk-new-1"), 12),
        (stuck("desk-new-1"), 12),
        (failed("desk-new-1"), 12),
    ],
)
def test_nobody_is_dispatched_again_while_a_worker_may_take_calls_unheard(other: Worker, room: int) -> None:
    look = plan_look(scene(fleet(idle("desk-new-0"), other), Callers(short_at=NOW)), NOW)

    assert look is not None
    assert look.order.room == room
