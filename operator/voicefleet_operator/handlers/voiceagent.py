"""VoiceAgent: its children and its fleet."""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from itertools import islice

from voicefleet.access import asks_for_labels, may_use_pool
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.fleet import Fleet, Trouble, Worker
from voicefleet.fleet.plan import plan_marks
from voicefleet.fleet.steps import AgentSeen, AgentSteps, plan_agent
from voicefleet.manifests.children import build_control_secret, control_token
from voicefleet.names import Reason
from voicefleet.report.agent import report_agent, report_invalid_agent
from voicefleet_operator.errors import ApiError
from voicefleet_operator.handlers.parsing import Refused, parse_resource, parse_status
from voicefleet_operator.handlers.reporting import write_if_changed
from voicefleet_operator.kube import VOICE_AGENTS, Body
from voicefleet_operator.pods import address_of, find_mount_failure, read_pod, waits_for_volumes
from voicefleet_operator.ports import GONE, Address, Ports
from voicefleet_operator.workqueue import Key

# Enough for a word about what is wrong; ten pods of a fleet rarely wait for ten things.
_PODS_ASKED_ABOUT = 3
_ASK_AGAIN = timedelta(seconds=5)
_AT_ONCE = 8
_FOR_A_PERSON = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)


async def reconcile_voice_agent(key: Key, ports: Ports) -> timedelta | None:
    """Bring one agent's fleet a step towards its spec and report it; return when to look again."""
    body = ports.cache.agents.get(key.namespace, key.name)
    if body is None:
        follow_workers(ports, key)
        return GONE
    agent = parse_resource(VoiceAgent, body)
    if isinstance(agent, Refused):
        return await _reconcile_invalid(ports, key, body, agent)
    before = parse_status(VoiceAgentStatus, body)
    seen = await observe_agent(ports, key, agent)
    now = ports.now()
    steps = plan_agent(seen.core, default_image=ports.worker_image, now=now)
    failure = await apply_steps(ports, seen.core, steps)
    status = report_agent(seen.core, steps, before, now=now, refused=_in_words(failure))
    await write_if_changed(ports, VOICE_AGENTS, body, before, status)
    if failure is not None:
        raise failure
    return _ASK_AGAIN if seen.waits else steps.fleet.look_again_after


async def _reconcile_invalid(ports: Ports, key: Key, body: Body, refused: Refused) -> timedelta | None:
    """Leave a fleet as it is whose spec cannot be read; its calls are guarded and counted all the same."""
    before = parse_status(VoiceAgentStatus, body)
    fleet, _ = await _observe_fleet(ports, key)
    now = ports.now()
    plan = plan_marks(fleet, now=now)
    generation = body["metadata"].get("generation")
    status = report_invalid_agent(before, fleet, refused.message, generation=generation, now=now)
    await _all(ports.cluster.mark_pod(key.namespace, mark) for mark in plan.mark)
    await write_if_changed(ports, VOICE_AGENTS, body, before, status)
    return plan.look_again_after


@dataclass(frozen=True, slots=True)
class _Seen:
    core: AgentSeen
    waits: bool
    """Some pod waits for something that only events tell."""


async def observe_agent(ports: Ports, key: Key, agent: VoiceAgent) -> _Seen:
    """Gather all that a decision about the agent depends on."""
    pool, allowed = await _observe_pool(ports, agent)
    fleet, waits = await _observe_fleet(ports, key)
    return _Seen(AgentSeen(agent, fleet, pool, allowed), waits)


async def _observe_fleet(ports: Ports, key: Key) -> tuple[Fleet, bool]:
    bodies = follow_workers(ports, key)
    waiting = [body for body in bodies if waits_for_volumes(body)]
    failures = await _read_mount_failures(ports, waiting[:_PODS_ASKED_ABOUT])
    pods = [read_pod(body, failures.get(body["metadata"]["uid"])) for body in bodies]
    return Fleet(tuple(Worker(pod, ports.workers.heard(pod.ref.uid)) for pod in pods)), bool(waiting)


