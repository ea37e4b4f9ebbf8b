"""Gathering all that a decision about a VoiceAgent depends on; what costs much is worked out once for each version."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

from voicefleet.access import asks_for_labels, may_use_pool
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.fleet import Fleet, Trouble, Worker
from voicefleet.fleet.lookout import Lookout
from voicefleet.fleet.quota import bounded_hearing
from voicefleet.fleet.render import Rendered, find_obstacle, render_agent
from voicefleet.fleet.steps import AgentSeen
from voicefleet.manifests.children import control_key_id, control_token
from voicefleet.manifests.revision import Revision, read_revision
from voicefleet.names import config_map_name, lookout_name
from voicefleet.rollout.history import find_revision
from voicefleet_operator.apiserver.kube import Body
from voicefleet_operator.handlers.parsing import Refused, parse_resource, parse_status
from voicefleet_operator.handlers.remembering import memory_of
from voicefleet_operator.ports import Address, Ports
from voicefleet_operator.sight.pods import address_of, find_start_failure, read_pod, waits_for_volumes
from voicefleet_operator.turns.memory import AgentMemory
from voicefleet_operator.turns.workqueue import Key

# Enough for a word about what is wrong; ten pods of a fleet rarely wait for ten things.
_PODS_ASKED_ABOUT = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed."""

    core: AgentSeen
    waits: bool
    """Some pod waits for something that only events tell."""


async def observe_agent(ports: Ports, key: Key, agent: VoiceAgent, body: Body, lookout: Lookout) -> Seen:
    """Gather all that a decision about the agent depends on."""
    memory = memory_of(ports.memories, AgentMemory, key, body)
    pool, allowed = await _observe_pool(ports, memory, agent)
    fleet, waits = await observe_fleet(ports, key)
    fleet = memory.date_ends(fleet, ports.now())
    before = parse_status(VoiceAgentStatus, body)
    memory.fleet.observe(agent.spec, fleet, ports.now(), told=before)
    memory.note_tallies(fleet, compared=agent.spec.rollout.canary is not None)
    fleet = memory.fleet.doubts.cast(fleet, ports.now())
    obstacle = find_obstacle(agent, pool, pool_is_allowed=allowed)
    rendered = _render(ports, memory, agent, pool) if pool is not None and obstacle is None else None
    if isinstance(rendered, Trouble):
        obstacle, rendered = rendered, None
    watched = memory.fleet.is_watched(fleet, lookout.watchman, ports.now())
    seen = AgentSeen(
        agent=agent,
        fleet=fleet,
        lessons=memory.fleet.lessons(ports.now()),
        control_key_id=control_key_id(ports.control_key),
        pool=pool,
        rendered=rendered,
        obstacle=obstacle,
        kept=await _read_kept(ports, agent, before, rendered),
        before=before,
        figures=memory.ledger.since_look(),
        ended_lately=memory.ended_calls.look(ports.now()),
        drains=memory.drains,
        worker_hours=memory.fleet.worker_hours,
        held_by_others=_held_by_others(ports, key, agent, pool, fleet),
        took_calls_at=memory.fleet.took_calls_at,
        rest=memory.fleet.rest,
        taken_names=_taken_names(ports, key, fleet),
        callers=memory.fleet.callers,
        lookout=replace(lookout, unwatched_since=memory.fleet.unwatched_since),
        watched=watched,
    )
    return Seen(seen, waits)


def _held_by_others(ports: Ports, key: Key, agent: VoiceAgent, pool: ProviderPool | None, fleet: Fleet) -> int:
    """Return what other agents hold of the quotas that bound this one's calls, and let them know what it holds."""
    hearing = bounded_hearing(agent.spec, pool) if pool is not None else None
    ports.held_calls.note(str(key), hearing, sum(worker.calls_by_last_word(ports.now()) for worker in fleet))
    return ports.held_calls.by_others(str(key), hearing)


def _render(ports: Ports, memory: AgentMemory, agent: VoiceAgent, pool: ProviderPool) -> Rendered | Trouble:
    version = (agent.metadata.generation, pool.metadata.uid, pool.metadata.generation)
    if agent.metadata.generation is None or memory.rendered.version != version:
        memory.rendered.version = version
        memory.rendered.value = render_agent(
            agent,
            pool,
            default_image=ports.worker_image,
            operator_namespace=ports.own_namespace,
            control_key_id=control_key_id(ports.control_key),
        )
    return cast("Rendered | Trouble", memory.rendered.value)


async def _read_kept(
    ports: Ports, agent: VoiceAgent, before: VoiceAgentStatus, rendered: Rendered | None
) -> dict[str, Revision]:
    """Return the revisions that calls may go to besides the one of the spec, if there is one, as they were kept."""
    if before.rollout is None:
        return {}
    rendered_name = rendered.revision.name if rendered is not None else None
    wanted = {before.rollout.revision, before.rollout.stable}
    if agent.spec.rollout.undo_to_revision is not None:
        undone = find_revision(before.revisions, agent.spec.rollout.undo_to_revision)
        wanted.add(undone.name if undone else None)
    kept: dict[str, Revision] = {}
    for name in sorted(name for name in wanted - {rendered_name} if name):
        where = config_map_name(agent.metadata.name, name)
        body = await ports.cluster.read_config_map(agent.metadata.namespace or "", where)
        revision = read_revision(name, body) if body else None
        if revision is not None:
            kept[name] = revision
    return kept


