"""The decision about one VoiceAgent, whole: what to apply, what to create, what to do with its fleet."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.autoscaling.load import Lessons, Outlook, Size
from voicefleet.autoscaling.packing import REST, choose_rest
from voicefleet.fleet.callers import NOTHING_KNOWN, Callers, LookForCallers, Scene, plan_look
from voicefleet.fleet.ended import NOTHING_ENDED, EndedLately
from voicefleet.fleet.live import calls_of_workers, live_revisions
from voicefleet.fleet.lookout import AS_IT_IS, NO_LOOKOUT, Lookout, LookoutPlan, let_go, plan_lookout
from voicefleet.fleet.observed import Fleet, Trouble
from voicefleet.fleet.plan import FleetPlan, plan_farewell, plan_fleet, plan_marks
from voicefleet.fleet.render import Rendered
from voicefleet.fleet.size import Spent, ceilings_of, loads_of, plan_fleet_size
from voicefleet.fleet.wanted import FAILED_REST, Drain, Wanted
from voicefleet.manifests import Manifest
from voicefleet.manifests.lookout import build_lookout
from voicefleet.manifests.revision import Revision, build_pod, secrets_changed, slots_of
from voicefleet.names import (
    ANNOTATION_PROMOTE,
    FINALIZER,
    Reason,
    agent_dispatch_name,
    config_map_name,
    lookout_name,
)
from voicefleet.rollout import Drains, Figures, RolloutDecision, RolloutSeen, plan_rollout


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """A VoiceAgent with all that its decision depends on."""

    agent: VoiceAgent
    fleet: Fleet
    lessons: Lessons
    control_key_id: str
    """Which of its keys opens the control ports of new workers."""
    pool: ProviderPool | None = None
    rendered: Rendered | None = None
    obstacle: Trouble | None = None
    kept: Mapping[str, Revision] = field(default_factory=dict)
    """Revisions that are no longer what the spec asks for, and can be made again."""
    before: VoiceAgentStatus = field(default_factory=VoiceAgentStatus)
    """What was said last; a rollout goes on from there."""
    figures: Mapping[str, Figures] = field(default_factory=dict)
    ended_lately: EndedLately = NOTHING_ENDED
    """How the calls that ended lately have ended; nothing is decided by it, and it is told."""
    drains: Drains | None = None
    worker_hours: float = 0.0
    held_by_others: int = 0
    """Calls that other agents hold under the quota of who hears this one's."""
    took_calls_at: Mapping[str, datetime] = field(default_factory=dict)
    """When each worker was last seen to take calls, by the uid of its pod."""
    rest: timedelta = FAILED_REST
    taken_names: frozenset[str] = frozenset()
    callers: Callers = NOTHING_KNOWN
    lookout: Lookout = NO_LOOKOUT
    watched: bool = False
    """A call would be seen if there were no workers."""


@dataclass(frozen=True, slots=True)
class AgentSteps:
    """What to do about a VoiceAgent, in this order: finalizer, apply, create, then the rest of the fleet's plan."""

    fleet: FleetPlan
    apply: tuple[Manifest, ...] = ()
    create: tuple[Manifest, ...] = ()
    children: str | None = None
    """Digest of all that is applied."""
    remove: tuple[tuple[str, str], ...] = ()
    """Kind and name of children that are no longer wanted."""
    finalizer: Literal["add", "remove"] | None = None
    resources: Mapping[str, str] = field(default_factory=dict)
    """Cores and memory for pods that are resized."""
    revision: str | None = None
    rollout: RolloutDecision | None = None
    size: Size | None = None
    obstacle: Trouble | None = None
    """Why the fleet cannot be brought to its spec at all; until it is gone, the fleet stays at what it was before."""
    look: LookForCallers | None = None
    """Callers who found no slot are to be looked for."""
    lookout: LookoutPlan = AS_IT_IS
    lost: str | None = None
    """A revision of which workers are wanted, and whose files are gone."""
    not_yet: tuple[str, ...] = ()
    """Fields that were written down and that this version does not act on."""


