"""Gathering all that a decision about a VoiceAgent depends on; what costs much is worked out once for each version."""

from dataclasses import dataclass, replace
from typing import cast

from voicefleet.access import asks_for_labels, may_use_pool
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.fleet import Fleet, Trouble
from voicefleet.fleet.quota import bounded_hearing
from voicefleet.fleet.render import Rendered, find_obstacle, render_agent
from voicefleet.fleet.steps import AgentSeen
from voicefleet.manifests.children import control_key_id
from voicefleet.manifests.revision import Revision, read_revision
from voicefleet.names import config_map_name
from voicefleet.rollout.history import find_revision
from voicefleet_operator.apiserver.kube import Body
from voicefleet_operator.handlers.looking_out import observe_lookout
from voicefleet_operator.handlers.observing_pods import observe_fleet, uid_of
from voicefleet_operator.handlers.parsing import Refused, parse_resource, parse_status
from voicefleet_operator.handlers.remembering import memory_of
from voicefleet_operator.ports import Ports
from voicefleet_operator.turns.memory import AgentMemory
from voicefleet_operator.turns.workqueue import Key


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed."""

    core: AgentSeen
    waits: bool
    """Some pod waits for something that only events tell."""


async def observe_agent(ports: Ports, key: Key, agent: VoiceAgent, body: Body) -> Seen:
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
    stamp = rendered.revision.livekit if rendered is not None else ""
    lookout = memory.fleet.note_watch(await observe_lookout(ports, key, agent, stamp), ports.now())
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
        lookout=replace(lookout, refusal=memory.lookout_refusal),
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
    return (ports.cluster.taken_names(uid_of(ports, key) or "") | labelled) - ours


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
