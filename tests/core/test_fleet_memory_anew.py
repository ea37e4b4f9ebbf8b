"""What an operator makes of calls that began while nobody heard of them: after a restart, and after a broken line."""

from collections.abc import Iterable
from datetime import timedelta

from tests.support import fleet as make
from tests.support.fleet import NOW
from tests.support.manifests import minimal
from voicefleet.api import VoiceAgent
from voicefleet.api.voiceagent.spec import VoiceAgentSpec
from voicefleet.autoscaling.load import Outlook, Size
from voicefleet.fleet import Fleet, Heard, Worker
from voicefleet.fleet.memory import FleetMemory
from voicefleet.fleet.size import plan_fleet_size
from voicefleet.wire import Session

WORKERS = 30
# Two calls a second, a third of them short, a third of them long: some 360 at any time.
CALLS = [(second / 2, (40.0, 140.0, 360.0)[second % 3]) for second in range(-6000, 1400)]


def build_spec() -> VoiceAgentSpec:
    manifest = minimal("VoiceAgent")
    manifest["spec"]["scaling"] = {"max": 200}
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
        sizes.append(plan_fleet_size(SPEC, seen, memory.lessons(now), Outlook(), now=now))
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
