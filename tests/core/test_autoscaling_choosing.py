"""Which workers are opened, closed, created and deleted; which load they report; how long a call is held."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_autoscaling_size import NOW, lessons, worker
from voicefleet.autoscaling.choosing import choose
from voicefleet.autoscaling.load import Size, Standing, WorkerLoad
from voicefleet.autoscaling.packing import GRADES, REST, choose_rest, plan_loads

OPEN, CLOSED, STARTING = Standing.OPEN, Standing.CLOSED, Standing.STARTING


def want(desired: int, keep: int | None = None) -> Size:
    return Size(desired, "Demand", keep=desired if keep is None else keep)


@st.composite
def fleets(draw: st.DrawFn) -> list[WorkerLoad]:
    return [
        worker(f"w{number}", 0 if standing is STARTING else calls, standing, known=known)
        for number, (calls, standing, known) in enumerate(
            draw(
                st.lists(
                    st.tuples(st.sampled_from((0, 0, 1, 5, 11, 12)), st.sampled_from(Standing), st.booleans()),
                    max_size=30,
                )
            )
        )
    ]


sizes = st.builds(lambda desired, more: want(desired, desired + more), st.integers(0, 30), st.integers(0, 5))


@given(fleets(), sizes, st.booleans())
def test_only_a_closed_worker_that_is_heard_and_empty_is_deleted(
    fleet: list[WorkerLoad], size: Size, blind: bool
) -> None:
    by_name = {each.name: each for each in fleet}
    for name in choose(fleet, size, NOW, blind=blind).delete:
        assert by_name[name].standing is CLOSED
        assert by_name[name].known
        assert not by_name[name].calls


@given(fleets(), sizes)
def test_never_fewer_workers_are_left_than_may_stay(fleet: list[WorkerLoad], size: Size) -> None:
    choice = choose(fleet, size, NOW)
    left = len(fleet) - len(choice.delete)

    assert not choice.delete or left >= size.keep
    assert left + choice.create >= size.desired


@given(fleets(), sizes)
def test_nothing_is_created_while_a_closed_worker_could_be_opened(fleet: list[WorkerLoad], size: Size) -> None:
    choice = choose(fleet, size, NOW)
    closed = {each.name for each in fleet if each.standing is CLOSED and each.known}

    assert not choice.create or closed <= set(choice.open)


@given(fleets(), sizes)
def test_nothing_is_opened_and_closed_or_deleted_at_once(fleet: list[WorkerLoad], size: Size) -> None:
    choice = choose(fleet, size, NOW)
    names = (*choice.open, *choice.close, *choice.delete)

    assert len(names) == len(set(names))


@given(fleets(), sizes)
def test_who_is_blind_only_adds(fleet: list[WorkerLoad], size: Size) -> None:
    seeing, blind = choose(fleet, size, NOW), choose(fleet, size, NOW, blind=True)

    assert (blind.close, blind.delete) == ((), ())
    assert (blind.create, blind.open) == (seeing.create, seeing.open)


@given(fleets(), sizes)
def test_a_second_look_finds_nothing_to_do(fleet: list[WorkerLoad], size: Size) -> None:
    for _ in range(2):
        choice = choose(fleet, size, NOW)
        states = dict.fromkeys(choice.open, OPEN) | dict.fromkeys(choice.close, CLOSED)
        fleet = [
            worker(each.name, len(each.calls), states.get(each.name, each.standing), known=each.known)
            for each in fleet
            if each.name not in choice.delete
        ] + [worker(f"new{number}", standing=STARTING) for number in range(choice.create)]

    assert choose(fleet, size, NOW) == choose([], want(0), NOW)


def test_the_fullest_closed_worker_is_opened_first() -> None:
    fleet = [worker("few", 1, CLOSED), worker("many", 9, CLOSED), worker("open", 12)]

    assert choose(fleet, want(2), NOW).open == ("many",)


def test_the_emptiest_open_worker_is_closed_first() -> None:
    fleet = [worker("few", 1), worker("many", 9), worker("none", 0)]

    assert choose(fleet, want(1), NOW).close == ("none", "few")


def test_a_closed_worker_that_fell_silent_is_neither_opened_nor_deleted() -> None:
    fleet = [worker("silent", 0, CLOSED, known=False), worker("a", 5)]

    assert choose(fleet, want(1), NOW).delete == ()
    assert choose(fleet, want(2), NOW).open == ()


def test_a_silent_worker_is_not_told_anything() -> None:
    fleet = [worker("silent", 0, known=False), worker("a", 5), worker("b", 6)]

    assert choose(fleet, want(2), NOW).close == ("a",)


def test_between_what_is_needed_and_what_may_stay_nothing_happens() -> None:
    fleet = [worker("a", 5), worker("b", 6), worker("c", 0, CLOSED)]

    assert choose(fleet, want(2, keep=3), NOW) == choose([], want(0), NOW)


def test_the_fullest_worker_with_room_is_preferred() -> None:
    fleet = [worker("full", 12), worker("almost", 11), worker("half", 6), worker("empty", 0), worker("new", 0)]
    loads = plan_loads(fleet, lessons(0.1), NOW)

    assert loads["almost"] == GRADES[0]
    assert loads["half"] == GRADES[1]
    assert loads["almost"] < loads["half"] < loads["empty"] <= loads["new"] <= REST


def test_a_full_worker_is_the_first_as_soon_as_a_call_on_it_ends() -> None:
    fleet = [worker("full", 12), worker("almost", 11), worker("half", 6)]

    assert plan_loads(fleet, lessons(0.1), NOW)["full"] == GRADES[0]


def test_a_grade_has_room_for_what_arrives_before_the_server_hears_of_a_change() -> None:
    fleet = [worker(f"w{number}", 11) for number in range(200)]
    loads = plan_loads(fleet, lessons(10), NOW)

    # 5 calls in half a second: 6 workers with one free slot each.
    assert sum(1 for load in loads.values() if load == GRADES[0]) == 6
    assert sum(1 for load in loads.values() if load == REST) == 200 - 6 * len(GRADES)


@pytest.mark.parametrize(
    ("ignored", "target_load", "rest"),
    [(False, 0.7, 0.0), (False, 1.0, 0.0), (True, 0.7, 0.686), (True, 1.0, 0.98), (True, 0.01, 0.0098)],
    ids=["honoured", "honoured, whatever the target", "ignored", "ignored by a server set for us", "the least target"],
)
def test_who_rests_reports_as_much_as_counts_and_leaves_it_open(ignored: bool, target_load: float, rest: float) -> None:
    assert choose_rest(replace(lessons(0.1), loads_ignored=ignored), target_load) == pytest.approx(rest)


@pytest.mark.parametrize(
    ("with_room", "asking"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 2), (7, 3), (9, 3), (10, 3), (100, 3)]
)
def test_where_loads_below_zero_are_ignored_few_ask_for_calls(with_room: int, asking: int) -> None:
    taught = replace(lessons(0.1), loads_ignored=True)
    fleet = [worker("full", 12), *(worker(f"w{number}", 6) for number in range(with_room))]

    loads = plan_loads(fleet, taught, NOW, rest=0.686)

    assert sum(load < 0 for name, load in loads.items() if name != "full") == asking
    assert loads["full"] == GRADES[0]
    assert plan_loads(fleet[:1], taught, NOW, rest=0.686) == {"full": GRADES[0]}


@given(fleets(), st.floats(0.01, 1), st.floats(0, 20))
def test_a_server_that_takes_loads_below_zero_for_zero_prefers_fuller_workers_too(
    fleet: list[WorkerLoad], target_load: float, rate: float
) -> None:
    taught = replace(lessons(rate), loads_ignored=True)
    loads = plan_loads(fleet, taught, NOW, rest=choose_rest(taught, target_load))
    free = {each.name: each.free for each in fleet}
    fullest_first = sorted(loads, key=lambda name: (free[name], loads[name]))
    seen = [max(0.0, loads[name]) for name in fullest_first]

    assert seen == sorted(seen)
    # Nobody is taken for full: a call that finds only those is lost.
    assert all(load < target_load for load in seen)


@given(fleets())
def test_every_open_worker_gets_a_load_and_none_above_zero(fleet: list[WorkerLoad]) -> None:
    loads = plan_loads(fleet, lessons(0.5), NOW)

    assert set(loads) == {each.name for each in fleet if each.standing is OPEN}
    assert all(load <= 0 for load in loads.values())
