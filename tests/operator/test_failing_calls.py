"""Calls that fail, from what workers count to what the status says, while workers come, go and fall silent."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.operator.agent_turns import KEY, World
from tests.operator.fakes import build_ports
from tests.support.fleet import NOW, pod, state
from voicefleet.fleet import Fleet, Heard, Worker
from voicefleet.fleet.ended import Failing
from voicefleet.wire import Tally
from voicefleet_operator.handlers.voiceagent import reconcile_voice_agent
from voicefleet_operator.turns.memory import AgentMemory

MINUTE = 60.0


class Watch:
    """One agent's memory, and workers that say what they have counted."""

    def __init__(self) -> None:
        self.memory = AgentMemory("uid-desk")
        self.workers: dict[str, Worker] = {}

    def says(self, second: float, name: str = "a", *, instance: str = "1", calls: int = 0, **tally: int) -> Failing:
        """Let one worker speak, and return what is to be told then."""
        said = state(instance=instance, tally=Tally(**tally), calls=calls)
        self.workers[name] = Worker(pod(f"desk-new-{name}"), Heard(said, at(second)))
        return self.turn(second)

    def turn(self, second: float) -> Failing:
        self.memory.note_tallies(Fleet(tuple(self.workers.values())), compared=False)
        return self.memory.ended_calls.look(at(second)).failing


def at(second: float) -> datetime:
    return NOW + timedelta(seconds=second)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_calls_of_all_workers_count_together(watch: Watch) -> None:
    for name in "abc":
        watch.says(0, name)

    assert watch.says(5, "a", calls_ended=3, calls_failed=1) is Failing.FEW
    assert watch.says(6, "b", calls_ended=1) is Failing.FEW
    assert watch.says(7, "c", calls_ended=1) is Failing.ONE_IN_TEN


def test_what_a_worker_counted_before_it_was_first_heard_is_not_of_now(watch: Watch) -> None:
    """The operator may just have started, and the worker have run for a month."""
    assert watch.says(0, calls_ended=1000, calls_failed=900) is Failing.FEW
    assert watch.says(5, calls_ended=1004, calls_failed=904) is Failing.FEW
    assert watch.says(10, calls_ended=1005, calls_failed=905) is Failing.NINE_IN_TEN


def test_a_worker_that_is_heard_again_after_a_while_does_not_tell_of_now(watch: Watch) -> None:
    watch.says(0)

    assert watch.says(11 * MINUTE, calls_ended=50, calls_failed=50) is Failing.FEW
    assert watch.says(11 * MINUTE + 5, calls_ended=54, calls_failed=54) is Failing.FEW


def test_a_worker_that_was_silent_for_some_minutes_tells_of_the_last_ten(watch: Watch) -> None:
    watch.says(0)

    assert watch.says(5 * MINUTE, calls_ended=50, calls_failed=50) is Failing.NINE_IN_TEN
    assert watch.says(10 * MINUTE, calls_ended=50, calls_failed=50) is Failing.FEW


def test_a_process_that_starts_again_counts_from_zero_and_lost_the_calls_that_it_held(watch: Watch) -> None:
    watch.says(0, calls=3, calls_ended=100)

    assert watch.says(5, instance="2", calls_ended=1) is Failing.FEW
    assert watch.says(6, instance="2", calls_ended=2) is Failing.A_THIRD


def test_what_a_worker_counted_outlives_its_pod_and_is_then_forgotten(watch: Watch) -> None:
    watch.says(0)
    watch.says(5, calls_ended=9, calls_failed=8)
    watch.workers.clear()

    assert watch.turn(6) is Failing.TWO_THIRDS
    assert watch.turn(10 * MINUTE) is Failing.FEW
    assert watch.memory.noted == {}
    assert watch.memory.ended_calls.spans_known == 0


def test_pods_that_come_and_go_leave_nothing_behind(watch: Watch) -> None:
    for number in range(2000):
        watch.workers.clear()
        watch.says(number, f"w{number}", calls_ended=number)

    assert len(watch.memory.noted) == 1
    assert watch.memory.ended_calls.spans_known == 0
    assert watch.memory.ledger.since_look() == {}


def test_a_pod_that_was_evicted_failed_its_calls(watch: Watch) -> None:
    watch.says(0, calls=5)
    worker = watch.workers["a"]
    watch.workers["a"] = replace(worker, heard=None, pod=replace(worker.pod, phase="Failed"))

    assert watch.turn(10) is Failing.NINE_IN_TEN


def test_revisions_that_nobody_compares_are_not_summed_up(watch: Watch) -> None:
    watch.says(0)
    watch.says(5, calls_ended=9)

    assert watch.memory.ledger.since_look() == {}


class Shift:
    """An agent with one worker, turns at chosen seconds, and calls that end as a test says."""

    def __init__(self) -> None:
        self.second = 0.0
        ports, cluster, workers = build_ports()
        self.world = World(replace(ports, now=lambda: at(self.second)), cluster, workers)

    async def turn(self, second: float, *, ended: int, failed: int) -> timedelta | None:
        """Let the worker say how its calls ended so far, and return when there is to be another look."""
        self.second, self.world.workers.said_at = second, at(second)
        said = state(tally=Tally(calls_ended=ended, calls_failed=failed), instance="1")
        for body in self.world.ports.cache.pods:
            self.world.workers.states[body["metadata"]["uid"]] = said
        self.world.cluster.writes.clear()
        return await reconcile_voice_agent(KEY, self.world.ports)

    @property
    def writes(self) -> list[str]:
        return self.world.cluster.writes


@pytest.fixture
async def shift() -> Shift:
    begun = Shift()
    await begun.world.come_up(calls=0, scaling={"mode": "External"}, replicas=1)
    for second in range(3):
        await begun.turn(second, ended=100, failed=100)
    assert begun.world.condition("Ready") == "True Ready"
    assert begun.writes == []
    return begun


async def test_calls_that_fail_are_told_in_one_write_and_one_event_however_many_follow(shift: Shift) -> None:
    shift.world.cluster.told.clear()

    await shift.turn(10, ended=105, failed=105)
    assert shift.writes == ["status desk"]
    assert shift.world.condition("Ready") == "True CallsFail"
    assert shift.world.status()["summary"] == "1 worker, 0 calls, calls fail"

    for more in range(1, 100):
        await shift.turn(10 + more, ended=105 + more, failed=105 + more)
        assert shift.writes == []
    assert [(note.kind, note.reason) for note in shift.world.cluster.told] == [("Warning", "CallsFail")]


async def test_when_nothing_happens_any_more_the_words_go_by_themselves(shift: Shift) -> None:
    look = await shift.turn(10, ended=105, failed=105)

    while shift.world.condition("Ready") == "True CallsFail" and shift.second <= 10 + 10 * MINUTE:
        assert look is not None
        look = await shift.turn(shift.second + look.total_seconds(), ended=105, failed=105)

    assert shift.second <= 10 + 10 * MINUTE
    assert "fail" not in shift.world.message("Ready")


async def test_an_operator_that_starts_anew_does_not_tell_of_what_was_before(shift: Shift) -> None:
    await shift.turn(10, ended=105, failed=105)
    shift.world.ports.memories.clear()

    await shift.turn(20, ended=105, failed=105)

    assert shift.world.condition("Ready") == "True Ready"
