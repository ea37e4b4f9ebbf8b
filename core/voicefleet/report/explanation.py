"""A VoiceAgent's status told to a person: how it is, its room, why it has its size, how a rollout goes."""

from collections.abc import Iterator

from voicefleet.api.voiceagent.status import RolloutStatus, ScaleDecision, VoiceAgentStatus, WorkerCounts
from voicefleet.wording import plural

_TITLE_WIDTH = 12


def explain_agent(name: str, status: VoiceAgentStatus) -> tuple[str, ...]:
    """Return the lines that answer what is going on and why."""
    head = f"{name}: {status.summary or 'the operator has not looked at it yet'}"
    return (head, *(f"  {line}" for line in _body(status)))


def _body(status: VoiceAgentStatus) -> Iterator[str]:
    for condition in status.conditions:
        words = f"{condition.status} {condition.reason}"
        yield _titled(condition.type, f"{words}: {condition.message}" if condition.message else words)
    if status.slots:
        waiting = f"; waiting for one: {plural(status.waiting_calls, 'call')}" if status.waiting_calls else ""
        yield _titled("Room", f"{status.free_slots} of {status.slots} slots are free{waiting}")
    if workers := _workers(status.workers):
        yield _titled("Workers", workers)
    if status.scale is not None:
        yield from _scale(status.scale)
    if status.startup_seconds is not None:
        yield _titled("Start-up", f"a worker takes up to {status.startup_seconds} s")
    if status.cost_per_hour is not None:
        yield _titled("Cost", f"{status.cost_per_hour} an hour")
    if status.worker_hours is not None:
        yield _titled("Budget", f"{status.worker_hours.hours} worker hours used on {status.worker_hours.day} (UTC)")
    if status.rollout is not None:
        yield from _rollout(status.rollout)
    for revision in status.revisions:
        counts = f"{plural(revision.workers, 'worker')}, {plural(revision.calls, 'call')}"
        yield _titled("Revision", f"{revision.name} (number {revision.number}, {revision.role.lower()}): {counts}")


def _workers(counts: WorkerCounts) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.model_dump().items() if count)


def _scale(scale: ScaleDecision) -> Iterator[str]:
    since = f" since {scale.at}" if scale.at else ""
    bound = f", bound by {scale.limit}" if scale.limit else ""
    yield _titled("Size", f"{plural(scale.desired, 'worker')} wanted{bound}{since}")
    for reason in scale.reasons:
        yield _titled("", f"- {reason}")


def _rollout(rollout: RolloutStatus) -> Iterator[str]:
    step = f", step {rollout.step}" if rollout.step else ""
    share = f", {rollout.share_percent} % of new calls" if rollout.share_percent < 100 else ""
    yield _titled("Rollout", f"revision {rollout.revision}: {rollout.phase}{step}{share}")
    if rollout.verdict:
        yield _titled("", f"- {rollout.verdict}")
    if rollout.calls_drained:
        ended = f"{rollout.calls_finished} came to their own end, {rollout.calls_cut} were cut"
        yield _titled("", f"- of {plural(rollout.calls_drained, 'call')} on replaced workers {ended}")


def _titled(title: str, words: str) -> str:
    return f"{title:<{_TITLE_WIDTH}}{words}"
