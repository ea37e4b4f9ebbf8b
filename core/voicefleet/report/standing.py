"""How a VoiceAgent stands: whether it is well, what is being done, and what only a person can mend."""

from dataclasses import replace
from datetime import datetime, timedelta

from voicefleet.api import VoiceAgent
from voicefleet.api.types import timestamp
from voicefleet.autoscaling.load import Size
from voicefleet.fleet import Activity, Fleet, Trouble
from voicefleet.fleet.ended import Failing
from voicefleet.fleet.steps import AgentSeen, AgentSteps
from voicefleet.job_memory import find_want_of_memory
from voicefleet.names import Reason, config_map_name
from voicefleet.report.conditions import Standing, Statement, Verdict, stalled, with_gaps
from voicefleet.report.livekit import find_livekit_trouble, is_away
from voicefleet.report.remarks import tell_doubts, tell_failing, tell_sending, tell_unsent
from voicefleet.wording import and_more, in_workers, plural

_UNREACHABLE = ". Check that network policies let the operator reach the workers' control port"
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
_NO_WORKER = {
    "External": "spec.replicas asks for none, and whoever sets it starts the next one",
    "Max": "scaling.max allows none. Raise it.",
    "Budget": "scaling.budget allows none, see status.scale.reasons. Raise it, or wait until it allows one again.",
    "ProviderQuota": "the quotas of the pool's providers allow none, see status.scale.reasons. Raise them.",
}
_ROLLOUT_TROUBLES = {"Stalled": Reason.ROLLOUT_STALLED, "RolledBack": Reason.ROLLED_BACK}


def standing_of(seen: AgentSeen, steps: AgentSteps, refused: Trouble | None, now: datetime) -> Standing:
    """Return the statements about an agent; the cluster may have refused some of the steps."""
    agent, fleet = seen.agent, seen.fleet
    if agent.metadata.deletion_timestamp is not None:
        deleting = Statement("True", Reason.DELETING, _farewell(agent, fleet, now))
        return Standing(Statement("False", Reason.DELETING, deleting.message), reconciling=deleting)
    if steps.obstacle is not None:
        kept = " Workers that run go on as they are." if fleet.workers else ""
        kept = f" Until then the fleet goes on with revision {steps.revision}." if steps.size is not None else kept
        standing = stalled(steps.obstacle.reason, steps.obstacle.message + kept)
        return replace(standing, reconciling=_with_blindness(standing.reconciling, fleet, steps, now))
    of_workers = _troubles(fleet, steps.revision)
    livekit = find_livekit_trouble(fleet, seen.pool, agent.metadata.namespace or "", now)
    found = (refused, livekit, *of_workers, _lost_trouble(agent, steps), _rollout_trouble(steps))
    troubles = [trouble for trouble in found if trouble is not None]
    ready = with_gaps(_ready(seen, steps, troubles, now), steps.not_yet)
    doing = _with_blindness(_reconciling(seen, steps, now), fleet, steps, now)
    standing = Standing(_with_worries(ready, seen), reconciling=_with_cause(doing, of_workers))
    stuck = next((trouble for trouble in troubles if trouble.reason in _NEEDS_A_PERSON), None)
    if stuck is None:
        return standing
    # By kstatus what is being reconciled has not failed: whoever waits would wait for what never comes.
    waiting = Statement("False", stuck.reason, standing.reconciling.message)
    return replace(standing, reconciling=waiting, stalled=Statement("True", stuck.reason, stuck.message))


def _farewell(agent: VoiceAgent, fleet: Fleet, now: datetime) -> str:
    grace = agent.spec.worker.drain_grace_seconds
    if agent.spec.deletion_policy == "Now":
        return f"the VoiceAgent is being deleted at once; its workers have {grace} seconds for their calls"
    calls, silent = fleet.calls(now), fleet.count(Activity.SILENT, now)
    starting = fleet.count(Activity.STARTING, now)
    waits = [f"{plural(calls, 'call')} to end"] if calls else []
    waits += [f"{plural(silent, 'worker')} that cannot be heard"] if silent else []
    waits += [f"{plural(starting, 'worker')} to come up and to be closed"] if starting else []
    words = f"the VoiceAgent is being deleted and waits for {' and for '.join(waits) or 'its workers to go'}"
    words += tell_sending(fleet, now)
    hurry = "; to end them, set spec.deletionPolicy to Now" if waits else ""
    return words + hurry


