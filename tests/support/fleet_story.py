"""A story about one fleet: how an operator's turns are played and judged, and how each story ends.

What may happen in it is for `tests/core/test_fleet_machine.py` to say.
"""

import math
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.support.fake_operator import DiedError, FakeOperator, Faults
from tests.support.fake_world import FakePod, FakeWorld
from tests.support.fleet_laws import check_plan
from tests.support.fleet_specs import SPEC, spec_text
from voicefleet.fleet import Heard
from voicefleet.fleet.steps import AgentSeen, AgentSteps

HEARTBEAT_SECONDS = 5.0
# One closes a worker or opens it, one marks it, one deletes it.
_TURNS_TO_A_SIZE = 3
STEPS_TAKEN: Counter[str] = Counter()


class FleetStory(RuleBasedStateMachine):
    """One VoiceAgent, its world, and the operators that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = SPEC
        self.clock_ahead_seconds = 0.0
        self.stage_seconds = 0.0
        self.world = FakeWorld(spec_text(SPEC))
        self.operator = self._begin_to_lead()
        self.watch_is_late = False
        self.calls = 0
        self.pace_seconds = 0.0
        self.most_wanted = 1
        self.most_surge = 25
        self._coming: object = None
        self._passed_over: set[str] = set()
        """Workers that were starting when another revision began to be wanted."""

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
        heard = self._heard(pod)
        believed = heard is not None and bool(heard.state.sessions)
        hung = pod.process is None or pod.process.hung_since is not None or not pod.reachable
        # Nobody can tell a worker to go that has not come up, and those of another revision are wanted meanwhile.
        passed_over = pod.seen.ref.uid in self._passed_over and self._is_starting(pod)
        leaves = pod.node in self.world.leaving_nodes
        return bool(pod.calls) or believed or hung or passed_over or bool(pod.lie) or leaves

    def _heard(self, pod: FakePod) -> Heard | None:
        line = self.operator.lines.get(pod.seen.ref.uid)
        return line.heard if line is not None else None

    def _is_starting(self, pod: FakePod) -> bool:
        heard = self._heard(pod)
        return heard is None or not heard.state.registered

    def _note_what_is_coming(self, steps: AgentSteps) -> None:
        rollout = steps.rollout.status if steps.rollout is not None else None
        coming = (rollout.revision, rollout.phase == "Paused") if rollout is not None else None
        if coming != self._coming:
            self._coming = coming
            self._passed_over |= {pod.seen.ref.uid for pod in self._alive() if self._is_starting(pod)}

    def check_the_plan(self, seen: AgentSeen, steps: AgentSteps) -> None:
        """Look at a plan before it is carried out."""
        self.most_wanted = max(self.most_wanted, steps.fleet.desired)
        self.most_surge = max(self.most_surge, seen.agent.spec.rollout.max_surge_percent)
        self._note_what_is_coming(steps)
        check_plan(seen, steps, now=self.operator.now)

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
        self.world.livekit_is_away = self.world.sizes_are_refused = False
        self.world.put_sizes_off(False)
        self.world.has_watchman, self.stage_seconds = True, 0.0
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
        # Whoever is ended with calls at the beginning has a grace of ten minutes, and its successor may wait for that.
        sizes = [steps.size.desired for steps in self._quiet_turns(seconds=1200) if steps is not None and steps.size]
        # While nothing is known of calls that last as long as these, what is expected of them may waver: it moves the
        # size, and what the calls of closed workers spare of it.
        changes = self._closed_with_calls() + sum(one != other for one, other in pairwise(sizes))
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
            self.create_agent()
        if self.world.agent is not None and not self.world.agent.deleting:
            self._edit(suspend=False, rollout={})
            self._assert_is_as_wanted()
        if self.world.agent is not None and not self.world.agent.deleting:
            self._edit(template={"A": "C", "B": "A", "C": "B"}[self.spec["template"]])
            self._assert_is_as_wanted()

    def _assert_is_as_wanted(self) -> None:
        turns = self._quiet_turns(seconds=600)
        if any(steps is not None and steps.create for steps in turns[-_TURNS_TO_A_SIZE:]):
            # What is expected of callers wavers while there are none; whoever was asked for just now has to start.
            turns = self._quiet_turns(seconds=120)
        steps = turns[-1]
        assert steps is not None
        assert steps.size is not None
        assert steps.rollout is not None
        fleet, now = self.operator.fleet(), self.operator.now
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

    def create_agent(self) -> None:
        """Create the agent anew, after one that is gone."""
        self.spec = {key: value for key, value in self.spec.items() if key != "deletionPolicy"}
        self.world.create_agent(spec_text(self.spec))

    def _tell(self, steps: AgentSteps | None) -> str:
        now = self.operator.now
        lines = [
            f"{w.pod.ref.name} {w.activity(now)} {w.calls(now)} calls, {w.pod.phase} {w.pod.trouble}"
            for w in self.operator.fleet()
        ]
        if steps is not None:
            lines += [str(steps.fleet), str(steps.size), str(steps.rollout and steps.rollout.status), str(self.spec)]
        return "\n".join(["", *lines])

    def _begin_to_lead(self) -> FakeOperator:
        operator = FakeOperator(self.world, clock_ahead_seconds=self.clock_ahead_seconds)
        operator.plans_checked = self.check_the_plan
        operator.after_each_stage = self._writes_take_time
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

    def _came_up_unseen(self) -> bool:
        """Tell whether workers may take calls whose agent no turn has held back since they were created."""
        is_held_back = self.world.agent is not None and bool(self.world.agent.finalizers)
        is_late = self.watch_is_late or not self.pace_seconds or self.stage_seconds > 0
        return is_late and not is_held_back and any(pod.process is not None for pod in self._alive())

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

    def _writes_take_time(self) -> None:
        """Let time pass between the writes of one turn, and a caller come in it now and then."""
        if self.stage_seconds:
            self.world.pass_time(self.stage_seconds)
            self.calls += 1
            if self.calls % 3 == 0:
                self.world.call(f"call-{self.calls}", lasts_seconds=60.0, draw=self.calls * 0.37 % 1)
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
