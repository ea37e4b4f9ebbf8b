"""What must hold of every plan and status of a fleet, whatever was seen; in other words than the product's own."""

from datetime import datetime, timedelta

from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.fleet import Activity, PodRef, Worker
from voicefleet.fleet.steps import AgentSeen, AgentSteps
from voicefleet.manifests.revision import slots_of
from voicefleet.names import Reason


def check_plan(seen: AgentSeen, steps: AgentSteps, *, now: datetime) -> None:
    """Fail if a plan takes a call, takes room that is wanted, or writes more than it needs to."""
    by_ref = {worker.pod.ref: worker for worker in seen.fleet}
    for ref in steps.fleet.delete:
        assert _is_known_to_be_empty(by_ref[ref], now), by_ref[ref]
    for ref in steps.fleet.end:
        assert _may_end(seen, by_ref[ref], now), by_ref[ref]
    _check_writes(seen, steps)
    _check_starts(seen, steps, now)
    _check_refreshes(steps, by_ref, now)
    if seen.agent.metadata.deletion_timestamp is not None:
        return
    closed = [by_ref[ref] for ref in steps.fleet.cordon if not by_ref[ref].pod.node_is_leaving]
    if any(worker.activity(now) is Activity.SILENT for worker in seen.fleet):
        _check_blindness(seen, steps, closed, now)
    if closed and steps.fleet.desired:
        _check_room(seen, closed, steps.fleet.desired, now)
        _check_proof(seen, steps, closed, now)


def check_status(seen: AgentSeen, steps: AgentSteps, status: VoiceAgentStatus, *, now: datetime) -> None:
    """Fail if a status says of a fleet what is not so, or what the next operator could not read."""
    assert VoiceAgentStatus.model_validate(status.model_dump(mode="json", by_alias=True, exclude_none=True)) == status
    said = {condition.type: condition for condition in status.conditions}
    here = [worker for worker in seen.fleet if not worker.pod.leaving and not worker.pod.ended]
    if said["Ready"].reason == Reason.READY:
        assert any(worker.takes_calls(now) for worker in here), status
    if said["Ready"].reason == Reason.NO_WORKERS and said["Ready"].status == "True":
        assert not any(worker.takes_calls(now) for worker in here), status
    rollout = status.rollout
    if rollout is None or steps.rollout is None or seen.agent.metadata.deletion_timestamp is not None:
        return
    others = [worker for worker in here if worker.pod.revision != rollout.revision]
    assert rollout.phase != "Complete" or not others, (status, others)
    assert rollout.phase != "RolledBack" or steps.rollout.target == rollout.stable != rollout.revision, status
    assert rollout.calls_finished + rollout.calls_cut <= rollout.calls_drained, rollout
    assert [revision.role for revision in status.revisions].count("Stable") == 1, status
    assert {worker.pod.revision for worker in here} <= {revision.name for revision in status.revisions}, status
    if said["Stalled"].status == "False" and said["Reconciling"].status == "False":
        assert others == [], (status, others)
        assert not any((steps.create, steps.fleet.end, steps.fleet.resize)), (status, steps.fleet)


def _is_known_to_be_empty(worker: Worker, now: datetime) -> bool:
    pod, heard = worker.pod, worker.heard
    if pod.ended:
        return True
    on_the_line = heard is not None and heard.live and now - heard.at <= timedelta(seconds=15)
    if heard is not None and on_the_line:
        return heard.state.cordoned and not heard.state.sessions
    return not pod.scheduled or (pod.process_stopped and pod.trouble is not None)


def _may_end(seen: AgentSeen, worker: Worker, now: datetime) -> bool:
    spec, state = seen.agent.spec, worker.state(now)
    if seen.agent.metadata.deletion_timestamp is not None:
        return spec.deletion_policy == "Now"
    limit, since = timedelta(seconds=spec.rollout.max_drain_seconds), worker.pod.cordoned_at
    state = worker.state(now)
    is_open = state is not None and not state.cordoned and not state.draining
    if is_open or since is None or not limit:
        return False
    return spec.rollout.on_drain_limit == "EndCalls" and now - since >= limit


