"""The status of a VoiceAgent: what it does, what limits it, and what a person should do."""

from collections import Counter
from dataclasses import replace
from datetime import datetime

from voicefleet.api import VoiceAgent
from voicefleet.api.voiceagent.status import ScaleDecision, VoiceAgentStatus, WorkerCounts
from voicefleet.fleet import Activity, Fleet, Trouble
from voicefleet.fleet.steps import AgentSeen, AgentSteps
from voicefleet.manifests.children import select_agent
from voicefleet.names import Reason
from voicefleet.report.conditions import Standing, Statement, build_conditions, stalled, timestamp

# Troubles that time does not mend.
_NEEDS_A_PERSON = (
    Reason.REFUSED,
    Reason.SECRET_MISSING,
    Reason.IMAGE_PULL,
    Reason.POOL_MISSING,
    Reason.POOL_FORBIDDEN,
)


def report_agent(
    seen: AgentSeen, steps: AgentSteps, before: VoiceAgentStatus, *, now: datetime, refused: Trouble | None = None
) -> VoiceAgentStatus:
    """Return the whole status of an agent; what was said before tells since when things hold.

    Some of the steps may have been refused by the cluster.
    """
    agent, fleet = seen.agent, seen.fleet
    standing = _standing(agent, fleet, steps, refused, now)
    said = VoiceAgentStatus(
        observed_generation=agent.metadata.generation,
        conditions=build_conditions(standing, before.conditions, generation=agent.metadata.generation, now=now),
        selector=",".join(f"{key}={value}" for key, value in select_agent(agent).items()),
        summary=_summarise(fleet, standing, now),
        revision=steps.revision or before.revision,
        scale=_scale(before, steps, now),
    )
    return said.model_copy(update=_numbers(fleet, now))


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
        "replicas": sum(not w.pod.leaving and not w.pod.ended for w in fleet),
        "calls": fleet.calls(now),
        "free_slots": sum(worker.free_slots(now) for worker in fleet),
        "slots": sum(state.slots for worker in fleet if (state := worker.state(now))),
        "workers": _count_workers(fleet, now),
    }


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


def _scale(before: VoiceAgentStatus, steps: AgentSteps, now: datetime) -> ScaleDecision | None:
    if steps.size is None:
        return before.scale
    desired = steps.size.desired
    unchanged = before.scale is not None and before.scale.desired == desired
    return ScaleDecision(
        desired=desired,
        limit="Blind" if steps.fleet.held else steps.size.limit,
        reasons=steps.size.reasons,
        at=before.scale.at if unchanged and before.scale is not None else timestamp(now),
    )


def _standing(agent: VoiceAgent, fleet: Fleet, steps: AgentSteps, refused: Trouble | None, now: datetime) -> Standing:
    if agent.metadata.deletion_timestamp is not None:
        grace = agent.spec.worker.drain_grace_seconds
        words = f"the VoiceAgent is being deleted; its workers have {grace} seconds for their calls"
        deleting = Statement("True", Reason.DELETING, words)
        return Standing(Statement("False", Reason.DELETING, deleting.message), reconciling=deleting)
    if steps.obstacle is not None:
        kept = " Workers that run go on as they are." if fleet.workers else ""
        return stalled(steps.obstacle.reason, steps.obstacle.message + kept)
    troubles = [*([refused] if refused else []), *_troubles(fleet, steps.revision)]
    ready = _with_gaps(_ready(agent, fleet, troubles, now), steps.not_yet)
    standing = Standing(ready, reconciling=_reconciling(fleet, steps, now))
    stuck = next((trouble for trouble in troubles if trouble.reason in _NEEDS_A_PERSON), None)
    return replace(standing, stalled=Statement("True", stuck.reason, stuck.message)) if stuck else standing


