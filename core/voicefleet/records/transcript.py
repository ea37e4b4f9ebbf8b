"""What was said in a call, as a file of its own."""

from typing import Annotated

from pydantic import Field

from voicefleet.records.record import CallRecord, RecordedAgent, TranscriptLine
from voicefleet.wire import WireModel

SCHEMA = "voicefleet.dev/transcript/v1"
"""Fields may be added under it; none changes its meaning or goes."""
SUFFIX = ".transcript.json"


class Transcript(WireModel):
    """The words of one call."""

    schema_version: Annotated[str, Field(alias="schema")] = SCHEMA
    id: str
    """That of the call's record."""
    agent: RecordedAgent
    began_at: str
    ended_at: str
    lines: tuple[TranscriptLine, ...]


def transcript_of(record: CallRecord) -> Transcript | None:
    """Return what was said; of a call in which nobody spoke there is none."""
    if not record.transcript:
        return None
    return Transcript(
        id=record.id,
        agent=record.agent,
        began_at=record.began_at,
        ended_at=record.ended_at,
        lines=record.transcript,
    )