def plan_agent(seen: AgentSeen, *, now: datetime) -> AgentSteps:
    """Return the next steps about one agent."""
    if seen.agent.metadata.deletion_timestamp is not None:
        return _plan_farewell(seen, now)
    finalizer = _finalizer(seen)
    look = plan_look(scene_of(seen, seen.callers), now)
    if seen.obstacle is not None or seen.pool is None or seen.rendered is None:
        return replace(_plan_as_before(seen, now), finalizer=finalizer, look=look)
    size = _plan_size(seen, now)
    rollout = plan_agent_rollout(seen, seen.rendered.revision.name, size, now)
    revisions = {**seen.kept, seen.rendered.revision.name: seen.rendered.revision}
    plan = plan_fleet(_wanted(seen, size, rollout, revisions), seen.fleet, now=now)
    steps = AgentSteps(
        fleet=plan,
        apply=seen.rendered.children,
        children=seen.rendered.digest,
        create=_new_pods(seen, plan, revisions),
        finalizer=finalizer,
        resources=seen.rendered.revision.resources,
        remove=(*seen.rendered.unwanted, *_forgotten(seen, rollout)),
        revision=rollout.target,
        rollout=rollout,
        size=size,
        look=look,
        lost=next((new.revision for new in plan.create if new.revision not in revisions), None),
        not_yet=seen.rendered.not_yet,
    )
    return _with_lookout(seen, steps, revisions, now)


def _plan_as_before(seen: AgentSeen, now: datetime) -> AgentSteps:
    """Go on with the revision that was asked for last, while the spec asks for what cannot be had.

    Its callers know nothing of that: workers are made and emptied as they come, for as long as its files are kept. Of
    a pool that is withheld nobody gets another worker.
    """
    before, obstacle = seen.before.rollout, seen.obstacle
    if before is None or before.revision not in seen.kept or (obstacle and obstacle.reason is Reason.POOL_FORBIDDEN):
        return AgentSteps(plan_marks(seen.fleet, now=now), obstacle=obstacle, lookout=let_go(seen.lookout, now))
    seen = _with_slots(seen, slots_of(seen.kept[before.revision]))
    size = _plan_size(seen, now)
    rollout = plan_agent_rollout(seen, before.revision, size, now)
    plan = plan_fleet(_wanted(seen, size, rollout, seen.kept), seen.fleet, now=now)
    steps = AgentSteps(
        fleet=plan,
        create=_new_pods(seen, plan, seen.kept),
        remove=_forgotten(seen, rollout),
        revision=rollout.target,
        rollout=rollout,
        size=size,
        obstacle=obstacle,
    )
    return _with_lookout(seen, steps, seen.kept, now)


def _with_lookout(seen: AgentSeen, steps: AgentSteps, revisions: Mapping[str, Revision], now: datetime) -> AgentSteps:
    """Return the steps with those about the lookout, which is of the revision that has proven itself."""
    proven = steps.rollout and (steps.rollout.status.stable or steps.rollout.target)
    revision = revisions.get(proven or "")
    word = secrets_changed(seen.agent)
    plan = plan_lookout(seen.lookout, revision.name if revision else None, now, word=word)
    if plan.is_missing and revision is not None and lookout_name(seen.agent.metadata.name) not in seen.taken_names:
        plan = replace(plan, create=build_lookout(seen.agent, revision, control_key_id=seen.control_key_id))
    return replace(steps, lookout=plan)


def _with_slots(seen: AgentSeen, slots: int | None) -> AgentSeen:
    """Return the same with as many slots a worker as there are on those that can be had."""
    if slots is None:
        return seen
    worker = seen.agent.spec.worker.model_copy(update={"sessions_per_worker": slots})
    spec = seen.agent.spec.model_copy(update={"worker": worker})
    return replace(seen, agent=seen.agent.model_copy(update={"spec": spec}))


def _new_pods(seen: AgentSeen, plan: FleetPlan, revisions: Mapping[str, Revision]) -> tuple[Manifest, ...]:
    """Return the new pods; without what was kept of it, a revision only lives on in its workers."""
    creatable = [(revisions[new.revision], new.number) for new in plan.create if new.revision in revisions]
    return tuple(build_pod(seen.agent, *each, control_key_id=seen.control_key_id) for each in creatable)


def _finalizer(seen: AgentSeen) -> Literal["add"] | None:
    """Hold the agent back as soon as it has a worker: who is told late that one came up would let its calls go along.

    Not before: where a thousand agents come at once, the last one's callers would wait for the papers of the others.
    """
    return "add" if seen.fleet.workers and not _is_held_back(seen) else None


def _is_held_back(seen: AgentSeen) -> bool:
    return FINALIZER in seen.agent.metadata.finalizers