def _ready(seen: AgentSeen, steps: AgentSteps, troubles: list[Trouble], now: datetime) -> Statement:
    agent, fleet = seen.agent, seen.fleet
    doubts = tell_doubts(fleet, now) + tell_unsent(fleet, now)
    taking = sum(worker.takes_calls(now) for worker in fleet)
    silent = fleet.count(Activity.SILENT, now)
    if agent.spec.suspend:
        return Statement("False", Reason.SUSPENDED, "suspend is set: no new calls are taken. Set it to false to go on.")
    if taking:
        words = f"{in_workers(taking, 'take')} calls" + (f", {silent} not heard of" if silent else "")
        away = sum(is_away(worker, now) for worker in fleet)
        return Statement("True", Reason.READY, words + (f", {away} cannot join LiveKit" if away else "") + doubts)
    if troubles:
        return Statement("False", troubles[0].reason, troubles[0].message)
    if silent:
        return Statement("Unknown", Reason.BLIND, _silent_message(silent) + (doubts or _UNREACHABLE))
    if steps.fleet.create or fleet.count(Activity.STARTING, now):
        return Statement("False", Reason.STARTING, "no worker takes calls yet; the first ones are starting")
    return _without_workers(agent, steps.size)


def _without_workers(agent: VoiceAgent, size: Size | None) -> Statement:
    """Say who starts the next worker, or what forbids it: then no call does."""
    sleeps = agent.spec.scaling.scale_to_zero
    if size is not None and size.desired == 0 and size.limit in _NO_WORKER:
        ready: Verdict = "True" if sleeps and size.limit == "External" else "False"
        return Statement(ready, Reason.NO_WORKERS, f"no worker takes calls: {_NO_WORKER[size.limit]}")
    if sleeps:
        return Statement("True", Reason.NO_WORKERS, "no call is expected; the next one starts a worker")
    return Statement("False", Reason.NO_WORKERS, "there is no worker that takes calls")


def _with_worries(ready: Statement, seen: AgentSeen) -> Statement:
    """Add what is wrong with calls although they are taken; before that, what keeps them away is enough to read."""
    if ready.status != "True":
        return ready
    want = find_want_of_memory(seen.agent.spec.worker)
    message = ready.message if want is None else f"{ready.message}; {want}"
    failing = seen.ended_lately.failing
    reason = ready.reason if failing is Failing.FEW else Reason.CALLS_FAIL
    return Statement("True", reason, message + tell_failing(failing))


def _silent_message(silent: int) -> str:
    return f"{in_workers(silent, 'run')}, but the operator hears nothing of the load and so takes none away"


def _lost_trouble(agent: VoiceAgent, steps: AgentSteps) -> Trouble | None:
    """Say that a revision cannot be gone back to: it would be waited for until the deadline, and longer."""
    if steps.lost is None:
        return None
    where = config_map_name(agent.metadata.name, steps.lost)
    words = (
        f"no worker of revision {steps.lost} can be made: its ConfigMap {where!r} is gone or broken. "
        "Set spec.rollout.undoToRevision to another revision, or take it away."
    )
    return Trouble(Reason.ROLLOUT_STALLED, words)


def _rollout_trouble(steps: AgentSteps) -> Trouble | None:
    """Say why the spec's own revision is not the one that takes the calls, if nothing but a person can change that."""
    status = steps.rollout.status if steps.rollout else None
    if status is None or status.phase not in _ROLLOUT_TROUBLES:
        return None
    return Trouble(_ROLLOUT_TROUBLES[status.phase], f"rollout of revision {status.revision}: {status.verdict}")


def _rollout_under_way(seen: AgentSeen, steps: AgentSteps, now: datetime) -> Statement | None:
    status, fleet = steps.rollout.status if steps.rollout else None, seen.fleet
    old = sum(w.pod.revision != steps.revision and not w.pod.leaving for w in fleet)
    if status is None or (not old and status.phase not in ("Paused", "Progressing")):
        return None
    if status.phase == "Paused":
        return Statement("True", Reason.ROLLOUT_PAUSED, f"rollout of revision {status.revision}: {status.verdict}")
    share = f"; {status.share_percent} % of new calls go to the new one" if status.share_percent < 100 else ""
    words = f"{in_workers(old, 'run')} an older revision" if old else f"revision {status.revision} is being rolled out"
    return Statement("True", Reason.ROLLING_OUT, words + share + _overdue(seen, now))


