"""The journal of a call: what happened, line by line, while it lasts.

A process that dies leaves all that it had written; the record is made of that. The last line may be torn.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from voicefleet.records.life import State
from voicefleet.records.usage import Usage
from voicefleet.wire import WireModel

_Moment = Annotated[float, Field(ge=0, le=1e11)]
"""Seconds since the epoch, by the worker's clock."""
_Seconds = Annotated[float, Field(ge=0, le=1e6)]


class Stages(WireModel):
    """Where the time of a turn went; a stage that did not take place has none."""

    hearing_seconds: _Seconds | None = None
    """From the end of the caller's speech to its words."""
    deciding_seconds: _Seconds | None = None
    """From the end of the caller's speech to the decision that it was the end."""
    thinking_seconds: _Seconds | None = None
    """To the first word of the answer."""
    speaking_seconds: _Seconds | None = None
    """From the first sentence to its first sound."""
    total_seconds: _Seconds | None = None
    """From the end of the caller's speech to the first sound of the answer."""


class Began(WireModel):
    """The first line: which call it is, and who holds it."""

    kind: Literal["began"] = "began"
    at: _Moment
    id: str
    """LiveKit's id of the job; by it a record that arrives twice is known."""
    dispatch_id: str = ""
    room: str = ""
    room_id: str = ""


class Billed(WireModel):
    """To whom the call is billed, once its variables are known."""

    kind: Literal["billed"] = "billed"
    account: str


class Answered(WireModel):
    """The caller is there."""

    kind: Literal["answered"] = "answered"
    at: _Moment


class Entered(WireModel):
    """The call has entered a state."""

    kind: Literal["entered"] = "entered"
    at: _Moment
    state: State


class Said(WireModel):
    """Somebody said something."""

    kind: Literal["said"] = "said"
    at: _Moment
    who: Literal["Caller", "Agent"]
    text: str | None = None
    """The words, where they are kept."""
    interrupted: bool = False
    """The caller spoke over it."""
    stages: Stages = Stages()


class ToolUsed(WireModel):
    """A tool was used."""

    kind: Literal["tool"] = "tool"
    at: _Moment
    tool: str
    arguments: str | None = None
    result: str | None = None
    failed: bool = False


class ProviderUsed(WireModel):
    """A provider was asked for something, and had it measured."""

    kind: Literal["used"] = "used"
    provider: str
    usage: Usage


class ProviderFailed(WireModel):
    """A provider failed; another one, or another try, stood in."""

    kind: Literal["failed"] = "failed"
    at: _Moment
    provider: str
    problem: str


class RecordedRating(WireModel):
    """How the caller found the call, from 1 to the scale's end."""

    value: int
    scale: int


class RecordedCallback(WireModel):
    """When and where the caller wants to be called back."""

    number: str
    at: str | None = None
    """Without a zone it is the caller's own time; absent is as soon as possible."""
    from_number: str | None = None


class Brought(WireModel):
    """What the call has brought besides words so far; the last of these counts."""

    kind: Literal["brought"] = "brought"
    feedback: RecordedRating | None = None
    opted_out: bool = False
    """The caller does not want to be called again."""
    callback: RecordedCallback | None = None


class Recorded(WireModel):
    """What became of the call's recording."""

    kind: Literal["recorded"] = "recorded"
    outcome: str
    file: str = ""
    """Name under which it is kept; empty without one."""


class Ended(WireModel):
    """The call is over; only the first of these counts."""

    kind: Literal["ended"] = "ended"
    at: _Moment
    reason: str
    problem: str = ""


Entry = (
    Began | Billed | Answered | Entered | Said | ToolUsed | ProviderUsed | ProviderFailed | Brought | Recorded | Ended
)
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


def read_journal(lines: Iterable[str | bytes]) -> tuple[Entry, ...]:
    """Return the entries that can be read; what a dying process left half-written cannot."""
    entries: list[Entry] = []
    for line in lines:
        try:
            entries.append(_ENTRY.validate_json(line))
        except ValidationError:
            continue
    return tuple(entries)
