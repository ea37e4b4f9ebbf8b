"""What a fleet's past teaches, told as timelines."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support import fleet as make
from tests.support.fleet import NOW, fleet
from tests.support.manifests import minimal
from voicefleet.api import VoiceAgent
from voicefleet.api.voiceagent.spec import VoiceAgentSpec
from voicefleet.api.voiceagent.status import VoiceAgentStatus, WorkerHours
from voicefleet.autoscaling.history import History
from voicefleet.autoscaling.load import Outlook, Rules
from voicefleet.fleet import Fleet, Heard, PodRef, Worker
from voicefleet.fleet.callers import LookForCallers
from voicefleet.fleet.memory import FleetMemory
from voicefleet.fleet.size import loads_of, plan_fleet_size
from voicefleet.names import Reason
from voicefleet.wire import CallersAnswer, CallersOrder, Session


def spec(**scaling: object) -> VoiceAgentSpec:
    manifest = minimal("VoiceAgent")
    manifest["spec"]["scaling"] = scaling
    return VoiceAgent.model_validate(manifest).spec


class Telling:
    """One worker's fleet, and the memory that listens to it."""

    def __init__(self, **scaling: object) -> None:
        self.memory = FleetMemory()
        self.spec = spec(**scaling)
        self.now = NOW

    def at(self, seconds: float) -> datetime:
        self.now = NOW + timedelta(seconds=seconds)
        return self.now

    def holds(self, seconds: float, *ages: float, name: str = "desk-new-0", **said: object) -> None:
        """Let a worker say at a moment how old its calls are; a call is known by the moment when it began."""
        now = self.at(seconds)
        sessions = tuple(Session(id=f"call-{seconds - age:.2f}", age_seconds=age) for age in ages)
        state = make.state(**said).model_copy(update={"sessions": sessions})
        self.sees(Worker(make.pod(name), Heard(state, now)))

    def sees(self, *workers: Worker) -> None:
        self.memory.observe(self.spec, Fleet(workers), self.now)


def test_calls_that_come_while_we_listen_are_counted() -> None:
    telling = Telling()
    telling.holds(0)
    telling.holds(600)
    before = telling.memory.lessons(telling.now).arrivals.per_second

    telling.holds(610, 1, 2, 3)

    # Three calls within the hundred seconds or so that weigh.
    assert telling.memory.lessons(telling.now).arrivals.per_second == pytest.approx(before + 0.025, rel=0.2)


def test_calls_that_were_under_way_when_we_came_are_no_rush() -> None:
    telling = Telling()
    telling.holds(0, *(100.0 + age for age in range(12)))

    assert telling.memory.lessons(telling.now).burst_until < NOW.timestamp()
    assert telling.memory.lessons(telling.now).arrivals.per_second < 0.05


def test_a_worker_that_is_heard_late_after_a_restart_brings_no_rush_either() -> None:
    telling = Telling()
    telling.holds(0)
    telling.holds(4, *(100.0 + age for age in range(12)), name="desk-new-1")

    assert telling.memory.lessons(telling.now).burst_until < NOW.timestamp()


def test_many_calls_at_once_are_a_rush() -> None:
    telling = Telling()
    telling.holds(0)
    telling.holds(200)
    telling.holds(201, *(0.1 * number for number in range(12)))

    assert telling.memory.lessons(telling.now).burst_until > telling.now.timestamp()


def test_how_long_a_worker_takes_to_come_up_is_measured() -> None:
    telling = Telling(startupSeconds=45)
    starting = make.starting("desk-new-0")
    telling.sees(replace(starting, pod=replace(starting.pod, created_at=NOW)))
    telling.at(80)
    up = make.heard("desk-new-0", make.state(), seconds_ago=-80)
    telling.sees(replace(up, pod=replace(up.pod, created_at=NOW)))

    assert telling.memory.lessons(telling.now).startup.q95 >= 80