def _forgotten(seen: AgentSeen, rollout: RolloutDecision) -> tuple[tuple[str, str], ...]:
    """Return the files of revisions that nobody can go back to any more."""
    forgotten = {before.name for before in seen.before.revisions} - {after.name for after in rollout.revisions}
    return tuple(("ConfigMap", config_map_name(seen.agent.metadata.name, name)) for name in sorted(forgotten))


def _plan_size(seen: AgentSeen, now: datetime) -> Size:
    spec = seen.agent.spec
    billed = sum(not worker.pod.ended for worker in seen.fleet)
    ceilings = ceilings_of(spec, seen.pool, Spent(billed, seen.worker_hours, seen.held_by_others), now=now)
    outlook = Outlook(
        waiting=seen.callers.waiting_at(now),
        dispatched=seen.callers.dispatched_lately(now),
        ceilings=ceilings,
        watched=seen.watched,
        unwatched=seen.lookout.problem(),
    )
    slots, took_at = spec.worker.sessions_per_worker, seen.took_calls_at
    loads = loads_of(seen.fleet, slots=slots, coming=_coming(seen), now=now, took_calls_at=took_at)
    return plan_fleet_size(spec, loads, seen.lessons, outlook, now=now)


def _coming(seen: AgentSeen) -> str | None:
    """Return the spec's revision, if workers of others are to be replaced by workers of it."""
    rules, before = seen.agent.spec.rollout, seen.before.rollout
    if seen.rendered is None or rules.paused or rules.undo_to_revision is not None:
        return None
    name = seen.rendered.revision.name
    return None if before is not None and before.rejected == name else name


def plan_agent_rollout(seen: AgentSeen, rendered: str, size: Size, now: datetime) -> RolloutDecision:
    """Return which revision new calls go to."""
    annotations = seen.agent.metadata.annotations or {}
    return plan_rollout(
        RolloutSeen(
            rules=seen.agent.spec.rollout,
            wanted=rendered,
            workers_wanted=size.desired,
            live=live_revisions(seen.fleet, now),
            before=seen.before.rollout,
            known=seen.before.revisions,
            figures=seen.figures,
            promoted=annotations.get(ANNOTATION_PROMOTE, ""),
            blind=seen.fleet.is_blind(now),
            calls=calls_of_workers(seen.fleet, now),
            drains=seen.drains,
        ),
        now=now,
    )


def _wanted(seen: AgentSeen, size: Size, rollout: RolloutDecision, revisions: Mapping[str, Revision]) -> Wanted:
    spec, rules = seen.agent.spec, seen.agent.spec.rollout
    limit = timedelta(seconds=rules.max_drain_seconds) if rules.max_drain_seconds else None
    sized = {seen.rendered.revision.name} if seen.rendered else set()
    return Wanted(
        target=rollout.target,
        stable=rollout.stable,
        refuge=rollout.status.stable,
        share_percent=rollout.share_percent,
        size=size,
        slots=spec.worker.sessions_per_worker,
        max_surge_percent=rules.max_surge_percent,
        drain=Drain(limit, ends_calls=rules.on_drain_limit == "EndCalls"),
        rest=seen.rest,
        taken_names=seen.taken_names,
        resources={name: tuple(sorted(revisions[name].resources.items())) for name in sized},
        resize_in_place=rules.resize == "InPlace",
        secrets_changed=secrets_changed(seen.agent),
        lessons=seen.lessons,
        resting_load=choose_rest(seen.lessons, seen.pool.spec.livekit.target_load) if seen.pool else REST,
    )


def _plan_farewell(seen: AgentSeen, now: datetime) -> AgentSteps:
    """Let the calls of an agent that is being deleted come to their end, unless haste was asked for.

    Also where we did not hold it back in time, and somebody else does: each call less is one less that goes with it.
    """
    plan = plan_farewell(seen.fleet, at_once=seen.agent.spec.deletion_policy == "Now", now=now)
    here = [worker for worker in seen.fleet if not worker.pod.leaving]
    finalizer: Literal["remove"] | None = "remove" if _is_held_back(seen) and not here else None
    return AgentSteps(plan, finalizer=finalizer, lookout=let_go(seen.lookout, now))


def scene_of(seen: AgentSeen, callers: Callers) -> Scene:
    """Return what a look for callers goes by."""
    metadata, scaling = seen.agent.metadata, seen.agent.spec.scaling
    name = agent_dispatch_name(metadata.namespace or "", metadata.name)
    return Scene(name, seen.fleet, callers, scaling.hold_seconds, seen.lookout.watchman)
