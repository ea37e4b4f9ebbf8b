"""The record of a call: one for each, whatever ended it. Its schema is a promise to whoever reads it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from voicefleet.records.ends import Disposition
from voicefleet.records.journal import RecordedCallback, RecordedRating, Stages
from voicefleet.records.life import State
from voicefleet.records.usage import Usage
from voicefleet.wire import WireModel

SCHEMA = "voicefleet.dev/call-record/v1"
"""Fields may be added under it; none changes its meaning or goes."""


class RecordedAgent(WireModel):
    """Who held the call."""

    namespace: str
    name: str
    revision: str = ""
    prompt: str = ""
    """Hash of what its agents are told, before variables are filled in."""


class RecordedTurn(WireModel):
    """One answer of the agent."""

    at_seconds: float
    """Since the call began."""
    interrupted: bool = False
    stages: Stages


class RecordedUse(WireModel):
    """What one provider did for the call."""

    provider: str
    role: str
    usage: Usage
    failures: int = 0
    cost: float = 0.0


class TranscriptLine(WireModel):
    """Something that was said or done."""

    at_seconds: float
    who: Literal["Caller", "Agent", "Tool"]
    text: str
    interrupted: bool = False
    tool: str = ""
    arguments: str | None = None
    failed: bool = False


class CallRecord(WireModel):
    """What became of one call."""

    schema_version: Annotated[str, Field(alias="schema")] = SCHEMA
    id: str
    """LiveKit's id of the job; a record that arrives twice bears it twice."""
    agent: RecordedAgent
    worker: str = ""
    """Uid of the pod."""
    room: str = ""
    room_id: str = ""
    dispatch_id: str = ""
    began_at: str
    answered_at: str | None = None
    """When the caller was there; absent if nobody ever was."""
    ended_at: str
    talk_seconds: float = 0.0
    """From the answer to the end."""
    disposition: Disposition
    reason: str
    ended_while: State | None = None
    """What the call was doing when it ended; absent if it never got as far as the room."""
    problem: str = ""
    """What went wrong, without anything that a caller said."""
    turns: tuple[RecordedTurn, ...] = ()
    interruptions: int = 0
    tool_calls: int = 0
    tool_failures: int = 0
    usage: tuple[RecordedUse, ...] = ()
    cost: float = 0.0
    currency: str = ""
    account: str = ""
    tags: Mapping[str, str] = {}
    recording: str = ""
    """What became of the recording: Off, Recorded, NoConsent and so on; empty where the process died before it told."""
    recording_file: str = ""
    """Name under which the recording is kept."""
    feedback: RecordedRating | None = None
    opted_out: bool = False
    """The caller does not want to be called again."""
    callback: RecordedCallback | None = None
    transcript: tuple[TranscriptLine, ...] | None = None
    """Absent where it is not kept."""