def follow_workers(ports: Ports, key: Key) -> list[Body]:
    """Hear an agent's workers from now on, and return its pods; one that is owned by a namesake is not among them."""
    agent = ports.cache.agents.get(key.namespace, key.name)
    uid = agent["metadata"]["uid"] if agent else None
    bodies = [body for body in ports.cache.pods.of_agent(key.namespace, key.name) if uid in _owners(body)]
    token = control_token(ports.control_key, key.namespace, key.name)
    addresses = {
        body["metadata"]["uid"]: Address(key.namespace, body["metadata"]["name"], host, token)
        for body in bodies
        if (host := address_of(body))
    }
    ports.workers.follow(key, addresses)
    return bodies


def _owners(body: Body) -> set[str]:
    return {owner["uid"] for owner in body["metadata"].get("ownerReferences", [])}


async def _read_mount_failures(ports: Ports, bodies: Iterable[Body]) -> dict[str, str | None]:
    found = {}
    for body in bodies:
        uid = body["metadata"]["uid"]
        found[uid] = find_mount_failure(await ports.cluster.read_pod_events(body["metadata"]["namespace"], uid))
    return found


async def _observe_pool(ports: Ports, agent: VoiceAgent) -> tuple[ProviderPool | None, bool]:
    ref, here = agent.spec.provider_pool_ref, agent.metadata.namespace or ""
    body = ports.cache.pools.get(ref.namespace or here, ref.name)
    pool = parse_resource(ProviderPool, body) if body else None
    if pool is None or isinstance(pool, Refused):
        return None, True
    labels = await ports.cluster.read_namespace_labels(here) if asks_for_labels(pool, here) else {}
    return pool, may_use_pool(pool, here, labels)


async def apply_steps(ports: Ports, seen: AgentSeen, steps: AgentSteps) -> ApiError | None:
    """Do what was decided, calls first and then what adds capacity; each step is safe to repeat after a crash.

    What the cluster refuses does not keep the rest from being done: return the first refusal.
    """
    failure: ApiError | None = None
    for stage in _stages(ports, seen, steps):
        try:
            await stage
        except ApiError as error:
            failure = failure or error
    return failure


def _stages(ports: Ports, seen: AgentSeen, steps: AgentSteps) -> Iterator[Awaitable[None]]:
    namespace, plan = seen.agent.metadata.namespace or "", steps.fleet
    yield _all(ports.cluster.mark_pod(namespace, mark) for mark in plan.mark)
    yield _all(ports.workers.uncordon(pod.uid) for pod in plan.uncordon)
    yield _add(ports, seen, steps)
    yield _all(ports.workers.cordon(pod.uid) for pod in plan.cordon)
    going = set(plan.delete)
    workers = [worker for worker in seen.fleet if worker.pod.ref in going]
    yield _all(ports.cluster.delete_pod(namespace, w.pod.ref) for w in workers if _is_still_idle(ports, w))


async def _add(ports: Ports, seen: AgentSeen, steps: AgentSteps) -> None:
    if steps.revision is not None:
        # Its predecessor's went with it while ours was already thought to be there.
        again = any(w.pod.trouble and w.pod.trouble.reason is Reason.SECRET_MISSING for w in seen.fleet)
        await ports.cluster.create_secret(build_control_secret(seen.agent, ports.control_key), again=again)
    for manifest in steps.apply:
        await ports.cluster.apply(manifest)
    await _all(ports.cluster.create_pod(manifest) for manifest in steps.create)


def _is_still_idle(ports: Ports, worker: Worker) -> bool:
    """Ask again at the last moment: what was done in between took time, in which a worker may have spoken."""
    return Worker(worker.pod, ports.workers.heard(worker.pod.ref.uid)).may_be_deleted(ports.now())


def _in_words(failure: ApiError | None) -> Trouble | None:
    """Say what time does not mend: a quota, a policy, a template that the cluster does not take."""
    if failure is None or failure.status not in _FOR_A_PERSON:
        return None
    return Trouble(Reason.REFUSED, f"the cluster refuses what this agent needs: {failure}")


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