def _taken_names(ports: Ports, key: Key, fleet: Fleet) -> frozenset[str]:
    """Return the names of pods that belong to somebody else, or to nobody any more, or that lost the agent's label."""
    ours = {worker.pod.ref.name for worker in fleet}
    labelled = {body["metadata"]["name"] for body in ports.cache.pods.of_agent(key.namespace, key.name)}
    return (ports.cluster.taken_names(_uid_of(ports, key) or "") | labelled) - ours


async def observe_fleet(ports: Ports, key: Key) -> tuple[Fleet, bool]:
    """Return an agent's fleet, and whether some of it waits for something that only events tell."""
    bodies = follow_workers(ports, key)
    waiting = [body for body in bodies if waits_for_volumes(body)]
    failures = await _read_start_failures(ports, waiting[:_PODS_ASKED_ABOUT])
    workers = tuple(read_worker(ports, body, failures.get(body["metadata"]["uid"])) for body in bodies)
    return Fleet(workers, is_old=ports.pods_are_old(key.namespace)), bool(waiting)


def read_worker(ports: Ports, body: Body, start_failure: str | None = None) -> Worker:
    """Return a pod with what its worker has said."""
    pod = read_pod(body, start_failure)
    if ports.nodes.must_go(body):
        pod = replace(pod, node_is_leaving=True)
    if (written_at := ports.secrets_written_at(body)) is not None:
        pod = replace(pod, secrets_written_at=written_at)
    return Worker(pod, ports.workers.heard(pod.ref.uid), ports.workers.problem(pod.ref.uid))


def follow_workers(ports: Ports, key: Key) -> list[Body]:
    """Hear an agent's workers and its lookout from now on, and return the workers' pods."""
    bodies = _pods_of(ports, key)
    token = control_token(ports.control_key, key.namespace, key.name)
    addresses = {
        body["metadata"]["uid"]: Address(key.namespace, body["metadata"]["name"], host, token)
        for body in bodies
        if (host := address_of(body))
    }
    ports.workers.follow(key, addresses)
    return _without_lookout(key, bodies)


def pods_of(ports: Ports, key: Key) -> list[Body]:
    """Return the pods of an agent's workers."""
    return _without_lookout(key, _pods_of(ports, key))


def _pods_of(ports: Ports, key: Key) -> list[Body]:
    """Return an agent's pods; one that is owned by a namesake is not among them."""
    uid = _uid_of(ports, key)
    return [body for body in ports.cache.pods.of_agent(key.namespace, key.name) if uid in _owners(body)]


def _without_lookout(key: Key, bodies: Iterable[Body]) -> list[Body]:
    name = lookout_name(key.name)
    return [body for body in bodies if body["metadata"]["name"] != name]


def is_owned(ports: Ports, key: Key, body: Body) -> bool:
    """Tell whether a pod belongs to an agent, and not to a namesake that was there before it."""
    return _uid_of(ports, key) in _owners(body)


def hear_pod(ports: Ports, key: Key, body: Body) -> None:
    """Hear a worker that has just come up, however long its agent waits for its turn.

    One that is up and was never heard may hold calls for all we know: of thousands that are merely not yet listened
    to, each would be guarded and marked.
    """
    if (host := address_of(body)) and is_owned(ports, key, body):
        token = control_token(ports.control_key, key.namespace, key.name)
        address = Address(key.namespace, body["metadata"]["name"], host, token)
        ports.workers.hear(key, body["metadata"]["uid"], address)


def _uid_of(ports: Ports, key: Key) -> str | None:
    agent = ports.cache.agents.get(key.namespace, key.name)
    return agent["metadata"]["uid"] if agent else None


def _owners(body: Body) -> set[str]:
    return {owner["uid"] for owner in body["metadata"].get("ownerReferences", [])}


async def _read_start_failures(ports: Ports, bodies: Iterable[Body]) -> dict[str, str | None]:
    found = {}
    for body in bodies:
        uid = body["metadata"]["uid"]
        found[uid] = find_start_failure(await ports.cluster.read_pod_events(body["metadata"]["namespace"], uid))
    return found


async def _observe_pool(ports: Ports, memory: AgentMemory, agent: VoiceAgent) -> tuple[ProviderPool | None, bool]:
    ref, here = agent.spec.provider_pool_ref, agent.metadata.namespace or ""
    body = ports.cache.pools.get(ref.namespace or here, ref.name)
    if body is None:
        return None, True
    metadata = body["metadata"]
    # Its status changes all the time, and says nothing to an agent.
    version = (metadata["uid"], metadata.get("generation") or metadata["resourceVersion"])
    if memory.pool.version != version:
        memory.pool.version, memory.pool.value = version, parse_resource(ProviderPool, body)
    pool = cast("ProviderPool | Refused | None", memory.pool.value)
    if pool is None or isinstance(pool, Refused):
        return None, True
    labels = await ports.cluster.read_namespace_labels(here) if asks_for_labels(pool, here) else {}
    return pool, may_use_pool(pool, here, labels)