def starts(*, seconds: float, reason: Reason | None = None, **scaling: object) -> float:
    """Return the lead after a worker came up so many seconds after its creation, most of them in some trouble."""
    telling = Telling(**scaling)
    waits = make.stuck("desk-new-0", reason) if reason else make.starting("desk-new-0")
    if reason is Reason.UNSCHEDULABLE:
        waits = replace(waits, pod=replace(waits.pod, scheduled=False))
    for worker in (waits, make.starting("desk-new-0")):
        telling.sees(replace(worker, pod=replace(worker.pod, created_at=NOW)))
    telling.at(seconds)
    up = make.heard("desk-new-0", make.state(), seconds_ago=-seconds)
    telling.sees(replace(up, pod=replace(up.pod, created_at=NOW)))
    return telling.memory.lessons(telling.now).startup.q95


def test_a_start_that_waited_for_people_says_nothing_about_the_next_one() -> None:
    usual = starts(seconds=40)

    assert starts(seconds=300, reason=Reason.SECRET_MISSING) == starts(seconds=300, reason=Reason.IMAGE_PULL) == usual
    # A node that must come first must come first the next time, too.
    assert starts(seconds=300, reason=Reason.UNSCHEDULABLE) >= 300
    assert starts(seconds=901) == starts(seconds=7200, reason=Reason.UNSCHEDULABLE) == usual
    assert starts(seconds=900) >= 900
    assert starts(seconds=1800, startupSeconds=600) >= 1800


AWAY: dict[str, Any] = {"registered": False, "livekitAway": "Silent"}


@pytest.mark.parametrize(
    "waits",
    [make.heard("desk-new-0", make.state(**AWAY), seconds_ago=-60), Worker(make.pod("desk-new-0"))],
    ids=["for LiveKit", "for somebody to hear it"],
)
def test_a_start_that_waited_for_what_all_wait_for_says_nothing_about_the_next_one(waits: Worker) -> None:
    """After ten minutes without LiveKit a small fleet would be sized ten minutes ahead for days."""
    telling = Telling()
    for second, worker in (
        (0, make.starting("desk-new-0")),
        (60, waits),
        (600, make.heard("desk-new-0", make.state(), seconds_ago=-600)),
    ):
        telling.at(second)
        telling.sees(replace(worker, pod=replace(worker.pod, created_at=NOW)))

    assert telling.memory.lessons(telling.now).startup.q95 == pytest.approx(63)


@pytest.mark.parametrize(("ahead", "seconds"), [(0, 100), (90, 100), (-90, 190)])
def test_a_start_takes_no_less_than_we_saw_of_it_however_its_birth_is_dated(ahead: float, seconds: float) -> None:
    """The apiserver's clock may be ahead of ours: with starts of ten seconds a fleet would be sized for the moment."""
    telling, created_at = Telling(), NOW + timedelta(seconds=ahead)
    for second, worker in (
        (0, make.starting("desk-new-0")),
        (100, make.heard("desk-new-0", make.state(), seconds_ago=-100)),
    ):
        telling.at(second)
        telling.sees(replace(worker, pod=replace(worker.pod, created_at=created_at)))

    assert telling.memory.lessons(telling.now).startup.mean == seconds


def test_a_worker_that_livekit_has_just_lost_is_waited_for_as_long_as_for_a_start() -> None:
    """A LiveKit that starts anew loses all workers for a moment: a thousand small fleets would each make another."""
    telling, wanted = Telling(), []
    for second, said in ((0, {}), (2, AWAY), (100, AWAY), (120, AWAY)):
        created_at, now = NOW - timedelta(hours=1), telling.at(second)
        worker = make.heard("desk-new-0", make.state(**said), seconds_ago=-second, created_at=created_at)
        telling.sees(worker)
        took_at = telling.memory.took_calls_at
        loads = loads_of(Fleet((worker,)), slots=12, coming=None, now=now, took_calls_at=took_at)
        lessons = telling.memory.lessons(telling.now)
        wanted.append(plan_fleet_size(telling.spec, loads, lessons, Outlook(), now=telling.now).desired)

    assert wanted == [1, 1, 1, 2]
    telling.sees()
    assert not telling.memory.took_calls_at