def _ready(agent: VoiceAgent, fleet: Fleet, troubles: list[Trouble], now: datetime) -> Statement:
    taking = sum(worker.takes_calls(now) for worker in fleet)
    silent = fleet.count(Activity.SILENT, now)
    if agent.spec.suspend:
        return Statement("False", Reason.SUSPENDED, "suspend is set: no new calls are taken. Set it to false to go on.")
    if taking:
        words = f"{_workers(taking, 'take')} calls"
        return Statement("True", Reason.READY, words + (f", {silent} not heard of" if silent else ""))
    if troubles:
        return Statement("False", troubles[0].reason, troubles[0].message)
    if silent:
        return Statement("Unknown", Reason.BLIND, _silent_message(silent))
    if fleet.count(Activity.STARTING, now):
        return Statement("False", Reason.STARTING, "no worker takes calls yet; the first ones are starting")
    if agent.spec.scaling.scale_to_zero:
        return Statement("True", Reason.NO_WORKERS, "no call is expected; the next one starts a worker")
    return Statement("False", Reason.NO_WORKERS, "there is no worker that takes calls")


def _with_gaps(ready: Statement, not_yet: tuple[str, ...]) -> Statement:
    """Never let a field that does nothing pass in silence."""
    if not not_yet:
        return ready
    return replace(ready, message=f"{ready.message}; this version does not act on {', '.join(not_yet)}")


def _silent_message(silent: int) -> str:
    return (
        f"{_workers(silent, 'run')}, but the operator hears nothing of the load and so takes none away. "
        "Check that network policies let the operator reach the workers' control port."
    )


def _reconciling(fleet: Fleet, steps: AgentSteps, now: datetime) -> Statement:
    old = sum(w.pod.revision != steps.revision and not w.pod.leaving for w in fleet)
    if old:
        return Statement("True", Reason.ROLLING_OUT, f"{_workers(old, 'run')} an older revision")
    starting = fleet.count(Activity.STARTING, now)
    if steps.fleet.create or starting:
        return Statement("True", Reason.STARTING, f"{_plural(starting + len(steps.fleet.create), 'worker')} starting")
    leaving = fleet.count(Activity.LEAVING, now) + fleet.count(Activity.CORDONED, now)
    if leaving:
        return Statement("True", Reason.DRAINING, f"{_workers(leaving, 'leave')} after the last call")
    if steps.fleet.delete or fleet.count(Activity.FAILED, now):
        return Statement("True", Reason.POD_FAILED, "failed workers are being replaced")
    if steps.fleet.held:
        silent = _plural(fleet.count(Activity.SILENT, now), "silent worker")
        words = f"{steps.fleet.desired} would do for the calls that are known of, but {silent} may hold others"
        return Statement("True", Reason.BLIND, words)
    return Statement("False", Reason.AS_WANTED, f"the fleet is as wanted: {steps.fleet.desired}")


def _troubles(fleet: Fleet, revision: str | None) -> list[Trouble]:
    """Return what keeps workers from working, those of the wanted revision first, each thing once."""
    workers = sorted(fleet, key=lambda w: (w.pod.revision != revision, w.pod.ref.name))
    found = [w.pod.trouble for w in workers if w.pod.trouble is not None and not w.pod.leaving]
    return list(dict.fromkeys(found))


def _summarise(fleet: Fleet, standing: Standing, now: datetime) -> str:
    here = sum(not w.pod.leaving and not w.pod.ended for w in fleet)
    parts = [_plural(here, "worker"), _plural(fleet.calls(now), "call")]
    notable = (Activity.STARTING, Activity.CORDONED, Activity.SILENT, Activity.FAILED)
    parts += [f"{count} {activity.value}" for activity in notable if (count := fleet.count(activity, now))]
    if standing.stalled.status == "True":
        parts.append(standing.stalled.reason.value)
    return ", ".join(parts)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _workers(count: int, verb: str) -> str:
    return f"1 worker {verb}s" if count == 1 else f"{count} workers {verb}"
