"""A world for a fleet, on virtual time: the cluster's pods, the workers in them, and LiveKit, which sends calls.

What is true stands here; what an operator believes of it stands in `tests.support.fake_operator`. The world itself
watches over promise 1: whoever deletes a pod that holds a call, or that could get one, fails the test on the spot.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.autoscaling.holding import SETTLED_SECONDS
from voicefleet.fleet import Pod, PodRef, Trouble
from voicefleet.fleet.callers import LookForCallers
from voicefleet.names import Reason
from voicefleet.wire import MOST_TOLD, CallersAnswer, Session, WorkerState

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NODES = ("node-0", "node-1")
GRACE_SECONDS = 600.0
# A container that answers no probe for a minute is started anew.
_LIVENESS_SECONDS = 60.0
_RESTART_SECONDS = 3.0
_REGISTER_SECONDS = 2.0
_KUBELET_SECONDS = 75.0


class RefusalError(Exception):
    """The API server does not do what it was asked."""


@dataclass(slots=True)
class Process:
    """What runs in a worker's container."""

    instance: str
    registers_at: float
    cordoned: bool = False
    draining: bool = False
    hung_since: float | None = None
    sessions: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When each call began, and when its caller will hang up."""
    asked_load: float | None = None
    secrets_changed_at: float | None = None
    refused: int = 0
    sequence: int = 0

    @property
    def open(self) -> bool:
        """Whether it would take a call that it has a slot for."""
        return not self.cordoned and not self.draining


@dataclass(slots=True)
class FakePod:
    """One pod as it truly is."""

    seen: Pod
    """As the API server would show it now."""
    slots: int
    created_at: float
    owner: str = ""
    """The uid of the agent that it belongs to: a namesake that comes later has nothing to do with it."""
    node: str = ""
    starts_at: float | None = None
    process: Process | None = None
    leaving_since: float | None = None
    secrets: int = 0
    """How often Secrets had been replaced when its kubelet last looked at them."""
    looks_at: float = 0.0
    """When its kubelet does so next by itself."""
    reachable: bool = True
    """Whether the operator can reach its control port."""
    lie: str = ""

    @property
    def calls(self) -> int:
        """Calls that it holds."""
        return len(self.process.sessions) if self.process else 0


@dataclass(frozen=True, slots=True)
class PodEvent:
    """A pod as it was at one version; None if it was gone."""

    uid: str
    version: int
    seen: Pod | None
    node: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class FakeAgent:
    """The VoiceAgent as the API server keeps it."""

    uid: str
    version: int
    generation: int
    spec: str
    """The spec as JSON, so that it can be looked up by it."""
    status: VoiceAgentStatus = field(default_factory=VoiceAgentStatus)
    finalizers: tuple[str, ...] = ()
    promote: str = ""
    deleting: bool = False


class FakeWorld:
    """Everything outside of the operator."""

    def __init__(self, spec: str) -> None:
        self.seconds = 0.0
        self.version = 1
        self.pods: dict[str, FakePod] = {}
        self.agent: FakeAgent | None = FakeAgent("agent-0", 1, 1, spec)
        self.config_maps: dict[str, object] = {}
        self.watchers: list[Callable[[PodEvent], None]] = []
        self.leaving_nodes: set[str] = set()
        self.scheduler_is_behind = False
        """It does not know yet which nodes are leaving."""
        self.broken_images: set[str] = set()
        self.pool_is_lost = False
        """Whether the agent's pool cannot be had."""
        self.is_full = False
        """Whether no node has room for another pod."""
        self.has_watchman = False
        """Whether a worker of another agent would see a call come while there is none of ours."""
        self.livekit_is_away = False
        self.sizes_are_refused = False
        """Whether no running pod may ask for another size."""
        self.sizes_are_put_off = False
        """Whether no node has room for the other sizes that running pods ask for."""
        self.start_seconds = 5.0
        self.calls_last_for_ever = False
        self.secrets = 0
        """How often Secrets were replaced."""
        self.cut_by_us = 0
        self.blocked = 0
        self.waiting: dict[str, tuple[float, float]] = {}
        """Callers who found no slot: since when, and how long they would talk."""
        self.agents = 1

    @property
    def now(self) -> datetime:
        """The moment."""
        return START + timedelta(seconds=self.seconds)

    # What the operator may ask of the API server.

    def create_pod(self, name: str, owner: str, pod: Pod, slots: int) -> PodEvent | None:
        """Create a pod; None if one of that name exists already."""
        if any(each.seen.ref.name == name for each in self.pods.values()):
            return None
        if self.agent is None or self.agent.uid != owner:
            # The garbage collector takes it before it runs.
            return None
        self.version += 1
        uid = f"{name}-{self.version}"
        seen = replace(pod, ref=PodRef(name, uid, str(self.version)), created_at=self.now)
        self.pods[uid] = FakePod(seen, slots, self.seconds, owner)
        return self._tell(self.pods[uid])

    def change_pod(self, ref: PodRef, **fields: object) -> PodEvent:
        """Change what is written on a pod, whatever its version."""
        pod = self.pods.get(ref.uid)
        if pod is None:
            raise RefusalError("not found")
        self.look_at_secrets(pod)
        if "resources" in fields and self.sizes_are_refused:
            fields = {"resize_refused": True}
        elif "resources" in fields:
            fields["resizing_since"] = self.now if self.sizes_are_put_off else None
        return self._show(pod, **fields)

    def put_sizes_off(self, put_off: bool) -> None:
        """Let nodes have no room for other sizes, or give those that they owe."""
        self.sizes_are_put_off = put_off
        for pod in [] if put_off else list(self.pods.values()):
            if pod.seen.resizing_since is not None:
                self._show(pod, resizing_since=None)

    def delete_pod(self, ref: PodRef) -> PodEvent | None:
        """Delete exactly what was read, or nothing; None if it is gone."""
        pod = self.pods.get(ref.uid)
        if pod is None:
            return None
        if pod.seen.ref.resource_version != ref.resource_version:
            raise RefusalError("conflict")
        if pod.leaving_since is None:
            assert not pod.calls, f"{ref.name} was deleted with {pod.calls} calls"
            might = pod.process is not None and pod.process.open and pod.seen.phase == "Running"
            assert not might, f"{ref.name} was deleted while it was open for calls"
        return self._begin_to_leave(pod)

    def end_pod(self, ref: PodRef) -> PodEvent | None:
        """Delete a pod with its calls, as was asked for."""
        event = self.change_pod(ref, ends_calls=True)
        pod = self.pods[ref.uid]
        if pod.leaving_since is None:
            self.cut_by_us += pod.calls
            return self._begin_to_leave(pod)
        return event

    def drain_pod(self, pod: FakePod) -> None:
        """Delete a pod as people and drains do: one that is marked busy is guarded."""
        if not pod.seen.marked_busy:
            self._begin_to_leave(pod)

    def set_finalizers(self, agent: FakeAgent, finalizers: tuple[str, ...]) -> FakeAgent | None:
        """Say who must agree before the agent goes; the last one gone, its workers go with it."""
        if self.agent is None or (self.agent.uid, self.agent.version) != (agent.uid, agent.version):
            raise RefusalError("conflict")
        if self.agent.deleting and not finalizers:
            self._collect_garbage()
            return None
        return self.change_agent(finalizers=finalizers)

    def change_agent(self, **fields: object) -> FakeAgent:
        """Change the agent; a new spec is a new generation."""
        assert self.agent is not None
        self.version += 1
        generation = self.agent.generation + ("spec" in fields and fields["spec"] != self.agent.spec)
        self.agent = replace(self.agent, version=self.version, generation=generation, **fields)  # type: ignore[arg-type]
        return self.agent

    def delete_agent(self) -> None:
        """Delete the agent, as a person does."""
        assert self.agent is not None
        if self.agent.finalizers:
            self.change_agent(deleting=True)
        else:
            self._collect_garbage()

    def create_agent(self, spec: str) -> None:
        """Create the agent anew."""
        self.version += 1
        self.agents += 1
        self.agent = FakeAgent(f"agent-{self.agents}", self.version, 1, spec)

    def _collect_garbage(self) -> None:
        self.agent = None
        self.config_maps.clear()
        for pod in list(self.pods.values()):
            if pod.leaving_since is None:
                assert not pod.calls, f"the agent went and {pod.seen.ref.name} with it, with {pod.calls} calls"
                self._begin_to_leave(pod)

    # What workers are told, and what they say.

    def state_of(self, uid: str) -> WorkerState | None:
        """Return what a worker says now, if it says anything that can be heard."""
        pod = self.pods.get(uid)
        if pod is None or pod.process is None or pod.process.hung_since is not None or not pod.reachable:
            return None
        process = pod.process
        process.sequence += 1
        sessions = tuple(
            Session(id=call, age_seconds=self.seconds - began) for call, (began, _) in process.sessions.items()
        )
        return WorkerState(
            sequence=process.sequence,
            revision="nonsense" if pod.lie == "revision" else pod.seen.revision,
            pod_uid=uid,
            instance=process.instance,
            # One that lies says fewer slots than it has calls.
            slots=max(0, len(sessions) - 1) if pod.lie == "slots" else pod.slots,
            sessions=sessions,
            registered=process.registers_at <= self.seconds and not self.livekit_is_away,
            looks_for_callers=True,
            cordoned=process.cordoned,
            draining=process.draining,
            asked_load=process.asked_load,
            refused=process.refused,
            secrets_changed_seconds_ago=self._secrets_changed_seconds_ago(pod, process),
        )

    def _secrets_changed_seconds_ago(self, pod: FakePod, process: Process) -> float | None:
        if pod.lie:
            return 0.0
        return None if process.secrets_changed_at is None else self.seconds - process.secrets_changed_at

    def order(self, uid: str, *, cordoned: bool | None = None, load: float | None = None) -> bool:
        """Tell a worker something; False if it cannot be reached."""
        pod = self.pods.get(uid)
        if pod is None or pod.process is None or pod.process.hung_since is not None or not pod.reachable:
            return False
        if cordoned is not None and (cordoned or not pod.process.draining):
            pod.process.cordoned = cordoned
        if load is not None:
            pod.process.asked_load = load
        return True

    # What callers and LiveKit do.

    def call(self, name: str, *, lasts_seconds: float, draw: float) -> bool:
        """Let a call come in; LiveKit draws a worker by weights of 1 - load, and asks another if one refuses."""
        offered = [p for p in self.pods.values() if p.process and self._is_offered_calls(p.process)]
        for pod in offered:
            assert pod.process is not None
            pod.process.refused += not pod.process.open or pod.calls >= pod.slots
        taking = [p for p in offered if p.process and p.process.open and p.calls < p.slots]
        if not taking:
            self.blocked += 1
            self.waiting.setdefault(name, (self.seconds, lasts_seconds))
            return False
        self.waiting.pop(name, None)
        weights = [1 - self._load(pod) for pod in taking]
        left, index = draw * sum(weights), 0
        while index < len(taking) - 1 and left >= weights[index]:
            left, index = left - weights[index], index + 1
        process = taking[index].process
        assert process is not None
        process.sessions[name] = (self.seconds, self.seconds + lasts_seconds)
        return True

    def look_for_callers(self, look: LookForCallers) -> CallersAnswer:
        """Offer as many calls again as the order has room for; whoever waits for too long has hung up."""
        ages = {name: self.seconds - since for name, (since, _) in self.waiting.items()}
        lost = [name for name, age in ages.items() if age > look.order.hold_seconds][:MOST_TOLD]
        ripe = [name for name, age in ages.items() if SETTLED_SECONDS <= age <= look.order.hold_seconds]
        for name in lost:
            del self.waiting[name]
        again = ripe[: look.order.room]
        for name in again:
            self.call(name, lasts_seconds=self.waiting[name][1], draw=0.5)
        return CallersAnswer(waiting=len(ripe) - len(again), dispatched=len(again), lost=len(lost))

    def _is_offered_calls(self, process: Process) -> bool:
        return process.registers_at <= self.seconds and process.hung_since is None and not self.livekit_is_away

    def _load(self, pod: FakePod) -> float:
        asked = pod.process.asked_load if pod.process else None
        return pod.calls / pod.slots - 1 if asked is None else asked

    def hang_up(self, index: int) -> None:
        """Let one call come to its end."""
        calls = [(process, call) for pod in self.pods.values() if (process := pod.process) for call in process.sessions]
        if calls:
            process, call = calls[index % len(calls)]
            del process.sessions[call]

    # What nodes, kubelets and accidents do.

    def crash(self, pod: FakePod) -> None:
        """End a worker's process; the kubelet starts another in the same pod."""
        if pod.process is not None:
            pod.process = None
            pod.starts_at = self.seconds + _RESTART_SECONDS
            self._show(pod, ready=False, ready_since=None, process_stopped=True)

    def fail(self, pod: FakePod) -> None:
        """End a pod for good, as a node without memory does."""
        if not pod.seen.ended:
            pod.process, pod.starts_at = None, None
            trouble = Trouble(Reason.POD_FAILED, "a worker ended: Evicted")
            self._show(pod, phase="Failed", ready=False, ready_since=None, ended_at=self.now, trouble=trouble)

    def look_at_secrets(self, pod: FakePod) -> None:
        """Let the kubelet write what is new, which it does now and then, and whenever its pod is written to."""
        if pod.process is not None and pod.secrets != self.secrets:
            pod.process.secrets_changed_at = self.seconds
        pod.secrets, pod.looks_at = self.secrets, self.seconds + _KUBELET_SECONDS

    def lose(self, pod: FakePod) -> None:
        """Take a pod away with its node."""
        self.version += 1
        del self.pods[pod.seen.ref.uid]
        self._announce(PodEvent(pod.seen.ref.uid, self.version, None))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and let happen what it brings."""
        end = self.seconds + seconds
        while self.seconds < end:
            self.seconds = min(end, max(self._next_moment(), self.seconds + 0.5))
            for pod in list(self.pods.values()):
                self._live_on(pod)

    def _next_moment(self) -> float:
        moments = [self.seconds + 30.0]
        for pod in self.pods.values():
            moments += [m for m in (pod.starts_at, None if pod.node else pod.created_at + 1) if m is not None]
            if pod.process is not None:
                moments.append(pod.process.registers_at)
                moments += [ends for _, ends in pod.process.sessions.values()]
        return min((moment for moment in moments if moment > self.seconds), default=self.seconds)

    def _live_on(self, pod: FakePod) -> None:
        if pod.leaving_since is not None and self._is_over(pod):
            self.lose(pod)
        elif not pod.seen.ended:
            self._start(pod)
            if pod.process is not None:
                self._run(pod, pod.process)

    def _is_over(self, pod: FakePod) -> bool:
        assert pod.leaving_since is not None
        waited = self.seconds - pod.leaving_since
        return waited >= GRACE_SECONDS or (waited >= 1 and not pod.calls)

    def _start(self, pod: FakePod) -> None:
        if not pod.node:
            if not self.is_full and self.seconds >= pod.created_at + 1 and pod.leaving_since is None:
                free = [node for node in NODES if self.scheduler_is_behind or node not in self.leaving_nodes]
                if free:
                    pod.node, pod.starts_at = (
                        free[int(pod.created_at + len(self.pods)) % len(free)],
                        self.seconds + self.start_seconds,
                    )
                    self.look_at_secrets(pod)
                    self._show(pod, scheduled=True, trouble=None)
            return
        if pod.process is not None or pod.starts_at is None or self.seconds < pod.starts_at:
            return
        if pod.seen.revision in self.broken_images and pod.seen.phase == "Pending":
            if pod.seen.trouble is None:
                trouble = Trouble(Reason.IMAGE_PULL, "image 'x' cannot be pulled")
                self._show(pod, process_stopped=True, trouble=trouble)
            return
        if pod.leaving_since is None:
            self.version += 1
            pod.process = Process(f"process-{self.version}", self.seconds + _REGISTER_SECONDS)
            self._show(pod, phase="Running", process_stopped=False, trouble=None)

    def _run(self, pod: FakePod, process: Process) -> None:
        if self.seconds >= pod.looks_at:
            self.look_at_secrets(pod)
        if not pod.seen.ready and process.registers_at <= self.seconds and process.hung_since is None:
            self._show(pod, ready=True, ready_since=self.now)
        if not self.calls_last_for_ever:
            over = [call for call, (_, ends) in process.sessions.items() if ends <= self.seconds]
            for call in over:
                del process.sessions[call]
        if (process.hung_since is not None and self.seconds - process.hung_since >= _LIVENESS_SECONDS) or (
            process.draining and not process.sessions and pod.leaving_since is None
        ):
            self.crash(pod)

    def _begin_to_leave(self, pod: FakePod) -> PodEvent:
        if pod.leaving_since is None:
            pod.leaving_since = self.seconds
            if pod.process is not None:
                pod.process.draining = True
        return self._show(pod, leaving=True)

    def _show(self, pod: FakePod, **fields: object) -> PodEvent:
        self.version += 1
        ref = replace(pod.seen.ref, resource_version=str(self.version))
        pod.seen = replace(pod.seen, ref=ref, **fields)  # type: ignore[arg-type]
        return self._tell(pod)

    def _tell(self, pod: FakePod) -> PodEvent:
        event = PodEvent(pod.seen.ref.uid, int(pod.seen.ref.resource_version), pod.seen, pod.node, pod.owner)
        self._announce(event)
        return event

    def _announce(self, event: PodEvent) -> None:
        for watcher in self.watchers:
            watcher(event)
