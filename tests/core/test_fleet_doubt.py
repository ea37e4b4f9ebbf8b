"""Whose word counts when the kubelet, the worker and an old word of the worker disagree."""

from tests.support import fleet as make
from tests.support.fleet import NOW, fleet, names, want
from voicefleet.fleet import Activity, Fleet, FleetPlan, Wanted, Worker, plan_fleet


def plan(wanted: Wanted, seen: Fleet) -> FleetPlan:
    return plan_fleet(wanted, seen, now=NOW)


def test_a_worker_that_was_empty_before_its_line_broke_may_have_begun_anew_and_is_not_deleted() -> None:
    cut_off = make.off_the_line(make.cordoned("desk-new-0"))

    assert plan(want(0), fleet(cut_off)).delete == ()


def test_a_worker_that_speaks_is_not_stuck_whatever_the_kubelet_said_last() -> None:
    came_back = make.heard("desk-old-0", make.state(calls=2), **make.STUCK)

    assert plan(want(1), fleet(came_back)).delete == ()
    assert came_back.activity(NOW) is Activity.READY


def test_what_a_worker_said_before_it_crashed_does_not_make_it_a_running_one() -> None:
    crashed = make.off_the_line(make.heard("desk-old-0", make.state(calls=2), **make.STUCK))

    assert names(plan(want(1), fleet(crashed)).delete) == ["desk-old-0"]
    assert crashed.activity(NOW) is Activity.FAILED
    assert crashed.calls(NOW) == 0


def test_a_worker_that_livekit_lost_keeps_its_mark_while_calls_go_on() -> None:
    lost = make.heard("desk-new-0", make.state(calls=2, registered=False), marked_busy=True)

    assert plan(want(1), fleet(lost)).mark == ()


def test_a_new_leader_takes_no_mark_away_before_it_has_heard_the_worker() -> None:
    unheard = Worker(make.pod("desk-new-0", ready=False, ready_since=None, marked_busy=True))

    decided = plan(want(0), fleet(unheard, make.idle("desk-new-1")))

    assert (decided.mark, decided.cordon, decided.held) == ((), (), True)