def test_a_worker_that_was_up_before_us_teaches_nothing_about_starts() -> None:
    telling = Telling(startupSeconds=45)
    up = make.idle("desk-new-0")
    telling.sees(replace(up, pod=replace(up.pod, created_at=NOW - timedelta(days=3))))

    assert telling.memory.lessons(telling.now).startup.q95 < 100


OLD: dict[str, Any] = {"looksForCallers": False}
"""A worker that can look for callers finds those who were refused by all: counted here, they would count twice."""


def test_a_refusal_while_nobody_had_room_is_a_lost_call() -> None:
    telling = Telling(holdSeconds=0)
    telling.holds(0, *(500.0 + age for age in range(12)), refused=0, **OLD)
    telling.holds(1, *(501.0 + age for age in range(12)), refused=2, **OLD)

    assert telling.memory.lessons(telling.now).burst_until > telling.now.timestamp()


def test_a_refusal_while_somebody_had_room_is_none() -> None:
    telling = Telling(holdSeconds=0)
    telling.holds(0, 500.0, refused=0, **OLD)
    telling.holds(1, 501.0, refused=2, **OLD)

    assert telling.memory.lessons(telling.now).burst_until < telling.now.timestamp()


def test_a_counter_that_begins_anew_refused_nobody() -> None:
    telling = Telling(holdSeconds=0)
    telling.holds(0, *(500.0 + age for age in range(12)), refused=0, **OLD, instance="a")
    telling.holds(1, *(501.0 + age for age in range(12)), refused=2, **OLD, instance="b")

    assert telling.memory.lessons(telling.now).burst_until < telling.now.timestamp()


def test_a_refused_call_is_not_lost_as_long_as_it_may_be_dispatched_again() -> None:
    telling = Telling()
    telling.holds(0, *(500.0 + age for age in range(12)), refused=0)
    before = telling.memory.lessons(telling.now).headroom
    telling.holds(1, *(501.0 + age for age in range(12)), refused=2)
    assert telling.memory.lessons(telling.now).headroom == before

    look = LookForCallers(PodRef("desk-new-0", "uid-desk-new-0", "1"), ORDER)
    telling.memory.looked(look, telling.now, CallersAnswer(waiting=1, dispatched=1, lost=2))

    assert telling.memory.lessons(telling.now).headroom > before
    assert telling.memory.callers.waiting_at(telling.now) == 1


def test_a_call_that_may_not_wait_is_counted_as_lost_once_and_by_no_means_as_waiting() -> None:
    telling = Telling(holdSeconds=0)
    telling.holds(0, *(500.0 + age for age in range(12)), refused=0)
    before = telling.memory.lessons(telling.now).headroom
    telling.holds(1, *(501.0 + age for age in range(12)), refused=2)
    assert telling.memory.lessons(telling.now).headroom == before

    look = LookForCallers(PodRef("desk-new-0", "uid-desk-new-0", "1"), ORDER, only_counts=True)
    telling.memory.looked(look, telling.now, CallersAnswer(waiting=3, lost=1))

    assert telling.memory.lessons(telling.now).burst_until > telling.now.timestamp()
    assert telling.memory.lessons(telling.now).headroom == pytest.approx(before + 0.02, rel=0.01)
    assert telling.memory.callers.waiting_at(telling.now) == 0


def test_a_fleet_without_room_is_remembered_as_short() -> None:
    telling = Telling()
    telling.holds(0)
    assert telling.memory.callers.short_at is None

    telling.holds(1, *(501.0 + age for age in range(12)))

    assert telling.memory.callers.short_at == telling.now


