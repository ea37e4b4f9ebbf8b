"""The decision about one VoiceAgent, whole: what to apply, what to create, what to do with its fleet."""

from dataclasses import dataclass
from datetime import datetime

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.dialogue import DialogueProblem, plan_dialogue
from voicefleet.fleet.gaps import name_gaps
from voicefleet.fleet.observed import Fleet, Trouble
from voicefleet.fleet.plan import FleetPlan, Wanted, plan_fleet, plan_marks
from voicefleet.fleet.size import Size, plan_size
from voicefleet.manifests import Manifest
from voicefleet.manifests.children import build_children
from voicefleet.manifests.pod import build_pod, plan_pods
from voicefleet.names import Reason


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """A VoiceAgent with all that its decision depends on."""

    agent: VoiceAgent
    fleet: Fleet
    pool: ProviderPool | None = None
    pool_is_allowed: bool = True


@dataclass(frozen=True, slots=True)
class AgentSteps:
    """What to do about a VoiceAgent, in this order: apply, create, then the rest of the fleet's plan."""

    fleet: FleetPlan
    apply: tuple[Manifest, ...] = ()
    create: tuple[Manifest, ...] = ()
    revision: str | None = None
    size: Size | None = None
    obstacle: Trouble | None = None
    """Why the fleet cannot be brought to its spec at all; until it is gone, the fleet stays as it is."""
    not_yet: tuple[str, ...] = ()
    """Fields that were written down and that this version does not act on."""


def plan_agent(seen: AgentSeen, *, default_image: str, now: datetime) -> AgentSteps:
    """Return the next steps about one agent."""
    agent = seen.agent
    if agent.metadata.deletion_timestamp is not None:
        return AgentSteps(plan_marks(seen.fleet, now=now))
    obstacle = _find_obstacle(seen)
    if obstacle is not None or seen.pool is None:
        return AgentSteps(plan_marks(seen.fleet, now=now), obstacle=obstacle)
    dialogue = plan_dialogue(agent, seen.pool)
    if isinstance(dialogue, DialogueProblem):
        return AgentSteps(plan_marks(seen.fleet, now=now), obstacle=_put_in_words(dialogue, seen.pool))
    pods = plan_pods(agent, seen.pool, default_image=default_image)
    size = plan_size(agent.spec, seen.fleet, now=now)
    wanted = Wanted(pods.revision, size, agent.spec.rollout.max_surge_percent)
    plan = plan_fleet(wanted, seen.fleet, now=now)
    return AgentSteps(
        fleet=plan,
        apply=build_children(agent, seen.pool),
        create=tuple(build_pod(agent, pods, number) for number in plan.create),
        revision=pods.revision,
        size=size,
        not_yet=(*dialogue.not_yet, *name_gaps(agent.spec)),
    )


def _put_in_words(problem: DialogueProblem, pool: ProviderPool) -> Trouble:
    """Say at once what workers would refuse to start with, instead of letting them crash over it."""
    where = f"{problem.field} of ProviderPool {pool.metadata.name!r}" if problem.source == "pool" else problem.field
    return Trouble(Reason.INVALID, f"{where}: {problem.message}.")


def _find_obstacle(seen: AgentSeen) -> Trouble | None:
    ref, here = seen.agent.spec.provider_pool_ref, seen.agent.metadata.namespace
    where = ref.namespace or here
    if seen.pool is None:
        message = (
            f"ProviderPool {ref.name!r} does not exist in namespace {where!r}, or its spec is not valid: "
            "create or correct it, or correct spec.providerPoolRef."
        )
        return Trouble(Reason.POOL_MISSING, message)
    if not seen.pool_is_allowed:
        message = (
            f"ProviderPool {ref.name!r} of namespace {where!r} does not let namespace {here!r} use it: "
            "its owner must add the namespace to spec.allowedNamespaces."
        )
        return Trouble(Reason.POOL_FORBIDDEN, message)
    return None
