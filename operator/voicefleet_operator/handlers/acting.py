"""Carrying out what was decided about a VoiceAgent; each step is safe to repeat after a crash."""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import chain, islice

from voicefleet.api.metadata import ObjectMeta
from voicefleet.api.types import timestamp
from voicefleet.fleet import Fleet, FleetPlan, PodRef, Worker
from voicefleet.fleet.guards import build_guards
from voicefleet.fleet.lookout import LookoutPlan
from voicefleet.fleet.refreshing import Refresh
from voicefleet.fleet.steps import AgentSeen, AgentSteps
from voicefleet.manifests import Manifest
from voicefleet.manifests.children import build_control_secret
from voicefleet.names import (
    ANNOTATION_CORDONED_AT,
    ANNOTATION_KEPT_AT,
    ANNOTATION_REFRESHED_AT,
    ANNOTATION_SECRETS_CHANGED,
    FINALIZER,
    Reason,
)
from voicefleet_operator.apiserver.kube import VOICE_AGENTS, Body
from voicefleet_operator.errors import ApiError
from voicefleet_operator.ports import Ports

_AT_ONCE = 16


async def apply_steps(ports: Ports, body: Body, seen: AgentSeen, steps: AgentSteps) -> ApiError | None:
    """Do what was decided, calls first and then what adds capacity.

    What the cluster refuses does not keep the rest from being done: return a refusal, one for a person if there is any.
    """
    owner = seen.agent.metadata
    # A mark only makes a guard likely: it is set even where the cluster refuses that.
    likely = build_guards(owner, seen.fleet)
    ports.cluster.trust(owner.uid or "", _done_before_us(ports, seen, steps), likely=likely)
    return await _run(_stages(ports, body, seen, steps))


async def apply_lookout(ports: Ports, namespace: str, plan: LookoutPlan) -> ApiError | None:
    """Do what was decided about a lookout; a cluster that refuses it is no reason to do anything else later."""
    acts: list[Awaitable[None]] = [ports.cluster.create_pod(plan.create)] if plan.create is not None else []
    acts += [ports.cluster.delete_pod(namespace, plan.delete)] if plan.delete is not None else []
    acts += _refreshes(ports, namespace, plan.refresh)
    return await _run(acts)


async def run_fleet_plan(ports: Ports, body: Body, fleet: Fleet, plan: FleetPlan) -> ApiError | None:
    """Do what was decided about a fleet to which nothing is added; return a refusal, if there is any."""
    owner = ObjectMeta.model_validate({key: body["metadata"][key] for key in ("name", "namespace", "uid")})
    stages = chain(_first(ports, owner, fleet, plan), _last(ports, owner.namespace or "", fleet, plan, {}))
    return await _run(stages)


def _done_before_us(ports: Ports, seen: AgentSeen, steps: AgentSteps) -> Iterator[Manifest]:
    """Yield what an operator before us applied, as the status tells."""
    if steps.children is not None and seen.before.children_digest == steps.children:
        yield from (*steps.apply, build_control_secret(seen.agent, ports.control_key))


async def _run(stages: Iterable[Awaitable[None]]) -> ApiError | None:
    failures: list[ApiError] = []
    for stage in stages:
        try:
            await stage
        except ApiError as error:
            failures.append(error)
    return max(failures, key=lambda failure: failure.needs_a_person, default=None)


async def _side_by_side(*rows: Iterable[Awaitable[None]]) -> None:
    for failure in await asyncio.gather(*map(_run, rows)):
        if failure is not None:
            raise failure


def _stages(ports: Ports, body: Body, seen: AgentSeen, steps: AgentSteps) -> Iterator[Awaitable[None]]:
    namespace = seen.agent.metadata.namespace or ""
    yield from _first(ports, seen.agent.metadata, seen.fleet, steps.fleet)
    yield _add(ports, seen, steps)
    yield _set_finalizer(ports, body, steps)
    yield from _last(ports, namespace, seen.fleet, steps.fleet, dict(steps.resources))
    yield _all(ports.cluster.remove(kind, namespace, name, owner=body) for kind, name in steps.remove)


def _first(ports: Ports, owner: ObjectMeta, fleet: Fleet, plan: FleetPlan) -> Iterator[Awaitable[None]]:
    """Yield what guards calls, and beside it what gives callers room: that does not wait for a slow apiserver."""
    yield _side_by_side(_guard(ports, owner, fleet, plan), _open(ports, owner.namespace or "", plan))


def _guard(ports: Ports, owner: ObjectMeta, fleet: Fleet, plan: FleetPlan) -> Iterator[Awaitable[None]]:
    # First the guard: a mark by itself stops no eviction.
    yield _all(ports.cluster.apply(guard) for guard in build_guards(owner, fleet, plan.mark))
    yield _all(ports.cluster.mark_pod(owner.namespace or "", mark) for mark in plan.mark)