def test_pods_that_end_one_after_another_rest_longer_and_longer() -> None:
    telling = Telling()
    rests = []
    for number in range(8):
        telling.sees(make.failed(f"desk-new-{number}"))
        rests.append(int(telling.memory.rest.total_seconds()))

    assert rests == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_worker_that_takes_calls_ends_the_row() -> None:
    telling = Telling()
    for number in range(4):
        telling.sees(make.failed(f"desk-new-{number}"))
    telling.sees(make.idle("desk-new-9"))

    assert telling.memory.rest == timedelta(seconds=5)


def test_worker_hours_are_counted_for_the_day() -> None:
    telling = Telling()
    for minutes in range(0, 61, 10):
        telling.at(60 * minutes)
        telling.sees(make.idle("desk-new-0"), make.idle("desk-new-1"))

    assert telling.memory.worker_hours == pytest.approx(2)
    telling.at(13 * 3600)
    telling.sees(make.idle("desk-new-0"))
    assert telling.memory.worker_hours == 0


def test_a_new_operator_goes_on_counting_the_worker_hours_of_the_day() -> None:
    hours = []
    for day in ("2026-03-02", "2026-03-01"):
        told = VoiceAgentStatus(worker_hours=WorkerHours(day=day, hours=20))
        memory = FleetMemory()
        for minutes in (0, 30):
            memory.observe(spec(), fleet(make.idle("desk-new-0")), NOW + timedelta(minutes=minutes), told=told)
        hours.append(memory.worker_hours)

    assert hours == [20.5, 0.5]


@pytest.mark.parametrize(
    ("created_hours_ago", "told", "hours"),
    [(20.0, 20, 24.0), (3.0, 20, 20.0), (3.0, None, 6.0)],
    ids=["they ran while nobody counted", "others ran before them", "the budget is new"],
)
def test_hours_that_ran_while_no_operator_counted_are_counted_as_far_as_their_workers_are_there(
    created_hours_ago: float, told: int | None, hours: float
) -> None:
    """At noon (UTC) two workers have run for twelve hours of today at the most."""
    running = replace(make.pod("desk-new-0"), created_at=NOW - timedelta(hours=created_hours_ago))
    said = VoiceAgentStatus(worker_hours=None if told is None else WorkerHours(day="2026-03-02", hours=told))
    memory = FleetMemory()

    memory.observe(spec(), fleet(Worker(running), Worker(running)), NOW, told=said)

    assert memory.worker_hours == hours


def test_the_hours_of_a_day_begin_at_midnight_and_not_at_the_first_look_of_the_day() -> None:
    memory, running = FleetMemory(), replace(make.pod("desk-new-0"), created_at=NOW)
    for at in (NOW, NOW + timedelta(hours=12, seconds=1800)):
        memory.observe(spec(), fleet(Worker(running)), at)

    assert memory.worker_hours == 0.5


def test_other_guesses_are_learned_from_anew() -> None:
    telling = Telling(startupSeconds=45)
    telling.holds(0)
    telling.spec = spec(startupSeconds=200)
    telling.holds(5)

    assert telling.memory.lessons(telling.now).startup.mean == 200


@pytest.mark.parametrize(
    ("changed", "forgotten"),
    [
        ({"holdSeconds": 10}, set()),
        ({"targetBlockedFraction": 0.01}, set()),
        ({"startupSeconds": 60}, {"starts"}),
        ({"expectedCallSeconds": 600}, {"lengths"}),
    ],
    ids=lambda value: next(iter(value), "nothing"),
)
def test_whoever_changes_a_guess_or_the_target_loses_nothing_else_that_was_measured(
    changed: dict[str, object], forgotten: set[str]
) -> None:
    """With the measured start-ups gone a fleet that takes 100 s to start is sized for 45, in the middle of the day."""
    telling = Telling()
    for number in range(20):
        pod = make.pod(f"desk-new-{number}", created_at=telling.at(110 * number))
        telling.sees(Worker(replace(pod, phase="Pending", ready=False, ready_since=None)))
        for seconds, calls in ((100, (Session(id="call", age_seconds=1),)), (105, ())):
            state = make.state().model_copy(update={"sessions": calls})
            telling.sees(Worker(pod, Heard(state, telling.at(110 * number + seconds))))
    before = telling.memory.lessons(telling.now)
    assert before.startup.q95 == 100

    telling.spec = spec(**changed)
    telling.sees()

    after = telling.memory.lessons(telling.now)
    assert ("starts" in forgotten) is (after.startup != before.startup)
    assert ("lengths" in forgotten) is (after.survival != before.survival)
    assert after.arrivals.per_second == pytest.approx(before.arrivals.per_second, rel=0.02)
    assert (after.headroom != before.headroom) is bool(changed.keys() & {"holdSeconds", "targetBlockedFraction"})


