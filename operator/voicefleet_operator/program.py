"""One run of the operator, from the first request to giving the lead away."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import kopf
from kubernetes.aio import client

from voicefleet_operator.apiserver.cache import CACHED, pool_of
from voicefleet_operator.apiserver.cluster import KubeCluster
from voicefleet_operator.apiserver.kube import Kube, load_configuration
from voicefleet_operator.controller import Controller
from voicefleet_operator.errors import ApiError, ConfigError
from voicefleet_operator.handlers.observing_pods import hear_pod
from voicefleet_operator.handlers.providerpool import reconcile_provider_pool
from voicefleet_operator.handlers.voiceagent import reconcile_voice_agent
from voicefleet_operator.lead.lead import Lead, keep_apart
from voicefleet_operator.lead.lease import Lease
from voicefleet_operator.lead.standby import Standby
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.ports import Ports
from voicefleet_operator.pulse import LastWord, Pulse
from voicefleet_operator.serving import build_app, serve
from voicefleet_operator.settings import Settings
from voicefleet_operator.sight.nodes import Nodes
from voicefleet_operator.sight.resync import Resync
from voicefleet_operator.sight.rounds import Rounds
from voicefleet_operator.sight.sight import MaySee, Sight
from voicefleet_operator.sight.watching import build_registry, build_settings
from voicefleet_operator.turns.pacing import Pacer
from voicefleet_operator.turns.probing import Prober
from voicefleet_operator.turns.workqueue import Key, WorkQueue
from voicefleet_operator.workers.control_key import key_when_answered, read_key_file
from voicefleet_operator.workers.streams import WorkerStreams

logger = logging.getLogger(__name__)

_Value = TypeVar("_Value")
_WORKERS = 8
_SETTLE_SECONDS = 3.0
# To dial them all takes a second for each thousand; who decides before that decides again for each that is heard.
_SETTLE_SECONDS_EACH = 0.001
_FINISH_SECONDS = 15.0
# What the apiserver tells has no cycles, and is so much that to look for some as often as is usual takes a third of the
# time in which it is read.
_COLLECTED_AFTER = (50_000, 20, 20)
HANDLERS = {"VoiceAgent": reconcile_voice_agent, "ProviderPool": reconcile_provider_pool}


@dataclass(slots=True)
class _State:
    """What the probes tell."""

    pulse: Pulse
    metrics: Metrics
    resync: Resync | None = None
    lead: Lead | None = None
    watched: LastWord = field(default_factory=LastWord)
    not_ready: str | None = "starting"
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def why_dead(self) -> str | None:
        """Say why a new process would do better; that this one answers is half the proof that it lives."""
        return self.pulse.why_dead() or (self.resync.why_stale() if self.resync else None)

    def tell(self) -> Iterator[str]:
        """Say how it is, for whoever looks."""
        yield f"event loop {self.pulse.lag_seconds:.3f} s late"
        ages = {
            "lease renewed": self.lead.age_seconds() if self.lead else None,
            "everything listed": self.resync.age_seconds() if self.resync else None,
            "last word of a watch": self.watched.age_seconds(),
        }
        yield from (f"{what} {age:.1f} s ago" for what, age in ages.items() if age is not None)


async def run(settings: Settings) -> int:
    """Run until a signal or a failure; return the exit code."""
    gc.set_threshold(*_COLLECTED_AFTER)
    metrics = Metrics()
    state = _State(Pulse(metrics), metrics)
    app = build_app(metrics, why_dead=state.why_dead, why_not_ready=lambda: state.not_ready, tell=state.tell)
    _stop_on_signals(state.stop)
    runner = await serve(app, settings.http_host, settings.http_port)
    configuration = await load_configuration(settings.kubeconfig)
    kube = Kube(configuration, metrics)
    beating = asyncio.create_task(state.pulse.run(), name="pulse")
    try:
        async with _lead_of(settings, configuration, state) as lead:
            return await _run_with(settings, configuration, kube, state, lead)
    finally:
        beating.cancel()
        await kube.close()
        await runner.cleanup()


@asynccontextmanager
async def _lead_of(settings: Settings, configuration: client.Configuration, state: _State) -> AsyncIterator[Lead]:
    connect = partial(Kube, configuration, state.metrics)
    lease_by = partial(Lease, namespace=settings.own_namespace, name=settings.lease, identity=settings.identity)
    async with keep_apart(connect, lease_by, is_stuck=state.pulse.is_stuck) as lead:
        state.lead = lead
        yield lead


async def _run_with(
    settings: Settings, configuration: client.Configuration, kube: Kube, state: _State, lead: Lead
) -> int:
    key = await _or_stop(_control_key(settings, kube), state.stop)
    if key is None:
        return 0
    may_see = MaySee(settings.watch_nodes, settings.watch_secrets)
    sight = Sight(kube, settings.namespaces, state.metrics, state.watched, may_see)
    state.resync = sight.resync
    for resource in CACHED:
        state.metrics.cached.labels(resource.plural).set_function(partial(len, sight.cache.store(resource)))
    # A standby is ready: it could lead at any moment, and a rolling update may go on.
    state.not_ready = None
    ports, streams = _build_ports(settings, lead, key, sight, state)
    standby = Standby(sight.queue, ports, state.metrics)
    async with aclosing(streams), sight.kept(partial(hear_pod, ports)), standby.kept():
        if await _or_stop(lead.acquire(partial(_hurry, sight.rounds)), state.stop) is None:
            return 0
        state.metrics.leader.set(1)
        state.not_ready = "listing"
        controller = Controller(sight.queue, ports, HANDLERS, state.metrics)
        async with _leading(sight, standby, streams, controller), _probing(ports.probes, settings):
            state.not_ready = None
            registry = build_registry(sight.cache, sight.queue, sight.nodes, state.watched, configuration)
            await _watch(settings, registry, sight.queue, streams, state.stop)
    await lead.release()
    return 0


def _build_ports(
    settings: Settings, lead: Lead, key: bytes, sight: Sight, state: _State
) -> tuple[Ports, WorkerStreams]:
    cache, queue, metrics = sight.cache, sight.queue, state.metrics
    metrics.queue_depth.set_function(lambda: len(queue))
    health_changed = partial(_look_at_its_pool, sight)
    streams = WorkerStreams(queue, metrics, now=_now, may_order=lead.is_valid, health_changed=health_changed)
    cluster = KubeCluster(sight.kube, cache, queue, may_write=lead.is_valid, repair_seconds=settings.repair_seconds)
    ports = Ports(
        cache=cache,
        cluster=cluster,
        workers=streams,
        control_key=key,
        worker_image=settings.worker_image,
        now=_now,
        own_namespace=settings.own_namespace,
        decided=metrics.delays.decided,
        nodes=sight.nodes.nodes if sight.nodes is not None else Nodes(),
        pods_are_old=lambda namespace: lead.is_slow() or state.pulse.is_late() or sight.is_old(namespace),
        secrets_written_at=sight.secrets.writes.written_at if sight.secrets is not None else lambda _pod: None,
        pacer=Pacer(waiting=partial(len, queue)),
        probes=Prober(queue.add),
    )
    return ports, streams


def _look_at_its_pool(sight: Sight, agent: Key) -> None:
    """Have the pool of an agent looked at whose workers have news of its providers."""
    body = sight.cache.agents.get(agent.namespace, agent.name)
    if body is not None:
        sight.queue.add(Key("ProviderPool", *pool_of(body)))


@asynccontextmanager
async def _leading(
    sight: Sight, standby: Standby, streams: WorkerStreams, controller: Controller
) -> AsyncIterator[None]:
    """Take turns for as long as this process leads; end all of it in order."""
    await sight.catch_up()
    _spare_the_collector()
    await standby.hand_over()
    await streams.settle(_SETTLE_SECONDS + _SETTLE_SECONDS_EACH * len(sight.cache.pods))
    # All of these are older than kopf's own tasks: when kopf ends, it cancels everything that is younger.
    workers = [asyncio.create_task(controller.work(), name=f"worker {number}") for number in range(_WORKERS)]
    try:
        yield
    finally:
        sight.queue.close()
        await _end(workers)


@asynccontextmanager
async def _probing(probes: Prober, settings: Settings) -> AsyncIterator[None]:
    """Probe for as long as this process leads, if it is to."""
    tasks = [asyncio.create_task(probes.run(), name="probe")] if settings.probes else []
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _spare_the_collector() -> None:
    """Let the collector look no more at what was listed: it stays, and to walk ten thousand pods stops us for long."""
    gc.collect()
    gc.freeze()


async def _end(workers: list[asyncio.Task[None]]) -> None:
    """Let turns under way come to their end, but not for ever."""
    _, hanging = await asyncio.wait(workers, timeout=_FINISH_SECONDS)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


async def _watch(
    settings: Settings,
    registry: kopf.OperatorRegistry,
    queue: WorkQueue,
    streams: WorkerStreams,
    stop: asyncio.Event,
) -> None:
    """Take in events until a signal; whatever ends kopf by itself ends the operator, and its pod starts anew."""
    ready, enough = asyncio.Event(), asyncio.Event()

    async def end_in_order() -> None:
        await ready.wait()
        await asyncio.sleep(0.1)
        _stop_on_signals(stop)  # kopf took them for itself
        await stop.wait()
        queue.close()
        # Else kopf would wait five seconds for tasks that never end.
        await streams.aclose()
        enough.set()

    ending = asyncio.create_task(end_in_order(), name="end in order")
    try:
        await kopf.operator(
            registry=registry,
            settings=build_settings(),
            # Left to itself kopf asks for the name of our user, and in an image a user has none.
            identity=settings.identity,  # type: ignore[arg-type] # a NewType that kopf does not export
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            ready_flag=ready,
            stop_flag=enough,
        )
    finally:
        ending.cancel()


async def _control_key(settings: Settings, kube: Kube) -> bytes:
    if settings.control_key_file is not None:
        return read_key_file(settings.control_key_file)
    try:
        return await key_when_answered(kube, settings.own_namespace, settings.control_key_secret)
    except ApiError as error:
        where = f"{settings.own_namespace}/{settings.control_key_secret}"
        raise ConfigError(f"the Secret {where} with the control key: {error}") from error


def _hurry(rounds: Sequence[Rounds]) -> None:
    for each in rounds:
        each.hurry()


async def _or_stop(work: Coroutine[None, None, _Value], stop: asyncio.Event) -> _Value | None:
    """Do something that may take for ever, and return what comes of it unless the signal comes first."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    stopping.cancel()
    await asyncio.gather(working, stopping, return_exceptions=True)
    return None if working.cancelled() else working.result()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


def _now() -> datetime:
    return datetime.now(UTC)