def _overdue(seen: AgentSeen, now: datetime) -> str:
    """Say since when calls keep workers of an older revision whose drain is limited, and where they may go on."""
    rules, limit = seen.agent.spec.rollout, timedelta(seconds=seen.agent.spec.rollout.max_drain_seconds)
    since = [worker.pod.cordoned_at for worker in seen.fleet if worker.pod.cordoned_at is not None]
    if not since:
        return ""
    over = sum(now - moment >= limit for moment in since) if limit and rules.on_drain_limit == "Wait" else 0
    if not over:
        return f"; the first has taken no new calls since {timestamp(min(since))}"
    words = f"the {rules.max_drain_seconds} s of rollout.maxDrainSeconds are over"
    return f"; {words} for {plural(over, 'worker')}, whose calls go on, since rollout.onDrainLimit is Wait"


def _with_cause(reconciling: Statement, troubles: list[Trouble]) -> Statement:
    """Say what keeps workers from coming: while others take calls, nobody else says it."""
    if not troubles or reconciling.status != "True":
        return reconciling
    message = f"{reconciling.message}; {troubles[0].message}{and_more(len(troubles))}"
    return replace(reconciling, message=message)


def _with_blindness(reconciling: Statement, fleet: Fleet, steps: AgentSteps, now: datetime) -> Statement:
    """Say beside whatever else goes on that no worker is taken away, and for want of what."""
    if not steps.fleet.held or reconciling.reason in (Reason.PODS_UNKNOWN, Reason.BLIND):
        return reconciling
    message = "; ".join(filter(None, (reconciling.message, _held(fleet, now).message)))
    return replace(reconciling, message=message)


def _reconciling(seen: AgentSeen, steps: AgentSteps, now: datetime) -> Statement:
    fleet = seen.fleet
    rollout = _rollout_under_way(seen, steps, now)
    if rollout is not None:
        return rollout
    starting = fleet.count(Activity.STARTING, now)
    if steps.fleet.create or starting:
        return Statement("True", Reason.STARTING, f"{plural(starting + len(steps.fleet.create), 'worker')} starting")
    told = set(steps.fleet.resize)
    resizing = sum(worker.pod.resizing_since is not None or worker.pod.ref in told for worker in fleet.here)
    if resizing:
        words = f"other cores and memory are given to {plural(resizing, 'running worker')}"
        return Statement("True", Reason.RESIZING, words)
    leaving = fleet.count(Activity.LEAVING, now) + fleet.count(Activity.CORDONED, now)
    if leaving:
        words = f"{in_workers(leaving, 'leave')} after the last call" + tell_sending(fleet, now)
        return Statement("True", Reason.DRAINING, words)
    failed = fleet.count(Activity.FAILED, now)
    if steps.fleet.delete or any(worker.pod.ended for worker in fleet):
        return Statement("True", Reason.POD_FAILED, "failed workers are being replaced")
    if failed:
        return Statement("True", Reason.POD_FAILED, f"{plural(failed, 'worker')} cannot work")
    if steps.fleet.held:
        return _held(fleet, now)
    here = len(fleet.here)
    wanted = steps.size.settles_at(here, starting=0) if steps.size is not None else steps.fleet.desired
    more = here - wanted
    stay = f"; {more} more stay{'s' if more == 1 else ''} for now" if more > 0 else ""
    words = f"the fleet is as wanted: {wanted}{stay}{_other_template(seen, steps)}"
    return Statement("False", Reason.AS_WANTED, words)


def _held(fleet: Fleet, now: datetime) -> Statement:
    """Say what is not known, for want of which no worker is taken away."""
    if fleet.is_old:
        words = "the apiserver is slow or silent about the fleet's pods, so no worker is taken away while it is"
        return Statement("True", Reason.PODS_UNKNOWN, words)
    silent = in_workers(fleet.count(Activity.SILENT, now), "say")
    words = f"{silent} nothing and may hold calls, so no worker is taken away until that is known"
    return Statement("True", Reason.BLIND, words)


def _other_template(seen: AgentSeen, steps: AgentSteps) -> str:
    """Say what keeps the spec's template from being rolled out, where nothing is wrong and nothing goes on."""
    status = steps.rollout.status if steps.rollout else None
    if status is None or status.phase != "Complete" or seen.rendered is None:
        return ""
    return f"; {status.verdict}" if status.revision != seen.rendered.revision.name else ""


def _troubles(fleet: Fleet, revision: str | None) -> list[Trouble]:
    """Return what keeps workers from working, those of the wanted revision first, each thing once."""
    workers = sorted(fleet, key=lambda w: (w.pod.revision != revision, w.pod.ref.name))
    found = [w.pod.trouble for w in workers if w.pod.trouble is not None and not w.pod.leaving]
    return list(dict.fromkeys(found))