def test_what_is_gone_is_forgotten() -> None:
    telling = Telling()
    telling.holds(0, 20.0)
    telling.at(5)
    telling.sees(make.failed("desk-new-1"), make.starting("desk-new-2"), make.stuck("desk-new-3"))
    telling.at(10)
    telling.sees()

    assert fleet() == Fleet()
    assert telling.memory.calls_known == telling.memory.pods_known == 0


ORDER = CallersOrder(agent="voice.desk", hold_seconds=15, room=0)
WATCH = LookForCallers(PodRef("other-new-0", "uid-other", "1"), ORDER)


def test_what_a_watchman_sees_is_one_call_that_came_however_many_it_tells_of() -> None:
    telling = Telling(min=0, scaleToZero=True)
    telling.at(90_000)
    telling.sees()
    before = telling.memory.lessons(telling.now)

    for seconds in (90_005, 90_010, 90_015):
        telling.memory.looked(WATCH, telling.at(seconds), CallersAnswer(waiting=900, lost=900))

    after = telling.memory.lessons(telling.now)
    assert telling.memory.callers.waiting_at(telling.now) == 1
    assert after.arrivals.silent_seconds <= 15
    assert after.arrivals.long.calls == pytest.approx(before.arrivals.long.calls + 1, abs=0.05)
    assert after.headroom == before.headroom


def test_a_fleet_is_watched_while_somebody_is_there_and_for_a_moment_longer() -> None:
    memory, awake, asleep = FleetMemory(), fleet(make.idle("desk-new-0")), fleet()
    at = [NOW + timedelta(seconds=seconds) for seconds in (0, 10, 120, 121)]

    assert not memory.is_watched(awake, None, NOW)
    assert memory.is_watched(awake, WATCH.pod, NOW)
    # From now on it must have looked, and not only be there.
    assert [memory.is_watched(asleep, WATCH.pod, moment) for moment in at] == [True, True, True, False]
    memory.observe(spec(), asleep, at[3])
    memory.looked(WATCH, at[3], CallersAnswer())
    assert memory.is_watched(asleep, None, at[3])


def test_one_slow_start_is_forgotten_after_five_of_our_own() -> None:
    history = History(Rules(12), 45.0, known_startup_seconds=600.0)
    q95 = []
    for _ in range(6):
        q95.append(history.lessons(0).startup.q95)
        history.started(40.0)

    assert q95 == [600, 600, 600, 600, 600, pytest.approx(63)]
    assert history.lessons(0).startup.mean == 45


@pytest.mark.parametrize("told", [20, 63, 355])
def test_a_new_operator_goes_on_from_the_start_up_that_the_status_tells(told: int) -> None:
    memory = FleetMemory()

    memory.observe(spec(), fleet(make.idle("desk-new-0")), NOW, told=VoiceAgentStatus(startup_seconds=told))

    assert memory.lessons(NOW).startup.q95 == told


def test_whoever_changes_the_guess_of_the_start_up_is_believed() -> None:
    memory = FleetMemory()
    memory.observe(spec(), fleet(), NOW, told=VoiceAgentStatus(startup_seconds=355))

    memory.observe(spec(startupSeconds=20), fleet(), NOW, told=VoiceAgentStatus(startup_seconds=355))

    assert memory.lessons(NOW).startup.q95 == pytest.approx(28)
