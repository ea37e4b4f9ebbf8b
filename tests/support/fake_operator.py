"""An operator in a fake world: what it believes, and its turns in the order in which the real one acts.

Everything between it and the world may go wrong: events are late, lost, doubled or out of order, requests fail with
or without effect, and the process may end between any two writes.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache, partial

from tests.support.fake_world import FakeAgent, FakeWorld, PodEvent, RefusalError
from tests.support.fleet_laws import check_status
from tests.support.manifests import minimal, sample
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.metadata import ObjectMeta
from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.fleet import Fleet, Heard, Pod, PodRef, Worker
from voicefleet.fleet.lookout import Lookout
from voicefleet.fleet.memory import FleetMemory
from voicefleet.fleet.render import Rendered, find_obstacle, render_agent
from voicefleet.fleet.size import may_sleep
from voicefleet.fleet.steps import AgentSeen, AgentSteps, plan_agent
from voicefleet.manifests import Manifest
from voicefleet.manifests.revision import Revision, read_revision
from voicefleet.names import ANNOTATION_PROMOTE, FINALIZER, LABEL_REVISION, config_map_name
from voicefleet.report.agent import report_agent
from voicefleet.rollout import Drains
from voicefleet.rollout.history import find_revision
from voicefleet.wire import WorkerState

AGENT = "desk"
SILENT_SECONDS = 15.0
_RESYNC_SECONDS = 300.0
_STATUS_SECONDS = 2.0
_POOL = ProviderPool.model_validate({**sample("providerpool"), "metadata": {"name": "pool", "namespace": "voice"}})


class DiedError(Exception):
    """The operator's process ended."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong in one turn."""

    dies_after: int | None = None
    """Writes that are done before the process ends."""
    refused: int | None = None
    """Which write the API server does not do."""
    unanswered: int | None = None
    """Which write it does without the answer coming back."""
    orders: str = "obeyed"
    """What becomes of what workers are told: obeyed, lost, or obeyed without an answer."""


@dataclass(slots=True)
class Line:
    """The connection to one worker."""

    heard: Heard | None = None
    connected: bool = False
    sequence: int = 0
    under_way: list[WorkerState] = field(default_factory=list)
    last_word: float = 0.0
    called_back_at: float = -math.inf


@lru_cache(maxsize=512)
def parse_spec(spec: str) -> VoiceAgent:
    """Return the agent of a spec; its metadata is filled in later."""
    base = minimal("VoiceAgent")
    return VoiceAgent.model_validate(
        {**base, "metadata": {"name": AGENT}, "spec": {**base["spec"], **json.loads(spec)}}
    )


@lru_cache(maxsize=512)
def render(spec: str, uid: str) -> Rendered:
    """Return what a spec asks for."""
    metadata = ObjectMeta(name=AGENT, namespace="voice", uid=uid)
    agent = parse_spec(spec).model_copy(update={"metadata": metadata})
    rendered = render_agent(agent, _POOL, default_image="worker:1", operator_namespace="voicefleet", control_key_id="k")
    assert isinstance(rendered, Rendered), rendered
    return rendered


def parse_agent(agent: FakeAgent) -> VoiceAgent:
    """Return the agent as its model."""
    return _parse_agent(replace(agent, status=VoiceAgentStatus(), version=0))


@lru_cache(maxsize=64)
def _parse_agent(agent: FakeAgent) -> VoiceAgent:
    metadata = ObjectMeta(
        name=AGENT,
        namespace="voice",
        uid=agent.uid,
        generation=agent.generation,
        finalizers=agent.finalizers,
        annotations={ANNOTATION_PROMOTE: agent.promote} if agent.promote else None,
        deletion_timestamp="2026-03-02T12:00:00Z" if agent.deleting else None,
    )
    return parse_spec(agent.spec).model_copy(update={"metadata": metadata})


def _names(fleet: Fleet) -> frozenset[str]:
    return frozenset(worker.pod.ref.name for worker in fleet)


