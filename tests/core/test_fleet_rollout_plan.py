"""What a rollout, a canary, a node that goes and a limit do to the workers of a fleet."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support import fleet as make
from tests.support.fleet import NOW, fleet, names, want
from voicefleet.autoscaling.history import History
from voicefleet.autoscaling.load import Rules, Size
from voicefleet.autoscaling.packing import GRADES, choose_rest
from voicefleet.fleet import Drain, Fleet, FleetPlan, Wanted, Worker, plan_fleet
from voicefleet.fleet.live import live_revisions
from voicefleet.fleet.loads import LoadOrder
from voicefleet.fleet.plan import plan_farewell


def plan(wanted: Wanted, seen: Fleet) -> FleetPlan:
    return plan_fleet(wanted, seen, now=NOW)


def created(decided: FleetPlan) -> list[str]:
    return [f"{new.revision}-{new.number}" for new in decided.create]


def canary(desired: int, share: int) -> Wanted:
    return replace(want(desired), stable="old", share_percent=share)


def on_leaving_node(worker: Worker) -> Worker:
    return replace(worker, pod=replace(worker.pod, node_is_leaving=True))


def cordoned_for(worker: Worker, minutes: int) -> Worker:
    return replace(worker, pod=replace(worker.pod, cordoned_at=NOW - timedelta(minutes=minutes)))


def sized(worker: Worker, cpu: str, *, refused: bool = False) -> Worker:
    return replace(worker, pod=replace(worker.pod, resources=(("cpu", cpu),), resize_refused=refused))


def test_calls_that_old_workers_finish_need_no_new_slot() -> None:
    """36 calls end on three old workers, so of five workers two are new."""
    seen = fleet(*(make.cordoned(f"desk-old-{number}", calls=12) for number in range(3)))

    assert created(plan(want(5, surge=100), seen)) == ["new-0", "new-1"]


def test_a_rollout_does_not_wait_for_what_old_workers_have_yet_to_send() -> None:
    seen = fleet(*(make.sending(f"desk-old-{number}") for number in range(4)))

    assert created(plan(want(4, surge=25), seen)) == ["new-0", "new-1", "new-2", "new-3"]


def test_an_agent_that_goes_waits_for_what_its_calls_left_unless_it_goes_at_once() -> None:
    seen = fleet(make.sending("desk-new-0"))

    assert plan_farewell(seen, at_once=False, now=NOW).delete == ()
    assert names(plan_farewell(seen, at_once=True, now=NOW).end) == ["desk-new-0"]


def test_a_full_old_worker_goes_on_until_others_have_the_room_that_is_wanted() -> None:
    full = [make.busy(f"desk-old-{number}", calls=12) for number in range(2)]
    wanted = want(3)

    assert plan(wanted, fleet(*full)).cordon == ()
    proven = plan(wanted, fleet(*full, make.idle("desk-new-0")))
    assert names(proven.cordon) == ["desk-old-0", "desk-old-1"]


@pytest.mark.parametrize("new", [[], [make.starting("desk-new-0")], [make.stuck("desk-new-0")]])
def test_until_a_new_worker_takes_calls_no_full_old_one_closes(new: list[Worker]) -> None:
    """It has no free slot to lose now, and twelve when its calls are over: for good, if the new revision is broken."""
    full = [make.busy(f"desk-old-{number}", calls=12) for number in range(3)]

    assert plan(want(4), fleet(*full, make.busy("desk-old-3", calls=3), *new)).cordon == ()
    assert plan(want(3), fleet(*full, *new)).cordon == ()


def test_old_workers_stay_in_number_until_a_smaller_new_one_takes_calls() -> None:
    """Four workers of six are wanted; two old ones of twelve hold as much, and more calls than that."""
    seen = fleet(*(make.busy(f"desk-old-{number}", calls=6) for number in range(4)))

    assert plan(replace(want(4), slots=6), seen).cordon == ()


def test_what_is_more_than_wanted_closes_whether_or_not_a_new_worker_takes_calls() -> None:
    seen = fleet(*(make.idle(f"desk-old-{number}") for number in range(4)), make.stuck("desk-new-0"))

    assert names(plan(want(2), seen).cordon) == ["desk-old-0", "desk-old-1"]


def test_calls_that_end_before_another_worker_is_up_spare_no_slot() -> None:
    """Two starts of two minutes lie between; of calls of one minute nearly none lasts that long."""
    history = History(Rules(make.SLOTS), 120.0, 60.0)
    history.lessons(NOW.timestamp() - 10_000)
    wanted = replace(want(4, surge=100), lessons=history.lessons(NOW.timestamp()))
    full = [make.busy(f"desk-old-{number}", calls=12) for number in range(4)]
    young = [calling(worker, age_seconds=20) for worker in full]

    assert len(plan(wanted, fleet(*young)).create) == 4
    proven = plan(wanted, fleet(*young, make.idle("desk-new-0"), make.starting("desk-new-1")))
    assert names(proven.cordon) == ["desk-old-0"]


def calling(worker: Worker, *, age_seconds: float) -> Worker:
    assert worker.heard is not None
    sessions = tuple(call.model_copy(update={"age_seconds": age_seconds}) for call in worker.heard.state.sessions)
    said = worker.heard.state.model_copy(update={"sessions": sessions})
    return replace(worker, heard=replace(worker.heard, state=said))


EMPTYING = [make.cordoned(f"desk-old-{number}", calls=2) for number in range(3)]


@pytest.mark.parametrize(
    ("new", "opened"),
    [
        ([make.stuck("desk-new-0")], ["desk-old-0", "desk-old-1", "desk-old-2"]),
        ([make.pending("desk-new-0")], []),
        ([make.starting("desk-new-0"), make.starting("desk-new-1")], []),
        ([make.starting("desk-new-0"), make.stuck("desk-new-1")], ["desk-old-0", "desk-old-1"]),
    ],
    ids=["none comes up", "one waits for a node that may come", "enough come up", "too few come up"],
)
def test_old_workers_open_again_if_new_ones_do_not_come_up(new: list[Worker], opened: list[str]) -> None:
    """Of four wanted one takes calls, and the closed ones have a call or two left."""
    wanted = replace(want(4), refuge="old")
    seen = fleet(*EMPTYING, make.busy("desk-new-9", calls=12), *new)

    assert names(plan(wanted, seen).uncordon) == opened


def test_a_revision_that_nobody_goes_back_to_stays_closed() -> None:
    seen = fleet(*EMPTYING, make.busy("desk-new-9", calls=12), make.stuck("desk-new-0"))

    assert plan(replace(want(4), refuge="new"), seen).uncordon == ()


def test_a_rollout_that_callers_outgrow_exceeds_its_surge() -> None:
    """Four old workers linger with a call each; the only new one is full, and five were the surge."""
    lingering = [make.cordoned(f"desk-old-{number}", calls=1) for number in range(4)]
    seen = fleet(*lingering, make.busy("desk-new-0", calls=12))

    assert created(plan(want(4), seen)) == ["new-1", "new-2", "new-3"]


def test_workers_that_are_closed_or_on_their_way_out_are_told_from_those_that_come() -> None:
    members = [make.busy("desk-new-0"), make.cordoned("desk-new-1", calls=1), make.starting("desk-new-2")]
    seen = fleet(*members, make.leaving(make.busy("desk-new-3")), make.leaving(make.idle("desk-new-4")))

    (live,) = live_revisions(seen, NOW)

    assert (live.workers, live.taking, live.closed) == (4, 1, 2)


def test_the_next_rollout_does_not_wait_for_the_calls_of_the_last() -> None:
    lingering = [make.cordoned("desk-one-0", calls=12), make.cordoned("desk-one-1", calls=8)]

    assert created(plan(want(2, "three"), fleet(*lingering, make.idle("desk-two-0")))) == ["three-0"]


def test_a_silent_worker_holds_a_rollout_where_it_is() -> None:
    seen = fleet(make.idle("desk-old-0"), make.idle("desk-new-0"), make.idle("desk-new-1"), make.silent("desk-new-2"))

    decided = plan(want(1), seen)

    assert decided.cordon == ()
    assert decided.held


def test_a_canary_gets_workers_for_its_share_and_the_stable_revision_keeps_the_rest() -> None:
    seen = fleet(*(make.idle(f"desk-old-{number}") for number in range(4)))

    decided = plan(canary(4, 25), seen)

    assert created(decided) == ["new-0"]
    assert decided.cordon == ()


def test_the_stable_revision_gives_way_only_once_the_canary_takes_calls() -> None:
    old = [make.idle(f"desk-old-{number}") for number in range(4)]
    starting = plan(canary(4, 50), fleet(*old, make.starting("desk-new-0"), make.starting("desk-new-1")))
    taking = plan(canary(4, 50), fleet(*old, make.idle("desk-new-0"), make.idle("desk-new-1")))

    assert starting.cordon == ()
    assert names(taking.cordon) == ["desk-old-2", "desk-old-3"]


def test_going_back_opens_the_old_workers_before_anything_is_created() -> None:
    seen = fleet(make.cordoned("desk-old-0", calls=2), make.idle("desk-new-0"))

    decided = plan(want(1, "old"), seen)

    assert names(decided.uncordon) == ["desk-old-0"]
    assert decided.create == ()


def test_the_workers_of_a_leaving_node_are_closed_and_replaced_at_once() -> None:
    seen = fleet(on_leaving_node(make.busy("desk-new-0", calls=3)), on_leaving_node(make.idle("desk-new-1")))

    decided = plan(want(2), seen)

    assert names(decided.cordon) == ["desk-new-0", "desk-new-1"]
    assert created(decided) == ["new-2", "new-3"]
    assert decided.delete == ()


def test_a_worker_that_starts_on_a_leaving_node_is_waited_for_and_not_replaced_again_and_again() -> None:
    """A scheduler that is behind, or a template that tolerates everything, would put the next one there as well."""
    late = on_leaving_node(make.starting("desk-new-2"))
    seen = fleet(on_leaving_node(make.cordoned("desk-new-0", calls=3)), on_leaving_node(make.busy("desk-new-1")), late)

    assert created(plan(want(2), seen)) == ["new-3"]
    assert created(plan(want(1), seen)) == []


def test_an_empty_closed_worker_of_a_leaving_node_goes() -> None:
    seen = fleet(on_leaving_node(make.cordoned("desk-new-0")), make.idle("desk-new-1"))

    assert names(plan(want(1), seen).delete) == ["desk-new-0"]


def test_a_node_goes_even_while_another_worker_is_silent() -> None:
    seen = fleet(on_leaving_node(make.idle("desk-new-0")), make.idle("desk-new-1"), make.silent("desk-new-2"))

    assert names(plan(want(2), seen).cordon) == ["desk-new-0"]


LIMITED = Drain(timedelta(minutes=30), ends_calls=True)


def test_a_limited_drain_notes_when_it_began() -> None:
    seen = fleet(make.cordoned("desk-old-0", calls=1), make.idle("desk-new-0"))

    assert names(plan(replace(want(1), drain=LIMITED), seen).stamp) == ["desk-old-0"]
    assert plan(want(1), seen).stamp == ()


@pytest.mark.parametrize(("minutes", "ended"), [(29, []), (30, ["desk-old-0"])])
def test_at_the_limit_calls_are_ended_and_not_before(minutes: int, ended: list[str]) -> None:
    seen = fleet(cordoned_for(make.cordoned("desk-old-0", calls=1), minutes), make.idle("desk-new-0"))

    assert names(plan(replace(want(1), drain=LIMITED), seen).end) == ended


def test_whoever_wants_to_wait_waits_beyond_the_limit() -> None:
    seen = fleet(cordoned_for(make.cordoned("desk-old-0", calls=1), 99), make.idle("desk-new-0"))

    assert plan(replace(want(1), drain=Drain(timedelta(minutes=30))), seen).end == ()


def test_a_worker_that_took_calls_again_is_not_at_its_limit_when_it_retires_once_more() -> None:
    """Old, new, back to old, and new again: what was noted the first time says nothing about the calls of today."""
    wanted = replace(want(2), drain=LIMITED)
    called_back = cordoned_for(make.busy("desk-old-0", calls=3), minutes=99)

    back = plan(replace(wanted, target="old"), fleet(cordoned_for(make.cordoned("desk-old-0", calls=3), minutes=99)))
    forth = plan(wanted, fleet(called_back))

    assert names(back.uncordon) == names(back.unstamp) == ["desk-old-0"]
    assert forth.end == ()
    assert names(forth.unstamp) == ["desk-old-0"]


def test_a_worker_that_serves_again_loses_the_note_of_the_rollout_before() -> None:
    """By it a later rollout would end the calls of a worker at the moment at which it closes it."""
    opened = cordoned_for(make.busy("desk-old-0", calls=3), 300)
    limited = replace(want(1, "old"), drain=LIMITED)

    assert names(plan(limited, fleet(opened)).unstamp) == ["desk-old-0"]
    closed_for_want_of_calls = cordoned_for(make.cordoned("desk-old-0", calls=3), 300)
    assert names(plan(limited, fleet(closed_for_want_of_calls, make.idle("desk-old-1"))).unstamp) == ["desk-old-0"]
    waiting = fleet(cordoned_for(make.cordoned("desk-old-0", calls=1), 1), make.idle("desk-new-0"))
    assert plan(replace(want(1), drain=LIMITED), waiting).unstamp == ()


def test_a_note_of_the_rollout_before_ends_no_call_of_the_next() -> None:
    """It was not taken off in between: the operator was away, or the other way round came too soon."""
    seen = fleet(cordoned_for(make.busy("desk-old-0", calls=3), 300), make.idle("desk-new-0"))

    decided = plan(replace(want(1), drain=LIMITED), seen)

    assert decided.end == ()
    assert decided.cordon == ()
    assert names(decided.unstamp) == ["desk-old-0"]


def test_a_limit_also_holds_for_a_closed_worker_that_fell_silent() -> None:
    seen = fleet(cordoned_for(make.silent("desk-old-0"), 31), make.idle("desk-new-0"))

    assert names(plan(replace(want(1), drain=LIMITED), seen).end) == ["desk-old-0"]


LARGER = replace(want(1), resources={"new": (("cpu", "4"),)})


def test_another_size_is_given_to_running_workers() -> None:
    decided = plan(LARGER, fleet(sized(make.busy("desk-new-0"), "2")))

    assert names(decided.resize) == ["desk-new-0"]
    assert (decided.cordon, decided.create) == ((), ())


def test_a_size_that_the_node_refuses_is_had_by_another_worker() -> None:
    seen = fleet(sized(make.busy("desk-new-0"), "2", refused=True))

    assert created(plan(LARGER, seen)) == ["new-1"]
    proven = plan(LARGER, fleet(*seen, sized(make.idle("desk-new-1"), "4")))
    assert names(proven.cordon) == ["desk-new-0"]
    assert proven.resize == ()


def test_whoever_wants_no_resize_gets_other_workers() -> None:
    decided = plan(replace(LARGER, resize_in_place=False), fleet(sized(make.idle("desk-new-0"), "2")))

    assert created(decided) == ["new-1"]
    assert decided.resize == ()


def test_while_workers_of_a_revision_fail_no_more_of_them_are_tried() -> None:
    assert plan(want(5), fleet(make.stuck("desk-new-0"))).create == ()
    beside = fleet(make.stuck("desk-new-0"), make.idle("desk-new-1"), make.idle("desk-new-2"))
    assert len(plan(want(9), beside).create) == 1


def test_a_name_that_somebody_else_holds_is_left_alone() -> None:
    assert created(plan(replace(want(1), taken_names=frozenset({"desk-new-0"})), fleet())) == ["new-1"]


def test_an_agent_that_goes_closes_its_workers_and_waits() -> None:
    seen = fleet(
        make.busy("desk-new-0"), make.idle("desk-new-1"), make.cordoned("desk-new-2"), make.silent("desk-old-0")
    )

    decided = plan_farewell(seen, at_once=False, now=NOW)

    assert names(decided.cordon) == ["desk-new-0", "desk-new-1"]
    assert names(decided.delete) == ["desk-new-2"]
    assert decided.end == ()


def test_an_agent_that_goes_at_once_takes_its_calls_along() -> None:
    decided = plan_farewell(fleet(make.busy("desk-new-0"), make.cordoned("desk-new-1")), at_once=True, now=NOW)

    assert names(decided.end) == ["desk-new-0"]
    assert names(decided.delete) == ["desk-new-1"]


def packed(wanted: Wanted, seen: Fleet, *, clamps: bool = False) -> dict[str, float]:
    taught = make.lessons(loads_ignored=clamps)
    wanted = replace(wanted, lessons=taught, resting_load=choose_rest(taught, 0.7))
    orders: tuple[LoadOrder, ...] = plan(wanted, seen).loads
    return {order.pod.name: order.load for order in orders}


def weight(loads: dict[str, float], revision: str) -> float:
    return sum(1 - load for name, load in loads.items() if f"-{revision}-" in name)


def test_the_fullest_worker_with_room_is_filled_first() -> None:
    seen = fleet(make.busy("desk-new-0", calls=2), make.busy("desk-new-1", calls=9), make.busy("desk-new-2", calls=12))

    loads = packed(want(3), seen)

    assert loads["desk-new-1"] < loads["desk-new-0"] < 0


def test_a_worker_that_retires_gets_a_call_only_if_nobody_else_has_room() -> None:
    loads = packed(want(2), fleet(make.busy("desk-old-0", calls=3), make.idle("desk-new-0")))

    # By its own formula it weighs two at the most.
    assert "desk-old-0" not in loads
    assert loads["desk-new-0"] < -1000


def test_where_loads_below_zero_are_ignored_all_but_the_fullest_report_as_much_as_they_may() -> None:
    fullest = [make.busy(f"desk-new-{number}", calls=11 - number) for number in range(4)]

    loads = packed(want(5), fleet(make.busy("desk-old-0", calls=3), *fullest), clamps=True)

    assert loads["desk-new-0"] == GRADES[0]
    assert loads["desk-old-0"] == loads["desk-new-3"] == pytest.approx(0.686)


def test_who_rested_is_told_when_loads_below_zero_are_honoured_again() -> None:
    rested = make.heard("desk-new-1", make.state(calls=1, asked_load=0.686), marked_busy=True)
    retiring = make.heard("desk-old-0", make.state(calls=1, asked_load=0.686), marked_busy=True)

    loads = packed(want(3), fleet(make.busy("desk-new-0", calls=5), rested, retiring))

    assert loads["desk-old-0"] == 0
    assert loads["desk-new-1"] == GRADES[1]


@pytest.mark.parametrize("share", [1, 25, 99])
def test_a_canary_lifts_nobody_who_rests_where_loads_below_zero_are_ignored(share: int) -> None:
    old = [make.busy(f"desk-old-{number}", calls=9 - number) for number in range(5)]
    new = [make.busy(f"desk-new-{number}", calls=9 - number) for number in range(5)]

    loads = packed(canary(10, share), fleet(*old, *new), clamps=True)

    assert loads["desk-new-4"] == loads["desk-old-4"] == pytest.approx(0.686)


def test_a_worker_that_was_preferred_is_told_when_it_retires() -> None:
    preferred = make.heard("desk-old-0", make.state(calls=3, asked_load=-1e6), marked_busy=True)

    assert packed(want(2), fleet(preferred, make.idle("desk-new-0")))["desk-old-0"] == 0


@pytest.mark.parametrize("share", [1, 5, 25, 50, 99])
def test_a_canary_weighs_as_much_as_its_share(share: int) -> None:
    old = [make.busy(f"desk-old-{number}", calls=number) for number in range(4)]

    loads = packed(canary(5, share), fleet(*old, make.busy("desk-new-0", calls=1)))

    both = weight(loads, "new") + weight(loads, "old")
    assert weight(loads, "new") / both == pytest.approx(share / 100, rel=1e-6)
    assert max(loads.values()) <= 0


@pytest.mark.parametrize("full", ["new", "old"])
def test_the_next_free_slot_of_a_revision_that_is_full_weighs_as_much_as_its_share(full: str) -> None:
    calls = {"new": 5, "old": 5} | {full: 12}
    workers = [make.busy(f"desk-old-{number}", calls=calls["old"]) for number in range(4)]

    loads = packed(canary(5, 20), fleet(*workers, make.busy("desk-new-0", calls=calls["new"])))

    # Four full workers would each be the next: one of them frees a slot first, and is alone then.
    next_old = (1 - min(loads[f"desk-old-{number}"] for number in range(4))) if full == "old" else weight(loads, "old")
    assert weight(loads, "new") / (weight(loads, "new") + next_old) == pytest.approx(0.2, rel=1e-6)


def test_a_load_that_a_worker_was_told_before_is_not_told_again() -> None:
    seen = [make.busy("desk-new-0", calls=2), make.busy("desk-new-1", calls=9)]
    told = packed(want(2), fleet(*seen))
    obeying = [
        make.heard(w.pod.ref.name, make.state(calls=calls, asked_load=told[w.pod.ref.name]), marked_busy=True)
        for w, calls in zip(seen, (2, 9), strict=True)
    ]

    assert packed(want(2), fleet(*obeying)) == {}


def test_a_worker_that_is_alone_needs_no_order() -> None:
    assert packed(want(1), fleet(make.busy("desk-new-0"))) == {}


def test_more_may_stay_than_must_be_there() -> None:
    wanted = replace(want(1), size=Size(1, "Demand", keep=2))

    assert plan(wanted, fleet(make.idle("desk-new-0"), make.idle("desk-new-1"))).is_empty
