"""What is done next about a fleet, told as situations and as laws."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.support import fleet as make
from tests.support.fleet import NOW, fleet, names, want
from voicefleet.fleet import Activity, Fleet, FleetPlan, Wanted, Worker, plan_fleet


def numbers(decided: FleetPlan) -> tuple[int, ...]:
    return tuple(new.number for new in decided.create)


def plan(wanted: Wanted, seen: Fleet, *, after_seconds: float = 0) -> FleetPlan:
    return plan_fleet(wanted, seen, now=NOW + timedelta(seconds=after_seconds))


def test_an_empty_fleet_gets_its_workers_numbered_from_zero() -> None:
    assert numbers(plan(want(3), fleet())) == (0, 1, 2)


def test_a_missing_worker_takes_the_number_that_is_free() -> None:
    seen = fleet(make.idle("desk-new-0"), make.idle("desk-new-2"))

    assert numbers(plan(want(3), seen)) == (1,)


def test_a_number_is_not_taken_again_while_its_pod_is_leaving() -> None:
    seen = fleet(make.leaving(make.idle("desk-new-0")))

    assert numbers(plan(want(1), seen)) == (1,)


def test_a_fleet_as_wanted_is_left_alone() -> None:
    assert plan(want(2), fleet(make.idle("desk-new-0"), make.busy("desk-new-1"))).is_empty


def test_a_surplus_worker_is_cordoned_and_not_deleted_yet() -> None:
    decided = plan(want(1), fleet(make.idle("desk-new-0"), make.idle("desk-new-1")))

    assert names(decided.cordon) == ["desk-new-1"]
    assert decided.delete == ()


def test_of_two_the_one_with_fewer_calls_goes() -> None:
    decided = plan(want(1), fleet(make.busy("desk-new-0", calls=2), make.busy("desk-new-1", calls=5)))

    assert names(decided.cordon) == ["desk-new-0"]


def test_a_cordoned_worker_stays_until_its_last_call_is_over() -> None:
    decided = plan(want(0), fleet(make.cordoned("desk-new-0", calls=1)))

    assert decided.is_empty


def test_a_cordoned_worker_without_calls_is_deleted() -> None:
    assert names(plan(want(0), fleet(make.cordoned("desk-new-0"))).delete) == ["desk-new-0"]


def test_a_worker_stays_until_what_its_calls_left_is_sent() -> None:
    assert plan(want(0), fleet(make.sending("desk-new-0"))).is_empty


def test_a_sink_that_is_away_for_an_hour_keeps_no_worker_any_longer() -> None:
    nearly = fleet(make.sending("desk-new-0", unsent_for_seconds=3598))

    assert plan(want(0), nearly).is_empty
    assert names(plan(want(0), nearly, after_seconds=2).delete) == ["desk-new-0"]


def test_a_worker_that_has_yet_to_send_is_used_again_before_another_is_made() -> None:
    decided = plan(want(2), fleet(make.idle("desk-new-0"), make.sending("desk-new-1")))

    assert names(decided.uncordon) == ["desk-new-1"]
    assert numbers(decided) == ()


def test_a_cordoned_worker_is_used_again_before_another_is_made() -> None:
    decided = plan(want(2), fleet(make.idle("desk-new-0"), make.cordoned("desk-new-1")))

    assert names(decided.uncordon) == ["desk-new-1"]
    assert numbers(decided) == ()


def test_a_draining_worker_cannot_be_called_back() -> None:
    going = make.heard("desk-new-0", make.state(calls=1, cordoned=True, draining=True), marked_busy=True)

    assert plan(want(1), fleet(going)).uncordon == ()


def test_what_was_heard_fifteen_seconds_ago_still_counts() -> None:
    quiet = make.heard("desk-new-0", make.state(cordoned=True), seconds_ago=15)

    assert names(plan(want(0), fleet(quiet)).delete) == ["desk-new-0"]


def test_what_was_heard_longer_ago_counts_as_a_call() -> None:
    quiet = make.heard("desk-new-0", make.state(cordoned=True), seconds_ago=15.1)

    decided = plan(want(0), fleet(quiet))

    assert decided.delete == ()
    assert [mark.busy for mark in decided.mark] == [True]


def test_while_one_worker_is_silent_no_capacity_is_taken_away() -> None:
    seen = fleet(make.idle("desk-new-0"), make.idle("desk-new-1"), make.silent("desk-new-2"))

    decided = plan(want(1), seen)

    assert decided.cordon == ()
    assert decided.held


def test_while_pods_are_known_of_old_none_is_taken_away_and_some_may_be_added() -> None:
    seen = replace(fleet(make.idle("desk-new-0"), make.cordoned("desk-new-1")), is_old=True)

    assert (plan(want(1), seen).delete, plan(want(1), seen).held) == ((), True)
    assert numbers(plan(want(3), seen)) == (2,)


def test_while_one_worker_is_silent_capacity_may_be_added() -> None:
    assert numbers(plan(want(3), fleet(make.silent("desk-new-0")))) == (1, 2)


def test_silent_workers_are_not_replaced_one_after_another() -> None:
    silent = fleet(*(make.silent(f"desk-new-{number}") for number in range(3)))

    assert numbers(plan(want(3), silent)) == ()


def test_a_pod_that_never_got_a_node_may_be_deleted() -> None:
    assert names(plan(want(0), fleet(make.pending("desk-new-0"))).delete) == ["desk-new-0"]


def test_a_pod_on_its_way_up_is_not_deleted_since_it_may_take_a_call_any_moment() -> None:
    assert plan(want(0), fleet(make.starting("desk-new-0"))).is_empty


def test_a_failed_worker_rests_before_its_place_is_filled() -> None:
    seen = fleet(make.failed("desk-new-0", seconds_ago=0))

    early, late = plan(want(1), seen, after_seconds=4.9), plan(want(1), seen, after_seconds=5)

    assert early.is_empty
    assert names(late.delete) == ["desk-new-0"]
    assert numbers(late) == (1,)


def test_a_rollout_adds_one_within_the_surge_before_it_takes_any_away() -> None:
    seen = fleet(*(make.idle(f"desk-old-{number}") for number in range(4)))

    decided = plan(want(4), seen)

    assert numbers(decided) == (0,)
    assert decided.cordon == ()


def test_an_old_worker_is_cordoned_when_a_new_one_takes_calls_in_its_place() -> None:
    seen = fleet(make.busy("desk-old-0", calls=3), make.idle("desk-old-1"), make.idle("desk-new-0"))

    decided = plan(want(2), seen)

    assert names(decided.cordon) == ["desk-old-1"]


def test_an_old_worker_is_not_cordoned_for_a_new_one_that_is_not_heard_of() -> None:
    seen = fleet(make.idle("desk-old-0"), make.silent("desk-new-0"))

    assert plan(want(1), seen).cordon == ()


def test_an_old_worker_with_calls_outlives_the_rollout() -> None:
    seen = fleet(make.cordoned("desk-old-0", calls=1), make.idle("desk-new-0"))

    assert plan(want(1), seen).is_empty


def test_an_old_worker_that_never_came_up_does_not_stand_in_the_way_of_its_correction() -> None:
    decided = plan(want(1), fleet(make.stuck("desk-old-0")))

    assert names(decided.delete) == ["desk-old-0"]
    assert numbers(decided) == (0,)


def test_a_worker_is_marked_busy_with_its_first_call_and_idle_after_its_last() -> None:
    rung = make.heard("desk-new-0", make.state(calls=1))
    hung_up = make.heard("desk-new-1", make.state(), marked_busy=True)

    marks = plan(want(2), fleet(rung, hung_up)).mark

    assert [(mark.pod.name, mark.busy) for mark in marks] == [("desk-new-0", True), ("desk-new-1", False)]


def test_a_worker_that_nobody_could_have_heard_yet_is_not_marked_busy() -> None:
    fresh = Worker(make.pod("desk-new-0", ready_since=NOW))

    assert plan(want(1), fleet(fresh)).mark == ()
    assert [mark.busy for mark in plan(want(1), fleet(fresh), after_seconds=15.1).mark] == [True]


def test_pods_bear_what_was_said_when_secrets_changed_so_that_their_kubelets_look() -> None:
    told = replace(make.busy("desk-new-0"), pod=replace(make.busy("desk-new-0").pod, secrets_changed="monday"))
    seen = fleet(told, make.busy("desk-new-1"), make.leaving(make.idle("desk-new-2")))

    assert plan(want(2), seen).is_empty
    decided = plan(replace(want(2), secrets_changed="monday"), seen)
    assert [(each.pod.name, each.word) for each in decided.refresh] == [("desk-new-1", "monday")]
    assert not decided.is_empty


def test_a_thousand_pods_are_not_written_to_in_one_turn() -> None:
    seen = fleet(*(make.busy(f"desk-new-{number}") for number in range(100)))

    assert len(plan(replace(want(100), secrets_changed="monday"), seen).refresh) == 64


def test_a_rollout_told_from_beginning_to_end() -> None:
    """Three old workers, one of them in a call that lasts; the surge allows one more."""
    seen = fleet(make.busy("desk-old-0"), make.idle("desk-old-1"), make.idle("desk-old-2"))
    told: list[str] = []

    for _ in range(10):
        decided = plan(want(3), seen)
        told += [f"create {new.number}" for new in decided.create]
        told += [f"cordon {name}" for name in names(decided.cordon)]
        told += [f"delete {name}" for name in names(decided.delete)]
        seen = make.carry_out(decided, seen)

    assert told == [
        "create 0",
        "cordon desk-old-1",
        "delete desk-old-1",
        "create 1",
        "cordon desk-old-2",
        "delete desk-old-2",
        "create 2",
        "cordon desk-old-0",
    ]


REVISIONS = st.sampled_from(["new", "old", "older"])
KINDS = st.sampled_from(
    [
        make.idle,
        make.silent,
        make.starting,
        make.pending,
        make.stuck,
        make.failed,
        make.cordoned,
        make.busy,
        lambda name: make.busy(name, calls=make.SLOTS),
        lambda name: make.cordoned(name, calls=2),
        make.sending,
        lambda name: make.leaving(make.busy(name)),
        lambda name: make.heard(name, make.state(registered=False)),
        lambda name: make.heard(name, make.state(calls=1), **make.STUCK),
        lambda name: make.off_the_line(make.cordoned(name)),
        lambda name: make.heard(name, make.state(calls=1, draining=True)),
        lambda name: make.heard(name, make.state(cordoned=True), seconds_ago=20),
    ]
)


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    chosen = draw(st.lists(st.tuples(REVISIONS, KINDS), max_size=8))
    return Fleet(tuple(kind(f"desk-{revision}-{number}") for number, (revision, kind) in enumerate(chosen)))


WANTED = st.builds(want, st.integers(0, 6), REVISIONS, surge=st.integers(1, 100))


@given(WANTED, fleets())
def test_no_worker_is_deleted_that_may_hold_a_call(wanted: Wanted, seen: Fleet) -> None:
    workers = {worker.pod.ref: worker for worker in seen}

    for ref in plan(wanted, seen).delete:
        worker = workers[ref]
        said_idle = worker.heard is not None and worker.heard.state.cordoned and not worker.heard.state.sessions
        fresh = worker.heard is not None and NOW - worker.heard.at <= timedelta(seconds=15)
        never_ran = not worker.pod.scheduled or (worker.pod.process_stopped and worker.pod.trouble is not None)
        assert worker.pod.phase == "Failed" or never_ran or (said_idle and fresh)


@given(WANTED, fleets())
def test_a_plan_carried_out_again_and_again_comes_to_rest(wanted: Wanted, seen: Fleet) -> None:
    for _ in range(30):
        decided = plan(wanted, seen)
        seen = make.carry_out(decided, seen)

    assert plan(wanted, seen).is_empty


@given(WANTED, fleets())
def test_the_surge_is_exceeded_only_for_callers_who_would_find_no_slot(wanted: Wanted, seen: Fleet) -> None:
    staying = [worker for worker in seen if not worker.pod.leaving and not worker.pod.ended]
    # Those that finish their calls come on top.
    live = sum(worker.activity(NOW) is not Activity.CORDONED or not worker.calls(NOW) for worker in staying)
    created = len(plan(wanted, seen).create)
    calls = sum(w.calls(NOW) for w in seen if not w.pod.leaving and not w.pod.ended)
    free = sum(w.free_slots(NOW) for w in seen)

    within = live + created <= wanted.size.desired * (1 + wanted.max_surge_percent / 100) + 1
    assert created == 0 or within or free + (created - 1) * make.SLOTS < wanted.size.desired * make.SLOTS - calls


@given(WANTED, fleets())
def test_a_blind_operator_cordons_no_worker(wanted: Wanted, seen: Fleet) -> None:
    if not seen.is_blind(NOW):
        return
    assert plan(wanted, seen).cordon == ()
