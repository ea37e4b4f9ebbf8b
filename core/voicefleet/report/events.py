"""What is told once, when it happens: Events, for whoever reads `kubectl describe` afterwards."""

from dataclasses import dataclass
from typing import Literal

from voicefleet.api.conditions import CommonStatus, Condition
from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.names import Reason
from voicefleet.wording import plural

_WARNINGS = frozenset({"Stalled"})
_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that happened."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str

    @property
    def key(self) -> str:
        """Return what makes two notes the same."""
        return f"{self.reason}/{self.message}"


def notes_of(before: VoiceAgentStatus, after: VoiceAgentStatus) -> tuple[Note, ...]:
    """Return what happened to an agent between two statuses; nothing happened twice."""
    return (*_condition_notes(before, after), *_scale_notes(before, after), *_rollout_notes(before, after))


def notes_of_pool(before: CommonStatus, after: CommonStatus) -> tuple[Note, ...]:
    """Return what happened to a pool between two statuses; that nothing is known, or wrong, did not happen."""
    uneventful = (Reason.NOTHING_KNOWN, Reason.AS_WANTED)
    return tuple(note for note in _condition_notes(before, after) if note.reason not in uneventful)


def _condition_notes(before: CommonStatus, after: CommonStatus) -> list[Note]:
    known = {condition.type: condition for condition in before.conditions}
    notes = []
    for condition in after.conditions:
        earlier = known.get(condition.type)
        if condition.type == "Reconciling" or not _is_news(earlier, condition):
            continue
        bad = condition.status == "True" if condition.type in _WARNINGS else condition.status != "True"
        bad = bad or condition.reason == Reason.CALLS_FAIL
        # A first look at a fleet that only starts is no alarm.
        starting = condition.reason in (Reason.STARTING, Reason.DELETING, Reason.SUSPENDED)
        kind: Literal["Normal", "Warning"] = "Warning" if bad and not starting else "Normal"
        notes.append(Note(kind, condition.reason, condition.message[:_LONGEST] or condition.reason))
    return list(dict.fromkeys(notes))


def _is_news(before: Condition | None, after: Condition) -> bool:
    if before is None:
        return after.type == "Ready" or after.status == "True"
    if after.type == "Stalled" and after.status == "False":
        return False
    return (before.status, before.reason) != (after.status, after.reason)


def _scale_notes(before: VoiceAgentStatus, after: VoiceAgentStatus) -> list[Note]:
    if after.scale is None or (before.scale is not None and before.scale.desired == after.scale.desired):
        return []
    was = f"from {before.scale.desired} " if before.scale is not None else ""
    why = f": {after.scale.reasons[-1]}" if after.scale.reasons else ""
    return [Note("Normal", "Scaled", f"{was}to {plural(after.scale.desired, 'worker')}{why}"[:_LONGEST])]


def _rollout_notes(before: VoiceAgentStatus, after: VoiceAgentStatus) -> list[Note]:
    now, then = after.rollout, before.rollout
    if now is None or (
        then is not None and (then.revision, then.phase, then.step) == (now.revision, now.phase, now.step)
    ):
        return []
    # What was never anything else was not rolled out: of the first revision only its workers can tell that it works.
    if then is None and now.phase == "Complete":
        return []
    where = f", step {now.step}: {now.share_percent} % of new calls" if now.step else ""
    words = f"revision {now.revision} is {_PHASES[now.phase]}{where}" + (f"; {now.verdict}" if now.verdict else "")
    kind: Literal["Normal", "Warning"] = "Warning" if now.phase in ("RolledBack", "Stalled") else "Normal"
    return [Note(kind, f"Rollout{now.phase}", words[:_LONGEST])]


_PHASES = {
    "Progressing": "being rolled out",
    "Paused": "held where it is",
    "Draining": "rolled out, older workers finish their calls",
    "Complete": "rolled out",
    "RolledBack": "rolled back",
    "Stalled": "not getting on",
}