def _check_writes(seen: AgentSeen, steps: AgentSteps) -> None:
    """Each worker is told one thing at most, none is made twice, and no more are made than could be wanted."""
    plan, scaling = steps.fleet, seen.agent.spec.scaling
    assert scaling.mode == "External" or steps.size is None or plan.desired <= scaling.max, "beyond the maximum"
    changed = {*plan.stamp, *plan.unstamp, *plan.resize, *(change.pod for change in (*plan.mark, *plan.refresh))}
    assert not set(plan.delete) & changed, "what was changed a moment before is deleted in vain"
    assert not set(plan.cordon) & set(plan.uncordon)
    for refs in (plan.cordon, plan.uncordon, plan.delete, plan.end, plan.stamp, plan.unstamp, plan.resize):
        assert len(set(refs)) == len(refs)
    names = [manifest["metadata"]["name"] for manifest in steps.create]
    assert len(set(names)) == len(names)
    has_canary = steps.rollout is not None and steps.rollout.stable is not None
    assert len(plan.create) <= plan.desired + len(seen.fleet.workers) + has_canary


def _check_refreshes(steps: AgentSteps, by_ref: dict[PodRef, Worker], now: datetime) -> None:
    """Whatever workers say of their Secrets, a pod that was refreshed is left alone for the time a kubelet takes."""
    for worker in (by_ref[each.pod] for each in steps.fleet.refresh):
        since = worker.pod.refreshed_at
        assert since is None or now - since > timedelta(seconds=100), worker
        told = [other.heard for other in by_ref.values() if other.heard and other is not worker]
        assert any(heard.state.secrets_changed_seconds_ago is not None for heard in told), "nothing was said of Secrets"


def _check_starts(seen: AgentSeen, steps: AgentSteps, now: datetime) -> None:
    """New workers are waited for, wherever they start: nobody makes one after the other without end."""
    if not steps.create:
        return
    has_canary = steps.rollout is not None and steps.rollout.stable is not None
    starting = sum(w.activity(now) is Activity.STARTING and w.pod.revision == steps.revision for w in seen.fleet)
    assert starting + len(steps.create) <= 2 * (steps.fleet.desired + 1) + has_canary, f"{starting} start already"


def _check_blindness(seen: AgentSeen, steps: AgentSteps, closed: list[Worker], now: datetime) -> None:
    """A blind operator closes nobody, and deletes nobody who could be opened again."""
    assert not closed, "a blind operator takes capacity away"
    active = {steps.revision, steps.rollout.stable if steps.rollout else None}
    size, fixed = tuple(sorted(steps.resources.items())), seen.agent.spec.rollout.resize == "Replace"
    for worker in (each for each in seen.fleet if each.pod.ref in steps.fleet.delete):
        pod, state = worker.pod, worker.state(now)
        is_over = pod.ended or worker.is_stuck(now) or (state is not None and state.draining)
        keeps_its_size = (pod.resources != size and (fixed or pod.resize_refused)) or pod.resizing_since is not None
        assert is_over or pod.revision not in active or pod.node_is_leaving or keeps_its_size, worker


def _check_room(seen: AgentSeen, closed: list[Worker], desired: int, now: datetime) -> None:
    """Whoever stays open has the free slots that the wanted size leaves beside the calls that are held.

    3 workers of 12 wanted and 10 calls held: 26 slots must be free on others when one is closed.
    """
    slots = _slots(seen)
    staying = [worker for worker in seen.fleet if not worker.pod.leaving and not worker.pod.ended]
    free = sum(w.free_slots(now) for w in staying if not w.pod.node_is_leaving and w not in closed)
    held = sum(_held(worker, slots, now) for worker in staying)
    assert free >= desired * slots - held, f"{free} free, {desired} x {slots} wanted, {held} held"


def _check_proof(seen: AgentSeen, steps: AgentSteps, closed: list[Worker], now: datetime) -> None:
    """Before a worker of the new revision takes calls, those that stay open hold all that is wanted by themselves."""
    taking = [w for w in seen.fleet if w.takes_calls(now)]
    if any(worker.pod.revision == steps.revision for worker in taking):
        return
    open_slots = sum(w.free_slots(now) + w.calls(now) for w in taking if not w.pod.node_is_leaving and w not in closed)
    wanted = steps.fleet.desired * _slots(seen)
    assert open_slots >= wanted, f"{open_slots} slots stay open, {wanted} are wanted, and no new worker takes calls"


def _slots(seen: AgentSeen) -> int:
    """Return how many calls one more worker would hold: while the spec cannot be had, as many as before."""
    before = seen.before.rollout
    kept = seen.kept.get(before.revision) if seen.obstacle is not None and before is not None else None
    return (kept and slots_of(kept)) or seen.agent.spec.worker.sessions_per_worker


def _held(worker: Worker, slots: int, now: datetime) -> int:
    state = worker.state(now)
    if state is not None:
        return len(state.sessions)
    if worker.activity(now) is Activity.SILENT:
        return worker.heard.state.slots if worker.heard else slots
    return 0
