"""Fleets for tests, in words: `idle("a-0")`, `busy("a-1", calls=3)`, `silent("a-2")`."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from voicefleet.api.voiceagent.scaling import Scaling
from voicefleet.autoscaling.history import History
from voicefleet.autoscaling.load import Lessons, Rules, Size
from voicefleet.fleet import Fleet, FleetPlan, Heard, Pod, PodRef, Trouble, Wanted, Worker
from voicefleet.names import Reason
from voicefleet.wire import Session, WorkerState

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SLOTS = 12


def pod(name: str, **fields: object) -> Pod:
    """Return a ready pod; its revision is the middle part of its name, as in `desk-new-0`."""
    base = Pod(
        ref=PodRef(name, f"uid-{name}", "1"),
        revision=name.split("-")[-2],
        phase="Running",
        ready=True,
        ready_since=NOW - timedelta(hours=1),
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def state(*, calls: int = 0, **fields: object) -> WorkerState:
    """Return what a registered worker says."""
    sessions = tuple(Session(id=f"call-{number}", age_seconds=1000) for number in range(calls))
    said = {"sequence": 1, "revision": "r", "slots": SLOTS, "sessions": sessions, "registered": True}
    return WorkerState.model_validate({**said, "looks_for_callers": True, **fields})


def heard(name: str, said: WorkerState, *, seconds_ago: float = 1, **fields: Any) -> Worker:
    """Return a worker that said something, under its pod's revision unless it lies."""
    base = pod(name, **fields)
    honest = said.model_copy(update={"revision": base.revision}) if said.revision == "r" else said
    return Worker(base, Heard(honest, NOW - timedelta(seconds=seconds_ago)))


def idle(name: str) -> Worker:
    """Return a worker without calls."""
    return heard(name, state())


def busy(name: str, *, calls: int = 1) -> Worker:
    """Return a worker with calls."""
    return heard(name, state(calls=calls), marked_busy=True)


def cordoned(name: str, *, calls: int = 0) -> Worker:
    """Return a worker that takes no more calls."""
    return heard(name, state(calls=calls, cordoned=True), marked_busy=calls > 0)


def sending(name: str, *, unsent_for_seconds: float = 60, calls: int = 0) -> Worker:
    """Return a worker that takes no more calls, and whose disk holds what somebody has yet to take."""
    return heard(name, state(calls=calls, cordoned=True, unsentForSeconds=unsent_for_seconds), marked_busy=calls > 0)


def silent(name: str) -> Worker:
    """Return a worker that was heard once, with no call, and no more since."""
    return heard(name, state(), seconds_ago=16, marked_busy=True)


def starting(name: str) -> Worker:
    """Return a worker whose container does not answer its probes yet."""
    return Worker(pod(name, ready=False, ready_since=None))


def pending(name: str) -> Worker:
    """Return a worker that no node has taken."""
    return Worker(pod(name, phase="Pending", ready=False, ready_since=None, scheduled=False))


STUCK: dict[str, Any] = {
    "ready": False,
    "ready_since": None,
    "process_stopped": True,
    "trouble": Trouble(Reason.POD_FAILED, "it crashes again and again"),
}


def off_the_line(worker: Worker) -> Worker:
    """Return a worker whose connection broke a moment ago."""
    assert worker.heard is not None
    return replace(worker, heard=replace(worker.heard, live=False))


def stuck(name: str, reason: Reason = Reason.IMAGE_PULL) -> Worker:
    """Return a worker whose container cannot start."""
    trouble = Trouble(reason, f"it is stuck: {reason}")
    return Worker(pod(name, phase="Pending", ready=False, ready_since=None, process_stopped=True, trouble=trouble))


def failed(name: str, *, seconds_ago: float = 60) -> Worker:
    """Return a worker whose pod is over."""
    return Worker(pod(name, phase="Failed", ready=False, ended_at=NOW - timedelta(seconds=seconds_ago)))


def leaving(worker: Worker) -> Worker:
    """Return a worker whose pod is being deleted."""
    return replace(worker, pod=replace(worker.pod, leaving=True))


def fleet(*workers: Worker) -> Fleet:
    """Return a fleet."""
    return Fleet(workers)


def lessons(**fields: Any) -> Lessons:
    """Return what a fleet knows that was watched for long and got no new call lately."""
    scaling = Scaling()
    history = History(Rules(SLOTS), float(scaling.startup_seconds), float(scaling.expected_call_seconds))
    history.lessons(NOW.timestamp() - 10_000)
    return replace(history.lessons(NOW.timestamp()), **fields)


def want(desired: int, revision: str = "new", *, surge: int = 25) -> Wanted:
    """Return the fleet that should be."""
    return Wanted(revision, Size(desired, "Demand", keep=desired), slots=SLOTS, max_surge_percent=surge)


def names(refs: tuple[PodRef, ...]) -> list[str]:
    """Return the names of pods, sorted."""
    return sorted(ref.name for ref in refs)


def carry_out(plan: FleetPlan, before: Fleet) -> Fleet:
    """Return the fleet after a plan: new workers come up idle, told ones obey, deleted ones are gone."""
    gone, told = {ref.uid for ref in plan.delete}, {ref.uid: True for ref in plan.cordon}
    told |= {ref.uid: False for ref in plan.uncordon}
    marks = {mark.pod.uid: mark.busy for mark in plan.mark}
    after = [_changed(worker, told, marks) for worker in before if worker.pod.ref.uid not in gone]
    return Fleet((*after, *(idle(f"desk-{new.revision}-{new.number}") for new in plan.create)))


def _changed(worker: Worker, told: dict[str, bool], marks: dict[str, bool]) -> Worker:
    uid = worker.pod.ref.uid
    changed = replace(worker.pod, marked_busy=marks.get(uid, worker.pod.marked_busy))
    if uid not in told or worker.heard is None:
        return replace(worker, pod=changed)
    said = worker.heard.state.model_copy(update={"cordoned": told[uid]})
    return Worker(changed, Heard(said, worker.heard.at))


def mounted_secret(body: Mapping[str, Any], volume: str) -> str:
    """Return the Secret that a pod mounts as one of its volumes."""
    (source,) = [each["secret"] for each in body["spec"]["volumes"] if each["name"] == volume]
    return str(source["secretName"])
