"""What no order of events may bring about: a state machine over the pure core, with a world that does its worst.

People edit the spec, callers come and go, workers hang, crash and lie, nodes leave, events are lost and requests fail,
and the operator dies between any two writes. After each step promise 1 is looked at, and at the end of each story the
faults stop: then the fleet must come to rest, be as wanted, and let itself be deleted.
"""

import math
import os
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.fake_operator import DiedError, FakeOperator, Faults
from tests.support.fake_world import NODES, FakePod, FakeWorld
from tests.support.fleet_laws import check_plan
from tests.support.fleet_specs import EDITS, SPEC, TEMPLATES, spec_text
from voicefleet.fleet.steps import AgentSeen, AgentSteps

HEARTBEAT_SECONDS = 5.0
# One closes a worker or opens it, one marks it, one deletes it.
_TURNS_TO_A_SIZE = 3
STEPS_TAKEN: Counter[str] = Counter()
CONDITIONS = ("late", "prompt", "slow", "quick", "full", "room", "broken", "mended", "long", "short", "lost", "found")


class FleetMachine(RuleBasedStateMachine):
    """One VoiceAgent, its world, and the operators that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = SPEC
        self.world = FakeWorld(spec_text(SPEC))
        self.operator = self._begin_to_lead()
        self.watch_is_late = False
        self.calls = 0
        self.pace_seconds = 0.0
        self.most_wanted = 1
        self.most_surge = 25

    @initialize(calls=st.integers(0, 6), lasts=st.sampled_from([20.0, 600.0]))
    def a_fleet_stands(self, calls: int, lasts: float) -> None:
        self._pass(1)
        for _ in range(4):
            self._turn(Faults())
            self._pass(HEARTBEAT_SECONDS)
        self.calls_come_in(count=calls, lasts=lasts, draw=0.5)
        self.pace_seconds = 1.0

    # People.

    @rule(edit=EDITS)
    def a_person_edits_the_spec(self, edit: dict[str, Any]) -> None:
        if "scaling" in edit and "replicas" not in edit:
            self.spec = {key: value for key, value in self.spec.items() if key != "replicas"}
        if "undoToRevision" in edit:
            rollout = {key: value for key, value in self.spec["rollout"].items() if key != "undoToRevision"}
            edit = {"rollout": {**rollout, **{key: value for key, value in edit.items() if value is not None}}}
        self._edit(**edit)

    @rule(step=st.sampled_from(["1", "all"]))
    def let_the_canary_go_on(self, step: str) -> None:
        status = self.world.agent.status if self.world.agent else None
        if status is not None and status.rollout is not None:
            self.world.change_agent(promote=f"{status.rollout.revision}/{step}")

    @rule(at_once=st.booleans(), sure=st.integers(0, 3))
    def delete_the_agent(self, at_once: bool, sure: int) -> None:
        if self.world.agent is not None and not self.world.agent.deleting and sure == 0:
            if at_once:
                self._edit(deletionPolicy="Now")
            self.world.delete_agent()

    @precondition(lambda self: self.world.agent is None)
    @rule()
    def create_the_agent_again(self) -> None:
        self.spec = {key: value for key, value in self.spec.items() if key != "deletionPolicy"}
        self.world.create_agent(spec_text(self.spec))

    # Callers.

    @rule(count=st.integers(1, 4), lasts=st.sampled_from([3.0, 20.0, 60.0, 200.0]), draw=st.floats(0, 0.99))
    def calls_come_in(self, count: int, lasts: float, draw: float) -> None:
        for _ in range(count):
            self.calls += 1
            self.world.call(f"call-{self.calls}", lasts_seconds=lasts, draw=draw)

    @rule(index=st.integers(0, 20))
    def a_caller_hangs_up(self, index: int) -> None:
        self.world.hang_up(index)

    # Workers, nodes and accidents.

    @rule(index=st.integers(0, 9), accident=st.sampled_from(["hang", "crash", "fail", "lose", "drain", "hide", "show"]))
    def a_worker_has_an_accident(self, index: int, accident: str) -> None:
        pod = self._pod(index)
        if pod is None:
            return
        match accident:
            case "hang" if pod.process is not None and pod.process.hung_since is None:
                pod.process.hung_since = self.world.seconds
            case "crash":
                self.world.crash(pod)
            case "fail":
                self.world.fail(pod)
            case "lose":
                self.world.lose(pod)
            case "drain" if pod.process is not None:
                pod.process.draining = True
            case "hide" | "show":
                pod.reachable = accident == "show"
            case _:
                """Nothing that could have the accident runs in the pod."""

    @precondition(lambda self: self._idle_and_cordoned())
    @rule(seconds=st.sampled_from([1, 4, 6]), draw=st.floats(0, 0.99))
    def a_cordoned_worker_starts_anew_and_gets_a_call(self, seconds: int, draw: float) -> None:
        self.world.crash(self._idle_and_cordoned()[0])
        self._pass(seconds)
        self.calls_come_in(count=1, lasts=200.0, draw=draw)

    @rule(index=st.integers(0, 9), lie=st.sampled_from(["", "revision", "slots"]))
    def a_worker_lies(self, index: int, lie: str) -> None:
        pod = self._pod(index)
        if pod is not None:
            pod.lie = lie

    @rule(node=st.sampled_from(NODES), leaving=st.booleans(), unnoticed=st.booleans())
    def a_node_is_cordoned_or_comes_back(self, node: str, leaving: bool, unnoticed: bool) -> None:
        (self.world.leaving_nodes.add if leaving else self.world.leaving_nodes.discard)(node)
        self.world.scheduler_is_behind = unnoticed

    # Between the operator and the world.

    @rule(seconds=st.sampled_from([0.0, 1.0, 3.0, 5.0, 12.0]))
    def turns_come_at_another_pace(self, seconds: float) -> None:
        self.pace_seconds = seconds

    @rule(change=st.sampled_from(CONDITIONS))
    def conditions_change(self, change: str) -> None:
        self.world.secrets += 1
        match change:
            case "late" | "prompt":
                self.watch_is_late = change == "late"
            case "slow" | "quick":
                self.operator.lines_are_slow = change == "slow"
            case "full" | "room":
                self.world.is_full = change == "full"
            case "lost" | "found":
                self.world.pool_is_lost = change == "lost"
            case "broken" | "mended":
                revision = self.world.agent.status.revision if self.world.agent else None
                self.world.broken_images = {revision} if revision and change == "broken" else set()
            case _:
                self.world.start_seconds = 40.0 if change == "long" else 3.0

    @rule(order=st.lists(st.integers(0, 30), max_size=8))
    def events_come_lost_doubled_and_out_of_order(self, order: list[int]) -> None:
        self.operator.deliver(order=order)

    @rule()
    def another_operator_takes_the_lead(self) -> None:
        self._change_the_lead()

    # Time, and the operator's turns.

    @rule(seconds=st.sampled_from([1, 4, 5, 15, 16, 40, 120]))
    def time_passes(self, seconds: int) -> None:
        self._pass(seconds)

    @rule(seconds=st.sampled_from([0, 1, 5]))
    def a_turn(self, seconds: int) -> None:
        self._pass(seconds)
        self._turn(Faults())

    @rule(rounds=st.integers(2, 6))
    def some_turns(self, rounds: int) -> None:
        for _ in range(rounds):
            self._pass(HEARTBEAT_SECONDS)
            self._turn(Faults())

    @rule(
        dies_after=st.one_of(st.none(), st.integers(0, 8)),
        refused=st.one_of(st.none(), st.integers(0, 5)),
        unanswered=st.one_of(st.none(), st.integers(0, 5)),
        orders=st.sampled_from(["obeyed", "lost", "unanswered"]),
    )
    def a_turn_goes_wrong(
        self, dies_after: int | None, refused: int | None, unanswered: int | None, orders: str
    ) -> None:
        self._arrive()
        self._turn(Faults(dies_after, refused, unanswered, orders))

    @rule(
        sizes=st.sampled_from([(0, 3, 0), (1, 3, 1), (0, 1, 0, 2), (3, 1, 2), (2, 0)]),
        orders=st.sampled_from(["obeyed", "lost", "unanswered"]),
        hears=st.booleans(),
        hides=st.booleans(),
    )
    def somebody_else_cannot_decide(self, sizes: tuple[int, ...], orders: str, hears: bool, hides: bool) -> None:
        """One number of workers after the other, faster than workers are heard, or while one of them is silent."""
        for number, replicas in enumerate(sizes):
            pod = self._pod(number) if hides and number else None
            if pod is not None:
                pod.reachable = False
                self._pass(20)
            self._edit(scaling={**SPEC["scaling"], "mode": "External"}, replicas=replicas)
            self.operator.deliver()
            if hears:
                self.operator.hear()
            self._turn(Faults(orders=orders if number else "obeyed"))
            self.calls_come_in(count=1, lasts=60.0, draw=0.5)
        self._turn(Faults())

    @precondition(lambda self: self.world.agent is not None)
    @rule(templates=st.permutations(sorted(TEMPLATES)), turns=st.integers(2, 8), wait=st.booleans())
    def somebody_goes_back_and_forth(self, templates: list[str], turns: int, wait: bool) -> None:
        """From one template to another, back, and there again, with calls that outlive the limit of a drain."""
        limit = {"maxDrainSeconds": 30, "onDrainLimit": "EndCalls", "maxSurgePercent": 100}
        for template in (*templates[:2], *templates[:2]):
            self.calls_come_in(count=2, lasts=600.0, draw=0.5)
            self._edit(template=template, rollout=limit if not wait else {**limit, "onDrainLimit": "Wait"})
            self.some_turns(turns)

    @rule()
    def nothing_happens_between_two_turns(self) -> None:
        """Let everything arrive: then turns at one moment come to an end, and the next one has nothing to do or say."""
        if self.operator.lines_are_slow or self.watch_is_late or any(self._is_deaf(pod) for pod in self._alive()):
            # Whoever does not obey is told again.
            return
        # What was lost arrives with the next list: until then a pod that has changed is deleted in vain.
        self.operator.list_all()
        self._arrive()
        for _ in range(8):
            done = self._turn(Faults())
            if self._is_nothing_to_do(done):
                break
            self._arrive()
        else:
            raise AssertionError(f"turns at one moment do not come to an end: {self._tell(done)}")
        self.operator.status_at = -math.inf
        self._turn(Faults())
        said = self.operator.agent
        self.operator.status_at = -math.inf
        again = self._turn(Faults())
        assert self._is_nothing_to_do(again), self._tell(again)
        assert self.operator.agent is said, "the same world was told of twice"

    # What always holds.

    @invariant()
    def life_goes_on(self) -> None:
        """Let time pass and the operator take its turn between any two steps, unless it sleeps just now."""
        STEPS_TAKEN["steps"] += 1
        if self.pace_seconds:
            self._pass(self.pace_seconds)
            self._turn(Faults())

    @invariant()
    def no_two_workers_have_one_name(self) -> None:
        names = Counter(pod.seen.ref.name for pod in self.world.pods.values())
        assert all(count == 1 for count in names.values()), names

    def check_the_number(self, before: int) -> None:
        """Look at a turn that made workers: beyond what was ever wanted and the surge, only for what others hold."""
        alive = self._alive()
        if len(alive) <= before:
            return
        excused = sum(self._is_replaced(pod) for pod in alive)
        # One more where old workers have other numbers of slots than new ones, and one for a canary beside one worker.
        bound = self.most_wanted + math.ceil(self.most_wanted * self.most_surge / 100) + 2
        assert len(alive) <= bound + excused, (
            f"{len(alive)} workers, {bound} and {excused} would do: {self._tell(None)}"
        )

    def _alive(self) -> list[FakePod]:
        return [pod for pod in self.world.pods.values() if pod.leaving_since is None and not pod.seen.ended]

    def _is_replaced(self, pod: FakePod) -> bool:
        """Tell whether another worker may stand in for it: it holds calls, is not heard, or its node goes."""
        state = self.operator.lines[pod.seen.ref.uid].heard if pod.seen.ref.uid in self.operator.lines else None
        believed = state is not None and bool(state.state.sessions)
        hung = pod.process is None or pod.process.hung_since is not None or not pod.reachable
        return bool(pod.calls) or believed or hung or bool(pod.lie) or pod.node in self.world.leaving_nodes

    def check_the_plan(self, seen: AgentSeen, steps: AgentSteps) -> None:
        """Look at a plan before it is carried out."""
        self.most_wanted = max(self.most_wanted, steps.fleet.desired)
        self.most_surge = max(self.most_surge, seen.agent.spec.rollout.max_surge_percent)
        check_plan(seen, steps, now=self.world.now)

    # The end of a story.

    def teardown(self) -> None:
        if sys.exc_info()[0] is not None:
            # It has ended badly already.
            return
        self.heal()
        self.comes_to_rest_with_calls_that_last()
        self.comes_to_what_is_wanted()
        self.lets_itself_be_deleted()

    def heal(self) -> None:
        """Let all faults stop."""
        self.world.leaving_nodes.clear()
        self.world.scheduler_is_behind = False
        self.world.broken_images.clear()
        self.world.is_full, self.world.pool_is_lost, self.world.start_seconds = False, False, 5.0
        self.watch_is_late = self.operator.lines_are_slow = False
        for pod in self.world.pods.values():
            pod.reachable, pod.lie = True, ""
            self.world.look_at_secrets(pod)
            if pod.process is not None:
                pod.process.hung_since = None
        self.operator.list_all()

    def comes_to_rest_with_calls_that_last(self) -> None:
        self.world.calls_last_for_ever = True
        began = len(self.operator.orders_given)
        sizes = [steps.size.desired for steps in self._quiet_turns(seconds=600) if steps is not None and steps.size]
        # While nothing is known of calls that last as long as these, what is expected of them may waver.
        changes = sum(one != other for one, other in pairwise(sizes))
        told = Counter((word, uid) for _, word, uid in self.operator.orders_given[began:])
        for (word, uid), times in told.items():
            assert times <= 2 + changes or word == "load", f"{uid} was told to {word} {times} times"
        self._assert_stays_at_rest(600)

    def _assert_stays_at_rest(self, seconds: float) -> None:
        # Of calls on closed workers fewer and fewer are expected to last: once each that may make a worker necessary.
        agent, late = self.world.agent, self._closed_with_calls()
        desired, settled = -1, _TURNS_TO_A_SIZE
        for steps in self._quiet_turns(seconds=seconds):
            before, desired = desired, steps.size.desired if steps is not None and steps.size else desired
            settled = settled + 1 if before in (-1, desired) else 0
            if settled < _TURNS_TO_A_SIZE:
                continue
            if late and self._only_adds_one(steps):
                late -= 1
                continue
            assert self._is_nothing_to_do(steps) or self._gives_up(steps), self._tell(steps)
        STEPS_TAKEN["quiet stories"] += 1
        if agent is not None and self.world.agent is not None:
            assert self.world.agent.spec == agent.spec

    def comes_to_what_is_wanted(self) -> None:
        """Calls end: then one revision is left, then another one takes over from it."""
        self.world.calls_last_for_ever = False
        if self.world.agent is None:
            self.create_the_agent_again()
        if self.world.agent is not None and not self.world.agent.deleting:
            self._edit(suspend=False, rollout={})
            self._assert_is_as_wanted()
        if self.world.agent is not None and not self.world.agent.deleting:
            self._edit(template={"A": "C", "B": "A", "C": "B"}[self.spec["template"]])
            self._assert_is_as_wanted()

    def _assert_is_as_wanted(self) -> None:
        steps = self._quiet_turns(seconds=600)[-1]
        assert steps is not None
        assert steps.size is not None
        assert steps.rollout is not None
        fleet, now = self.operator.fleet(), self.world.now
        staying = [worker for worker in fleet if not worker.pod.leaving]
        assert {worker.pod.revision for worker in staying} <= {steps.rollout.status.revision}, self._tell(steps)
        taking = sum(worker.takes_calls(now) for worker in staying)
        assert taking >= steps.size.desired, self._tell(steps)
        assert len(staying) <= max(steps.size.keep, steps.size.desired), self._tell(steps)
        assert steps.rollout.status.phase == "Complete" or not steps.size.desired, self._tell(steps)

    def lets_itself_be_deleted(self) -> None:
        if self.world.agent is not None and not self.world.agent.deleting:
            self.world.delete_agent()
        self._quiet_turns(seconds=900)
        assert self.world.agent is None, "the agent is still there"
        assert not self.world.pods

    # Helpers.

    def _tell(self, steps: AgentSteps | None) -> str:
        now = self.world.now
        lines = [
            f"{w.pod.ref.name} {w.activity(now)} {w.calls(now)} calls, {w.pod.phase} {w.pod.trouble}"
            for w in self.operator.fleet()
        ]
        if steps is not None:
            lines += [str(steps.fleet), str(steps.size), str(steps.rollout and steps.rollout.status), str(self.spec)]
        return "\n".join(["", *lines])

    def _begin_to_lead(self) -> FakeOperator:
        operator = FakeOperator(self.world)
        operator.plans_checked = self.check_the_plan
        return operator

    def _change_the_lead(self) -> None:
        self.operator.stop()
        self.operator = self._begin_to_lead()

    def _edit(self, **fields: Any) -> None:
        self.spec = {**self.spec, **fields}
        if self.world.agent is not None:
            self.world.change_agent(spec=spec_text(self.spec))

    def _pod(self, index: int) -> FakePod | None:
        pods = sorted(self.world.pods.values(), key=lambda pod: pod.seen.ref.uid)
        return pods[index % len(pods)] if pods else None

    def _is_deaf(self, pod: FakePod) -> bool:
        hangs = pod.process is not None and pod.process.hung_since is not None
        return hangs or not pod.reachable or (pod.process is None and pod.seen.phase == "Running")

    def _idle_and_cordoned(self) -> list[FakePod]:
        return [p for p in self._alive() if p.process and p.process.cordoned and not p.process.sessions]

    def _arrive(self) -> None:
        if not self.watch_is_late:
            self.operator.deliver()
        self.operator.hear()

    def _pass(self, seconds: float) -> None:
        while seconds > 0:
            self.world.pass_time(min(seconds, HEARTBEAT_SECONDS))
            seconds -= HEARTBEAT_SECONDS
            self._arrive()

    def _turn(self, faults: Faults) -> AgentSteps | None:
        STEPS_TAKEN["turns"] += 1
        before = len(self._alive())
        try:
            steps = self.operator.turn(faults)
        except DiedError:
            self._change_the_lead()
            steps = None
        self.check_the_number(before)
        return steps

    def _is_nothing_to_do(self, steps: AgentSteps | None) -> bool:
        return steps is None or (steps.fleet.is_empty and not steps.finalizer and not self.operator.removed(steps))

    def _closed_with_calls(self) -> int:
        closed = [pod for pod in self._alive() if pod.process is not None and pod.process.cordoned]
        return sum(bool(pod.calls) for pod in closed)

    def _only_adds_one(self, steps: AgentSteps | None) -> bool:
        if steps is None or len(steps.create) + len(steps.fleet.uncordon) != 1:
            return False
        return replace(steps.fleet, create=(), uncordon=()).is_empty

    def _gives_up(self, steps: AgentSteps | None) -> bool:
        """Tell whether a worker goes for whom no call has come for long; none comes, and none is called back."""
        return steps is not None and not (steps.create or steps.fleet.uncordon or steps.finalizer)

    def _quiet_turns(self, *, seconds: float) -> list[AgentSteps | None]:
        """Let time pass with turns when the operator would look again, or is told of something."""
        end, done = self.world.seconds + seconds, []
        while self.world.seconds < end:
            self._pass(30)
            done.append(self._turn(Faults()))
            if not self._is_nothing_to_do(done[-1]):
                self._arrive()
                done.append(self._turn(Faults()))
        return done


@pytest.mark.timeout(600)
def test_no_story_ends_badly() -> None:
    """The same stories each time; for others `MACHINE_SEED=7 MACHINE_STORIES=2000` may be set."""
    STEPS_TAKEN.clear()
    random_seed = os.environ.get("MACHINE_SEED")
    machine = FleetMachine if random_seed is None else seed(int(random_seed))(FleetMachine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("MACHINE_STORIES", "110")),
            stateful_step_count=150,
            derandomize=random_seed is None,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            phases=[Phase.generate],  # to shrink a story of 150 steps takes longer than to read it
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert STEPS_TAKEN["steps"] >= 10_000, STEPS_TAKEN
    assert STEPS_TAKEN["quiet stories"] >= 50, STEPS_TAKEN
