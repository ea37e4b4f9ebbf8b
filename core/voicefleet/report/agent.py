"""The status of a VoiceAgent: what it does, what limits it, and what a person should do."""

import math
from collections import Counter
from datetime import datetime

from voicefleet.api.types import timestamp
from voicefleet.api.voiceagent.status import ScaleDecision, VoiceAgentStatus, WorkerCounts, WorkerHours
from voicefleet.autoscaling.load import NEWS
from voicefleet.fleet import Activity, Fleet, Trouble
from voicefleet.fleet.ended import Failing
from voicefleet.fleet.steps import AgentSeen, AgentSteps
from voicefleet.manifests.children import select_agent
from voicefleet.names import Reason
from voicefleet.report.conditions import Standing, build_conditions, stalled
from voicefleet.report.standing import standing_of
from voicefleet.wording import plural

_LONGEST_SENTENCE = 1024
# They bind only where more workers are needed, and nobody would go even if everything were known.
_CEILINGS = ("Max", "Budget", "ProviderQuota")


def report_agent(
    seen: AgentSeen, steps: AgentSteps, before: VoiceAgentStatus, *, now: datetime, refused: Trouble | None = None
) -> VoiceAgentStatus:
    """Return the whole status of an agent; what was said before tells since when things hold.

    Some of the steps may have been refused by the cluster.
    """
    agent, fleet = seen.agent, seen.fleet
    standing = standing_of(seen, steps, refused, now)
    said = VoiceAgentStatus(
        observed_generation=agent.metadata.generation,
        conditions=build_conditions(standing, before.conditions, generation=agent.metadata.generation, now=now),
        selector=",".join(f"{key}={value}" for key, value in select_agent(agent.metadata).items()),
        summary=_summarise(seen, standing, now),
        waiting_calls=seen.callers.waiting_at(now),
        revision=steps.revision or before.revision,
        scale=_scale(fleet, before, steps, now),
        revisions=steps.rollout.revisions if steps.rollout else before.revisions,
        rollout=steps.rollout.status if steps.rollout else before.rollout,
        startup_seconds=math.ceil(seen.lessons.startup.q95),
        cost_per_hour=_cost_per_hour(seen),
        worker_hours=_worker_hours(seen, now),
        children_digest=before.children_digest if steps.children is None else steps.children,
    )
    return _without_idle_words(said.model_copy(update=_numbers(fleet, now)), before)


def _without_idle_words(said: VoiceAgentStatus, before: VoiceAgentStatus) -> VoiceAgentStatus:
    """Tell reasons anew only beside other news: their figures change with every second, and would be written each time.

    They must not stay as they once were either: a fleet at its maximum loses more calls as the day goes on. Some of
    them are news by themselves.
    """
    is_news = said.model_copy(update={"scale": before.scale}) != before
    return said if is_news or _essence_of(said.scale) != _essence_of(before.scale) else before


def _essence_of(scale: ScaleDecision | None) -> tuple[ScaleDecision, list[str]] | None:
    """Return what is news about a size: all but the figures in its reasons."""
    if scale is None:
        return None
    return scale.model_copy(update={"reasons": ()}), [reason for reason in scale.reasons if reason.startswith(NEWS)]


def report_invalid_agent(
    before: VoiceAgentStatus, fleet: Fleet, message: str, *, generation: int | None, now: datetime
) -> VoiceAgentStatus:
    """Return the status of an agent whose spec this version cannot read: all stays as it was, and it says so."""
    standing = stalled(Reason.INVALID, f"{message}; running workers go on as they are. Correct the spec.")
    return before.model_copy(
        update=_numbers(fleet, now)
        | {
            "observed_generation": generation,
            "conditions": build_conditions(standing, before.conditions, generation=generation, now=now),
            "summary": "spec is not valid",
        }
    )


def _numbers(fleet: Fleet, now: datetime) -> dict[str, object]:
    """Return what can be counted whatever the spec says."""
    return {
        "replicas": len(fleet.here),
        "calls": _calls(fleet, now),
        "free_slots": fleet.free_slots(now),
        "slots": sum(state.slots for worker in fleet if (state := worker.state(now))),
        "workers": _count_workers(fleet, now),
    }


def _calls(fleet: Fleet, now: datetime) -> int:
    """Count also those that only the last word of a silent worker tells of: 0 while people talk would be a lie."""
    return sum(worker.calls_by_last_word(now) for worker in fleet)


def _count_workers(fleet: Fleet, now: datetime) -> WorkerCounts:
    counts = Counter(worker.activity(now) for worker in fleet)
    return WorkerCounts(
        starting=counts[Activity.STARTING],
        ready=counts[Activity.READY],
        full=counts[Activity.FULL],
        cordoned=counts[Activity.CORDONED],
        silent=counts[Activity.SILENT],
        failed=counts[Activity.FAILED],
    )


def _scale(fleet: Fleet, before: VoiceAgentStatus, steps: AgentSteps, now: datetime) -> ScaleDecision | None:
    """Return what becomes of the workers; the least that would do at this moment changes with every call."""
    if steps.size is None:
        return before.scale
    here, starting = len(fleet.here), fleet.count(Activity.STARTING, now)
    desired, limit = steps.size.settles_at(here, starting=starting), steps.size.limit
    if steps.fleet.held and (here > desired or limit not in _CEILINGS):
        limit = "Blind"
    unchanged = before.scale is not None and before.scale.desired == desired
    return ScaleDecision(
        desired=desired,
        limit=limit,
        reasons=tuple(reason[:_LONGEST_SENTENCE] for reason in steps.size.reasons),
        at=before.scale.at if unchanged and before.scale is not None else timestamp(now),
    )


def _cost_per_hour(seen: AgentSeen) -> float | None:
    """Return what the workers cost, if anybody said what one of them does."""
    budget = seen.agent.spec.scaling.budget
    if budget is None or budget.worker_cost_per_hour is None:
        return None
    return round(float(budget.worker_cost_per_hour) * sum(not w.pod.ended for w in seen.fleet), 4)


def _worker_hours(seen: AgentSeen, now: datetime) -> WorkerHours | None:
    """Return what the next operator must know to keep within the day's budget."""
    budget = seen.agent.spec.scaling.budget
    if budget is None or budget.max_worker_hours_per_day is None:
        return None
    return WorkerHours(day=now.date().isoformat(), hours=int(seen.worker_hours))


def _summarise(seen: AgentSeen, standing: Standing, now: datetime) -> str:
    fleet = seen.fleet
    parts = [plural(len(fleet.here), "worker"), plural(_calls(fleet, now), "call")]
    if waiting := seen.callers.waiting_at(now):
        parts.append(f"{waiting} waiting for a slot")
    if seen.ended_lately.failing is not Failing.FEW and standing.ready.reason is not Reason.DELETING:
        parts.append("calls fail")
    notable = (Activity.STARTING, Activity.CORDONED, Activity.SILENT, Activity.FAILED)
    parts += [f"{count} {activity.value}" for activity in notable if (count := fleet.count(activity, now))]
    if standing.stalled.status == "True":
        parts.append(standing.stalled.reason.value)
    elif standing.ready.status != "True" and standing.ready.reason is not Reason.STARTING:
        parts.append(standing.ready.reason.value)
    return ", ".join(parts)
