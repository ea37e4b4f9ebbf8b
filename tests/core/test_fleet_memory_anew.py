"""What an operator makes of calls that began while nobody heard of them: after a restart, and after a broken line."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from tests.support import fleet as make
from tests.support.fleet import NOW
from tests.support.manifests import minimal
from voicefleet.api import VoiceAgent
from voicefleet.api.types import timestamp
from voicefleet.api.voiceagent.spec import VoiceAgentSpec
from voicefleet.api.voiceagent.status import ScaleDecision, VoiceAgentStatus
from voicefleet.autoscaling.load import Outlook, Size
from voicefleet.fleet import Fleet, Heard, PodRef, Worker
from voicefleet.fleet.callers import LookForCallers
from voicefleet.fleet.memory import FleetMemory
from voicefleet.fleet.size import loads_of, plan_fleet_size
from voicefleet.wire import CallersAnswer, CallersOrder, Session

WORKERS = 30
# Two calls a second, a third of them short, a third of them long: some 360 at any time.
CALLS = [(second / 2, (40.0, 140.0, 360.0)[second % 3]) for second in range(-6000, 1400)]


def build_spec(**scaling: object) -> VoiceAgentSpec:
    manifest = minimal("VoiceAgent")
    manifest["spec"]["scaling"] = {"max": 200, **scaling}
    return VoiceAgent.model_validate(manifest).spec


SPEC = build_spec()


def crowd(second: int) -> Fleet:
    """Return the fleet as every worker tells of it at one second."""
    live = [(place, began) for place, (began, lasts) in enumerate(CALLS) if began <= second < began + lasts]
    at = NOW + timedelta(seconds=second)
    workers = []
    for number in range(WORKERS):
        mine = [
            Session(id=f"c{place}", age_seconds=second - began) for place, began in live if place % WORKERS == number
        ]
        said = make.state(slots=20).model_copy(update={"sessions": tuple(mine)})
        workers.append(Worker(make.pod(f"desk-new-{number}"), Heard(said, at)))
    return Fleet(tuple(workers))


def watch(memory: FleetMemory, seconds: Iterable[int]) -> list[Size]:
    """Let a memory see the fleet at these seconds, and return the sizes that it wants."""
    sizes = []
    for second in seconds:
        now, seen = NOW + timedelta(seconds=second), crowd(second)
        memory.observe(SPEC, seen, now)
        loads = loads_of(seen, slots=SPEC.worker.sessions_per_worker, coming=None, now=now)
        sizes.append(plan_fleet_size(SPEC, loads, memory.lessons(now), Outlook(), now=now))
    return sizes


def test_a_new_operator_wants_about_as_many_slots_as_one_that_has_watched_for_long() -> None:
    """It takes neither the calls that it finds for a rush, nor those that still live for what all calls are like."""
    old, new = FleetMemory(), FleetMemory()
    watch(old, range(-2000, 0, 4))
    new.observe(SPEC, Fleet(tuple(Worker(make.pod(f"desk-new-{n}")) for n in range(WORKERS))), NOW)

    wanted = [(a.slots, b.slots) for a, b in zip(*(watch(m, range(1, 301, 4)) for m in (old, new)), strict=True)]

    assert all(0.95 * before < after < 1.1 * before for before, after in wanted)


def test_calls_that_came_while_the_lines_were_broken_are_no_rush_when_they_are_heard_again() -> None:
    memory = FleetMemory()
    before = watch(memory, range(-2000, 0, 4))[-1]

    after = watch(memory, range(300, 400, 4))

    assert all(0.9 * before.slots < size.slots < 1.15 * before.slots for size in after)
    assert {size.limit for size in after} == {"Demand"}


ASLEEP = VoiceAgentStatus(
    startup_seconds=63, scale=ScaleDecision(desired=0, limit="Demand", at=timestamp(NOW - timedelta(seconds=5)))
)
WATCH = LookForCallers(PodRef("other-new-0", "uid-other", "1"), CallersOrder(agent="v.desk", hold_seconds=15, room=0))


def wakes(memory: FleetMemory, seconds: float, told: VoiceAgentStatus = ASLEEP, **scaling: object) -> bool:
    """Tell whether a fleet without workers is to have one."""
    spec, now = build_spec(min=0, scaleToZero=True, **scaling), NOW + timedelta(seconds=seconds)
    memory.observe(spec, Fleet(), now, told=told)
    outlook = Outlook(watched=memory.is_watched(Fleet(), WATCH.pod, now), waiting=memory.callers.waiting_at(now))
    return plan_fleet_size(spec, [], memory.lessons(now), outlook, now=now).desired > 0


@pytest.mark.parametrize("hold_seconds", [0, 15, 120])
def test_a_new_operator_lets_a_fleet_sleep_that_sleeps(hold_seconds: int) -> None:
    """It has not heard the silence of nine hours before; hundreds of fleets would wake with each of its restarts."""
    told_nothing = FleetMemory()
    assert wakes(told_nothing, 0, VoiceAgentStatus(), holdSeconds=hold_seconds)

    memory = FleetMemory()

    assert not wakes(memory, 0, holdSeconds=hold_seconds)
    memory.looked(WATCH, NOW + timedelta(seconds=60), CallersAnswer())
    assert not wakes(memory, 150, holdSeconds=hold_seconds)
    # Nobody looks any more, so a call would not be seen.
    assert wakes(memory, 200, holdSeconds=hold_seconds)


def test_a_standby_that_comes_to_decide_lets_a_fleet_sleep_that_was_brought_to_rest_meanwhile() -> None:
    memory = FleetMemory()
    assert wakes(memory, 0, VoiceAgentStatus())

    memory.begin_to_decide()

    assert not wakes(memory, 10)


def test_a_call_wakes_a_fleet_though_the_status_says_that_it_sleeps() -> None:
    memory = FleetMemory()
    assert not wakes(memory, 0)

    memory.looked(WATCH, NOW + timedelta(seconds=5), CallersAnswer(waiting=1))

    assert wakes(memory, 5)
    assert wakes(memory, 30)


@pytest.mark.parametrize("scale", [ScaleDecision(desired=0, limit="Budget", at=timestamp(NOW)), None])
def test_a_fleet_that_had_no_workers_for_another_reason_did_not_sleep(scale: ScaleDecision | None) -> None:
    assert wakes(FleetMemory(), 0, VoiceAgentStatus(scale=scale))
