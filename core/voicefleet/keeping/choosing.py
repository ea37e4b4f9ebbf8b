"""Whether a call is recorded: by its id and nothing else, so that whoever asks again hears the same."""

import hashlib
from enum import StrEnum

from voicefleet.api.voiceagent.records import Recording

CONSENT_TOOL = "consent_to_recording"
PAUSE_TOOL = "pause_recording"
RESUME_TOOL = "resume_recording"
TOOLS = (CONSENT_TOOL, PAUSE_TOOL, RESUME_TOOL)
"""What the model can do about a recording; tools of a spec bear other names."""
_BITS = 64
_FULL_FRACTION = 0.9


class Choice(StrEnum):
    """What becomes of the sound of a call before anybody has spoken."""

    OFF = "Off"
    """Nobody wants recordings."""
    NOT_SAMPLED = "NotSampled"
    """The call is not in the share that is recorded."""
    NO_ROOM = "NoRoom"
    """The disk is too full for one more file."""
    RECORD = "Record"


def tools_of(recording: Recording) -> tuple[str, ...]:
    """Return what the model can do about recordings, in calls that are recorded."""
    consent = (CONSENT_TOOL,) if recording.require_consent else ()
    return (*consent, *((PAUSE_TOOL, RESUME_TOOL) if recording.pausable else ()))


def choose(recording: Recording, call: str, *, has_room: bool) -> Choice:
    """Decide about one call."""
    if not recording.enabled:
        return Choice.OFF
    if not is_sampled(call, recording.sample_percent):
        return Choice.NOT_SAMPLED
    return Choice.RECORD if has_room else Choice.NO_ROOM


def is_sampled(call: str, percent: int) -> bool:
    """Tell whether a call belongs to a share of all calls; a larger share holds every smaller one."""
    digest = hashlib.sha256(call.encode()).digest()
    place = int.from_bytes(digest[: _BITS // 8], "big")
    return place * 100 < percent << _BITS


def has_room(*, files_bytes: int, limit_bytes: int, disk_used_bytes: int, disk_bytes: int) -> bool:
    """Tell whether one more recording may begin.

    The kubelet ends a pod whose files grow beyond the limit, with all of its calls: so nine tenths of it are enough,
    and of the disk beneath, which others fill as well.
    """
    return files_bytes < limit_bytes * _FULL_FRACTION and disk_used_bytes < disk_bytes * _FULL_FRACTION
