"""The status of a VoiceAgent: what it does, what limits it, and what a person should do."""

import math
from collections import Counter
from dataclasses import replace
from datetime import datetime

from voicefleet.api import VoiceAgent
from voicefleet.api.voiceagent.status import ScaleDecision, VoiceAgentStatus, WorkerCounts
from voicefleet.fleet import Activity, Fleet, Trouble, Worker
from voicefleet.fleet.steps import AgentSeen, AgentSteps
from voicefleet.job_memory import find_want_of_memory
from voicefleet.manifests.children import select_agent
from voicefleet.names import Reason
from voicefleet.report.conditions import Standing, Statement, build_conditions, stalled, timestamp, with_gaps
from voicefleet.report.livekit import find_livekit_trouble, is_away

_LONGEST_SENTENCE = 1024
# Troubles that time does not mend.
_NEEDS_A_PERSON = (
    Reason.REFUSED,
    Reason.LIVEKIT_REFUSES,
    Reason.SECRET_MISSING,
    Reason.CONFIG_MAP_MISSING,
    Reason.IMAGE_PULL,
    Reason.POOL_MISSING,
    Reason.POOL_FORBIDDEN,
    Reason.ROLLOUT_STALLED,
    Reason.ROLLED_BACK,
)


def report_agent(
    seen: AgentSeen, steps: AgentSteps, before: VoiceAgentStatus, *, now: datetime, refused: Trouble | None = None
) -> VoiceAgentStatus:
    """Return the whole status of an agent; what was said before tells since when things hold.

    Some of the steps may have been refused by the cluster.
    """
    agent, fleet = seen.agent, seen.fleet
    standing = _standing(seen, steps, refused, now)
    said = VoiceAgentStatus(
        observed_generation=agent.metadata.generation,
        conditions=build_conditions(standing, before.conditions, generation=agent.metadata.generation, now=now),
        selector=",".join(f"{key}={value}" for key, value in select_agent(agent.metadata).items()),
        summary=_summarise(seen, standing, now),
        waiting_calls=seen.callers.waiting_at(now),
        revision=steps.revision or before.revision,
        scale=_scale(before, steps, now),
        revisions=steps.rollout.revisions if steps.rollout else before.revisions,
        rollout=steps.rollout.status if steps.rollout else before.rollout,
        startup_seconds=math.ceil(seen.lessons.startup.q95),
        cost_per_hour=_cost_per_hour(seen),
        children_digest=before.children_digest if steps.children is None else steps.children,
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
        "free_slots": fleet.free_slots(now),
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
    """Tell the decision as it was when it last came out differently: its figures change with every call."""
    if steps.size is None:
        return before.scale
    desired, limit = steps.size.desired, "Blind" if steps.fleet.held else steps.size.limit
    if before.scale is not None and (before.scale.desired, before.scale.limit) == (desired, limit):
        return before.scale
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


def _standing(seen: AgentSeen, steps: AgentSteps, refused: Trouble | None, now: datetime) -> Standing:
    agent, fleet = seen.agent, seen.fleet
    if agent.metadata.deletion_timestamp is not None:
        deleting = Statement("True", Reason.DELETING, _farewell(agent, fleet, now))
        return Standing(Statement("False", Reason.DELETING, deleting.message), reconciling=deleting)
    if steps.obstacle is not None:
        kept = " Workers that run go on as they are." if fleet.workers else ""
        return stalled(steps.obstacle.reason, steps.obstacle.message + kept)
    found = (
        refused,
        find_livekit_trouble(fleet, seen.pool, agent.metadata.namespace or "", now),
        *_troubles(fleet, steps.revision),
        _rollout_trouble(steps),
    )
    troubles = [trouble for trouble in found if trouble is not None]
    ready = with_gaps(_ready(agent, fleet, troubles, now, creating=bool(steps.fleet.create)), steps.not_yet)
    # Before anybody takes calls, what keeps them from it is enough to read.
    if ready.status == "True" and (want := find_want_of_memory(agent.spec.worker)) is not None:
        ready = replace(ready, message=f"{ready.message}; {want}")
    standing = Standing(ready, reconciling=_reconciling(fleet, steps, now))
    stuck = next((trouble for trouble in troubles if trouble.reason in _NEEDS_A_PERSON), None)
    return replace(standing, stalled=Statement("True", stuck.reason, stuck.message)) if stuck else standing


def _farewell(agent: VoiceAgent, fleet: Fleet, now: datetime) -> str:
    grace = agent.spec.worker.drain_grace_seconds
    if agent.spec.deletion_policy == "Now":
        return f"the VoiceAgent is being deleted at once; its workers have {grace} seconds for their calls"
    calls, silent = fleet.calls(now), fleet.count(Activity.SILENT, now)
    words = f"the VoiceAgent is being deleted and waits for {_plural(calls, 'call')} to end"
    if silent:
        words += f" and for {_plural(silent, 'worker')} that cannot be heard"
    hurry = "; to end them, set spec.deletionPolicy to Now" if calls or silent else ""
    return words + hurry


def _doubts(fleet: Fleet, now: datetime) -> str:
    """Name the first worker whose word makes no sense, and how many more there are."""
    said = [f"{w.pod.ref.name}: {problem}" for w in fleet if (problem := _problem_of(w, now))]
    more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
    return f"; {said[0]}{more}" if said else ""


def _problem_of(worker: Worker, now: datetime) -> str | None:
    if worker.pod.leaving or worker.pod.ended:
        return None
    state = worker.state(now)
    if worker.problem is None and state is not None and state.revision != worker.pod.revision:
        return "it says that it is of another revision than its pod"
    return worker.problem


def _ready(agent: VoiceAgent, fleet: Fleet, troubles: list[Trouble], now: datetime, *, creating: bool) -> Statement:
    doubts = _doubts(fleet, now)
    taking = sum(worker.takes_calls(now) for worker in fleet)
    silent = fleet.count(Activity.SILENT, now)
    if agent.spec.suspend:
        return Statement("False", Reason.SUSPENDED, "suspend is set: no new calls are taken. Set it to false to go on.")
    if taking:
        words = f"{_workers(taking, 'take')} calls" + (f", {silent} not heard of" if silent else "")
        away = sum(is_away(worker, now) for worker in fleet)
        return Statement("True", Reason.READY, words + (f", {away} cannot join LiveKit" if away else "") + doubts)
    if troubles:
        return Statement("False", troubles[0].reason, troubles[0].message)
    if silent:
        return Statement("Unknown", Reason.BLIND, _silent_message(silent) + doubts)
    if creating or fleet.count(Activity.STARTING, now):
        return Statement("False", Reason.STARTING, "no worker takes calls yet; the first ones are starting")
    if agent.spec.scaling.scale_to_zero:
        return Statement("True", Reason.NO_WORKERS, "no call is expected; the next one starts a worker")
    return Statement("False", Reason.NO_WORKERS, "there is no worker that takes calls")


def _silent_message(silent: int) -> str:
    return (
        f"{_workers(silent, 'run')}, but the operator hears nothing of the load and so takes none away. "
        "Check that network policies let the operator reach the workers' control port"
    )


def _rollout_trouble(steps: AgentSteps) -> Trouble | None:
    """Say why the spec's own revision is not the one that takes the calls, if nothing but a person can change that."""
    status = steps.rollout.status if steps.rollout else None
    if status is None or status.phase not in _ROLLOUT_TROUBLES:
        return None
    return Trouble(_ROLLOUT_TROUBLES[status.phase], f"rollout of revision {status.revision}: {status.verdict}")


_ROLLOUT_TROUBLES = {"Stalled": Reason.ROLLOUT_STALLED, "RolledBack": Reason.ROLLED_BACK}


def _rollout_under_way(fleet: Fleet, steps: AgentSteps) -> Statement | None:
    status = steps.rollout.status if steps.rollout else None
    old = sum(w.pod.revision != steps.revision and not w.pod.leaving for w in fleet)
    if status is None or (not old and status.phase not in ("Paused", "Progressing")):
        return None
    if status.phase == "Paused":
        return Statement("True", Reason.ROLLOUT_PAUSED, f"rollout of revision {status.revision}: {status.verdict}")
    share = f"; {status.share_percent} % of new calls go to the new one" if status.share_percent < 100 else ""
    words = f"{_workers(old, 'run')} an older revision" if old else f"revision {status.revision} is being rolled out"
    return Statement("True", Reason.ROLLING_OUT, words + share + _overdue(fleet))


def _overdue(fleet: Fleet) -> str:
    """Say since when calls keep workers of an older revision whose drain is limited."""
    since = [worker.pod.cordoned_at for worker in fleet if worker.pod.cordoned_at is not None]
    return f"; the first has taken no new calls since {timestamp(min(since))}" if since else ""


def _reconciling(fleet: Fleet, steps: AgentSteps, now: datetime) -> Statement:
    rollout = _rollout_under_way(fleet, steps)
    if rollout is not None:
        return rollout
    starting = fleet.count(Activity.STARTING, now)
    if steps.fleet.create or starting:
        return Statement("True", Reason.STARTING, f"{_plural(starting + len(steps.fleet.create), 'worker')} starting")
    leaving = fleet.count(Activity.LEAVING, now) + fleet.count(Activity.CORDONED, now)
    if leaving:
        return Statement("True", Reason.DRAINING, f"{_workers(leaving, 'leave')} after the last call")
    if steps.fleet.delete or fleet.count(Activity.FAILED, now):
        return Statement(
            "True",
            Reason.POD_FAILED,
            "failed workers are replaced, and those that wait start once they can",
        )
    if steps.fleet.held:
        silent = _workers(fleet.count(Activity.SILENT, now), "say")
        words = f"{silent} nothing and may hold calls; no worker is taken away until that is known"
        return Statement("True", Reason.BLIND, words)
    more = _count_here(fleet) - steps.fleet.desired
    stay = f"; {more} more stay{'s' if more == 1 else ''} for now" if more > 0 else ""
    return Statement("False", Reason.AS_WANTED, f"the fleet is as wanted: {steps.fleet.desired}{stay}")


def _troubles(fleet: Fleet, revision: str | None) -> list[Trouble]:
    """Return what keeps workers from working, those of the wanted revision first, each thing once."""
    workers = sorted(fleet, key=lambda w: (w.pod.revision != revision, w.pod.ref.name))
    found = [w.pod.trouble for w in workers if w.pod.trouble is not None and not w.pod.leaving]
    return list(dict.fromkeys(found))


def _summarise(seen: AgentSeen, standing: Standing, now: datetime) -> str:
    fleet = seen.fleet
    parts = [_plural(_count_here(fleet), "worker"), _plural(fleet.calls(now), "call")]
    if waiting := seen.callers.waiting_at(now):
        parts.append(f"{waiting} waiting for a slot")
    notable = (Activity.STARTING, Activity.CORDONED, Activity.SILENT, Activity.FAILED)
    parts += [f"{count} {activity.value}" for activity in notable if (count := fleet.count(activity, now))]
    if standing.stalled.status == "True":
        parts.append(standing.stalled.reason.value)
    elif standing.ready.status != "True" and standing.ready.reason is not Reason.STARTING:
        parts.append(standing.ready.reason.value)
    return ", ".join(parts)


def _count_here(fleet: Fleet) -> int:
    return sum(not w.pod.leaving and not w.pod.ended for w in fleet)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _workers(count: int, verb: str) -> str:
    return f"1 worker {verb}s" if count == 1 else f"{count} workers {verb}"