class FakeOperator:
    """One process of the operator."""

    def __init__(self, world: FakeWorld, *, clock_ahead_seconds: float = 0.0) -> None:
        self.world = world
        self.clock_ahead = timedelta(seconds=clock_ahead_seconds)
        self.memory = FleetMemory()
        self.memory_of = ""
        self.drains: Drains | None = None
        self.pods: dict[str, PodEvent] = {}
        self.gone: set[str] = set()
        self.agent: FakeAgent | None = None
        self.events: list[PodEvent] = []
        """Events that are under way to it."""
        self.lines: dict[str, Line] = {}
        self.lines_are_slow = False
        self.listed_at = -math.inf
        self.status_at = -math.inf
        self.plans_checked: Callable[[AgentSeen, AgentSteps], None] = lambda _seen, _steps: None
        self.after_each_stage: Callable[[], None] = lambda: None
        self.orders_given: list[tuple[float, str, str]] = []
        self._writes = 0
        self._faults = Faults()
        world.watchers.append(self.events.append)
        self.list_all()
        self.hear()

    @property
    def now(self) -> datetime:
        """The moment by its own clock."""
        return self.world.now + self.clock_ahead

    def stop(self) -> None:
        """Let it be forgotten."""
        self.world.watchers.remove(self.events.append)

    # What it comes to believe.

    def list_all(self) -> None:
        """Compare what it believes with the cluster."""
        self.agent = self.world.agent
        self.listed_at = self.world.seconds
        self.gone |= {uid for uid in self.pods if uid not in self.world.pods}
        self.pods = {uid: known for uid, known in self.pods.items() if uid not in self.gone}
        for uid, pod in self.world.pods.items():
            self._take_in(PodEvent(uid, int(pod.seen.ref.resource_version), pod.seen, pod.node, pod.owner))

    def deliver(self, *, order: Iterable[int] | None = None) -> None:
        """Let events arrive: all of them in order, or those at some places, some of them twice or never."""
        events = list(self.events)
        self.events.clear()
        for event in events if order is None else [events[index % len(events)] for index in order if events]:
            self._take_in(event)
        self.agent = self.world.agent

    def _take_in(self, event: PodEvent | None) -> None:
        if event is None or event.uid in self.gone:
            return
        known = self.pods.get(event.uid)
        if event.seen is None:
            self.gone.add(event.uid)
            self.pods.pop(event.uid, None)
        elif known is None or event.version > known.version:
            self.pods[event.uid] = event

    def hear(self) -> None:
        """Let every worker that can be heard say what it says."""
        followed = {uid for uid, known in self.pods.items() if known.seen and known.seen.phase == "Running"}
        self.lines = {uid: self.lines.get(uid) or Line() for uid in sorted(followed)}
        for uid, line in self.lines.items():
            self._listen(uid, line)

    def _listen(self, uid: str, line: Line) -> None:
        state = self.world.state_of(uid)
        if state is not None:
            if not line.connected:
                line.connected, line.sequence, line.under_way = True, 0, []
            elif line.heard is not None and line.heard.state.instance != state.instance:
                # The process behind it is another: the connection broke, and what was under way with it.
                self._break(line)
                line.connected, line.sequence = True, 0
            line.under_way.append(state)
            # On a slow line the newest word is still under way when the one before it arrives.
            arrived = line.under_way[:-1] if self.lines_are_slow else line.under_way
            line.under_way = line.under_way[len(arrived) :]
            for said in arrived:
                self._hear(line, said)
        else:
            pod = self.world.pods.get(uid)
            reset = pod is None or (pod.process is None and pod.reachable)
            if reset or self.world.seconds - line.last_word > SILENT_SECONDS:
                self._break(line)

    def _break(self, line: Line) -> None:
        line.connected, line.under_way = False, []
        if line.heard is not None:
            line.heard = replace(line.heard, live=False)

    def _hear(self, line: Line, state: WorkerState, *, is_answer: bool = False) -> None:
        if state.sequence >= line.sequence:
            line.sequence, line.last_word = state.sequence, self.world.seconds
            if is_answer or not state.cordoned:
                line.called_back_at = -math.inf
            is_known = self.world.seconds - line.called_back_at >= SILENT_SECONDS
            line.heard = Heard(state, self.now, live=line.connected and is_known)

    # A turn.

    def turn(self, faults: Faults = Faults()) -> AgentSteps | None:
        """Observe, decide, act, report; return what was decided."""
        if self.world.seconds - self.listed_at >= _RESYNC_SECONDS:
            self.list_all()
        self._writes, self._faults = 0, faults
        agent = self.agent
        if agent is None:
            self.memory_of = ""
            return None
        if self.memory_of != agent.uid:
            self.memory, self.memory_of, self.drains = FleetMemory(), agent.uid, None
        seen = self._observe(agent)
        now = self.now
        steps = plan_agent(seen, now=now)
        self.memory.decided(steps.size, now)
        self.drains = steps.rollout.drains if steps.rollout is not None else self.drains
        self.plans_checked(seen, steps)
        if steps.look is not None:
            self.memory.looking(steps.look, now)
            self.memory.looked(steps.look, now, self.world.look_for_callers(steps.look))
        refused = self._act(agent, seen, steps)
        if steps.finalizer == "remove" and not refused:
            return steps
        with suppress(RefusalError):
            self._report(agent, seen, steps, now)
        return steps

    def fleet(self) -> Fleet:
        """Return what it believes of its workers."""
        ours = [known for _, known in sorted(self.pods.items()) if self.agent and known.owner == self.agent.uid]
        return Fleet(tuple(self._worker(known) for known in ours))

    def _worker(self, known: PodEvent) -> Worker:
        assert known.seen is not None
        pod = replace(known.seen, node_is_leaving=known.node in self.world.leaving_nodes)
        line = self.lines.get(known.uid)
        return Worker(pod, line.heard if line else None)

    def _observe(self, agent: FakeAgent) -> AgentSeen:
        now, model, fleet = self.now, parse_agent(agent), self.fleet()
        self.memory.observe(model.spec, fleet, now, told=agent.status)
        fleet = self.memory.doubts.cast(fleet, now)
        lost = self.world.pool_is_lost
        rendered = None if lost else render(agent.spec, agent.uid)
        watchman = PodRef("other-0", "uid-of-other", "1") if self.world.has_watchman and may_sleep(model.spec) else None
        return AgentSeen(
            agent=model,
            fleet=fleet,
            lessons=self.memory.lessons(now),
            control_key_id="k",
            pool=None if lost else _POOL,
            rendered=rendered,
            obstacle=find_obstacle(model, None, pool_is_allowed=True) if lost else None,
            kept=self._read_kept(agent, model, rendered),
            before=agent.status,
            drains=self.drains,
            worker_hours=self.memory.worker_hours,
            took_calls_at=self.memory.took_calls_at,
            rest=self.memory.rest,
            taken_names=frozenset(each.seen.ref.name for each in self.pods.values() if each.seen) - _names(fleet),
            callers=self.memory.callers,
            lookout=Lookout(watchman=watchman),
            watched=self.memory.is_watched(fleet, watchman, now),
        )

    def _read_kept(self, agent: FakeAgent, model: VoiceAgent, rendered: Rendered | None) -> dict[str, Revision]:
        rollout = agent.status.rollout
        if rollout is None:
            return {}
        wanted = {rollout.revision, rollout.stable}
        if model.spec.rollout.undo_to_revision is not None:
            undone = find_revision(agent.status.revisions, model.spec.rollout.undo_to_revision)
            wanted.add(undone.name if undone else None)
        kept = {}
        for name in sorted(name for name in wanted - {rendered.revision.name if rendered else None} if name):
            body = self.world.config_maps.get(config_map_name(AGENT, name))
            revision = read_revision(name, body) if isinstance(body, dict) else None
            if revision is not None:
                kept[name] = revision
        return kept

    # Acting: in the order of `voicefleet_operator.handlers.acting`.

    def _act(self, agent: FakeAgent, seen: AgentSeen, steps: AgentSteps) -> bool:
        refused = False
        for stage in self._stages(agent, seen, steps):
            try:
                for act in stage:
                    act()
            except RefusalError:
                refused = True
            self.after_each_stage()
        return refused

    def _stages(self, agent: FakeAgent, seen: AgentSeen, steps: AgentSteps) -> Iterator[Iterable[Callable[[], None]]]:
        world, plan = self.world, steps.fleet
        yield [self._change(mark.pod, marked_busy=mark.busy) for mark in plan.mark]
        yield [self._order(pod, "uncordon", cordoned=False) for pod in plan.uncordon]
        yield [self._order(order.pod, "load", load=order.load) for order in plan.loads]
        yield [self._change(pod, cordoned_at=None) for pod in plan.unstamp]
        yield [
            *(self._write(partial(self._apply, each)) for each in steps.apply if self._is_news(each)),
            *(self._write(partial(self._create, agent, each)) for each in steps.create),
        ]
        yield [self._write(partial(self._set_finalizers, agent, steps))] if steps.finalizer else []
        yield [self._change(pod, cordoned_at=None) for pod in plan.unstamp]
        yield [self._order(pod, "cordon", cordoned=True) for pod in plan.cordon]
        yield [self._change(pod, cordoned_at=world.now) for pod in plan.stamp]
        yield [self._change(each.pod, **self._told(each.word)) for each in plan.refresh]
        yield [self._change(pod, resources=tuple(sorted(steps.resources.items()))) for pod in plan.resize]
        going = set(plan.delete)
        yield [self._delete(worker.pod) for worker in seen.fleet if worker.pod.ref in going]
        yield [self._write(partial(self._end, pod)) for pod in plan.end]
        yield [self._write(partial(self._remove, name)) for _, name in self.removed(steps)]

    def _change(self, ref: PodRef, **fields: object) -> Callable[[], None]:
        def change() -> None:
            self._take_in(self.world.change_pod(ref, **fields))

        return self._write(change)

    def _told(self, word: str) -> dict[str, object]:
        return {"refreshed_at": self.now, **({"secrets_changed": word} if word else {})}

    def _end(self, ref: PodRef) -> None:
        self._take_in(self.world.end_pod(ref))

    def _delete_now(self, ref: PodRef) -> None:
        self._take_in(self.world.delete_pod(ref))

    def _write(self, act: Callable[[], None]) -> Callable[[], None]:
        def write() -> None:
            if self._faults.dies_after is not None and self._writes >= self._faults.dies_after:
                raise DiedError
            number, self._writes = self._writes, self._writes + 1
            if number == self._faults.refused:
                raise RefusalError("not now")
            if number != self._faults.unanswered:
                act()
                return
            known, agent = dict(self.pods), self.agent
            act()
            # It is done, and nobody here knows.
            self.pods, self.agent = known, agent
            raise RefusalError("no answer")

        return write

    def _set_finalizers(self, agent: FakeAgent, steps: AgentSteps) -> None:
        answer = self.world.set_finalizers(agent, (FINALIZER,) if steps.finalizer == "add" else ())
        if answer is not None:
            self.agent = answer

    def _is_news(self, manifest: Manifest) -> bool:
        return manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] not in self.world.config_maps

    def _apply(self, manifest: Manifest) -> None:
        self.world.config_maps[manifest["metadata"]["name"]] = manifest

    def removed(self, steps: AgentSteps) -> list[tuple[str, str]]:
        """Return the children that are to go and are still there."""
        return [(kind, name) for kind, name in steps.remove if name in self.world.config_maps]

    def _remove(self, name: str) -> None:
        self.world.config_maps.pop(name, None)

    def _create(self, agent: FakeAgent, manifest: Manifest) -> None:
        name, revision = manifest["metadata"]["name"], manifest["metadata"]["labels"][LABEL_REVISION]
        requests = manifest["spec"]["containers"][0]["resources"]["requests"]
        pod = Pod(
            ref=PodRef(name, "", ""),
            revision=revision,
            phase="Pending",
            scheduled=False,
            resources=tuple(sorted((key, requests[key]) for key in ("cpu", "memory"))),
        )
        config_map = self.world.config_maps[config_map_name(AGENT, revision)]
        assert isinstance(config_map, dict)
        slots = json.loads(config_map["data"]["agent.json"])["spec"]["worker"]["sessionsPerWorker"]
        self._take_in(self.world.create_pod(name, agent.uid, pod, slots))

    def _delete(self, pod: Pod) -> Callable[[], None]:
        def delete() -> None:
            # Ask again at the last moment, as the real one does.
            line = self.lines.get(pod.ref.uid)
            if Worker(pod, line.heard if line else None).may_be_deleted(self.now):
                self._write(partial(self._delete_now, pod.ref))()

        return delete

    def _order(
        self, pod: PodRef, word: str, *, cordoned: bool | None = None, load: float | None = None
    ) -> Callable[[], None]:
        def order() -> None:
            if self._faults.dies_after is not None and self._writes >= self._faults.dies_after:
                raise DiedError
            self._writes += 1
            self.orders_given.append((self.world.seconds, word, pod.uid))
            line = self.lines.get(pod.uid)
            if line is None:
                return
            if word == "uncordon" and line.heard is not None:
                line.heard = replace(line.heard, live=False)
                line.called_back_at = self.world.seconds
            if self._faults.orders == "lost" or not self.world.order(pod.uid, cordoned=cordoned, load=load):
                return
            state = self.world.state_of(pod.uid)
            if self._faults.orders == "obeyed" and state is not None and line.connected:
                self._hear(line, state, is_answer=True)

        return order

    def _report(self, agent: FakeAgent, seen: AgentSeen, steps: AgentSteps, now: datetime) -> None:
        status = report_agent(seen, steps, agent.status, now=now)
        check_status(seen, steps, status, now=now)
        if status != agent.status:
            if self.world.seconds - self.status_at < _STATUS_SECONDS:
                return
            self._write(partial(self._write_status, agent, status))()
            self.status_at = self.world.seconds

    def _write_status(self, agent: FakeAgent, status: object) -> None:
        if self.world.agent is None or self.world.agent.uid != agent.uid:
            raise RefusalError("not found")
        self.agent = self.world.change_agent(status=status)