def _open(ports: Ports, namespace: str, plan: FleetPlan) -> Iterator[Awaitable[None]]:
    yield _all(_call_back(ports, namespace, pod) for pod in plan.uncordon)
    yield _all(ports.workers.report_load(order.pod.uid, order.load) for order in plan.loads)


def _last(
    ports: Ports, namespace: str, fleet: Fleet, plan: FleetPlan, resources: Mapping[str, str]
) -> Iterator[Awaitable[None]]:
    """Yield what takes room away, which comes only after what adds it."""
    cluster, going = ports.cluster, set(plan.delete)
    leaving = [worker for worker in fleet if worker.pod.ref in going]
    noted = {ANNOTATION_CORDONED_AT: timestamp(ports.now())}
    yield _all(cluster.annotate_pod(namespace, pod, {ANNOTATION_CORDONED_AT: None}) for pod in plan.unstamp)
    yield _all(ports.workers.cordon(pod.uid) for pod in plan.cordon)
    yield _all(cluster.annotate_pod(namespace, pod, noted) for pod in plan.stamp)
    yield _all(_refreshes(ports, namespace, plan.refresh))
    yield _all(cluster.resize_pod(namespace, pod, resources) for pod in plan.resize)
    yield _all(_delete(ports, namespace, w.pod.ref) for w in leaving if _is_still_idle(ports, w))
    yield _all(cluster.end_pod(namespace, pod) for pod in plan.end)


async def _delete(ports: Ports, namespace: str, pod: PodRef) -> None:
    try:
        await ports.cluster.delete_pod(namespace, pod)
    except ApiError as error:
        # Whoever gave no answer may yet do what it was asked.
        if error.status == 0 or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            ports.unanswered.add(pod.uid)
        raise
    ports.unanswered.discard(pod.uid)


async def _call_back(ports: Ports, namespace: str, pod: PodRef) -> None:
    """Tell a worker to take calls again, once no deletion from before can take place: it was of another version."""
    if pod.uid in ports.unanswered:
        # To the microsecond: what is written there already would make no other version.
        await ports.cluster.annotate_pod(namespace, pod, {ANNOTATION_KEPT_AT: ports.now().isoformat()})
        ports.unanswered.discard(pod.uid)
    await ports.workers.uncordon(pod.uid)


def _refreshes(ports: Ports, namespace: str, refreshes: Iterable[Refresh]) -> Iterator[Awaitable[None]]:
    moment = {ANNOTATION_REFRESHED_AT: timestamp(ports.now())}
    for each in refreshes:
        word = {ANNOTATION_SECRETS_CHANGED: each.word} if each.word else {}
        yield ports.cluster.annotate_pod(namespace, each.pod, moment | word)


async def _set_finalizer(ports: Ports, body: Body, steps: AgentSteps) -> None:
    finalizers = [name for name in body["metadata"].get("finalizers", []) if name != FINALIZER]
    if steps.finalizer is not None:
        wanted = [*finalizers, FINALIZER] if steps.finalizer == "add" else finalizers
        await ports.cluster.set_finalizers(VOICE_AGENTS, body, wanted)


async def _add(ports: Ports, seen: AgentSeen, steps: AgentSteps) -> None:
    if steps.children is not None:
        await _apply_children(ports, seen, steps)
    await _all(ports.cluster.create_pod(manifest) for manifest in steps.create)


async def _apply_children(ports: Ports, seen: AgentSeen, steps: AgentSteps) -> None:
    """Apply what stands beside the pods."""
    cluster = ports.cluster
    # Its predecessor's went with it while ours was already thought to be there.
    lookout = [seen.lookout.own] if seen.lookout.own is not None else []
    pods = [worker.pod for worker in (*seen.fleet, *lookout)]
    again = any(pod.trouble is not None and pod.trouble.reason is Reason.SECRET_MISSING for pod in pods)
    secret = cluster.create_secret(build_control_secret(seen.agent, ports.control_key), again=again)
    await _all(iter([secret, *(cluster.apply(manifest) for manifest in steps.apply)]))


def _is_still_idle(ports: Ports, worker: Worker) -> bool:
    """Ask again at the last moment: what was done in between took time, in which a worker may have spoken."""
    return Worker(worker.pod, ports.workers.heard(worker.pod.ref.uid)).may_be_deleted(ports.now())


async def _all(acts: Iterable[Awaitable[None]]) -> None:
    """Do several things, a few at a time; after a failure no more are begun, and the next turn does the rest."""
    for batch in batched(acts, _AT_ONCE):
        for outcome in await asyncio.gather(*batch, return_exceptions=True):
            if outcome is not None:
                raise outcome


def batched(acts: Iterable[Awaitable[None]], size: int) -> Iterator[list[Awaitable[None]]]:
    """Cut a series into pieces."""
    pending = iter(acts)
    while piece := list(islice(pending, size)):
        yield piece
