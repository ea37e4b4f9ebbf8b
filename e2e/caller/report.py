"""What a call was like: plain values, for assertions, for JSON and for people."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class CutKind(StrEnum):
    """Ways in which a call is taken away from a caller."""

    AGENT_LEFT = "agent_left"
    TRACK_ENDED = "track_ended"
    ROOM_DELETED = "room_deleted"
    DISCONNECTED = "disconnected"
    GAP = "gap"


class EndReason(StrEnum):
    """Why a call is over."""

    HUNG_UP = "hung_up"
    NO_AGENT = "no_agent"
    AGENT_LEFT = "agent_left"
    TRACK_ENDED = "track_ended"
    ROOM_DELETED = "room_deleted"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class Cut:
    """Something that should not have happened, and when, in seconds from the beginning of the call."""

    kind: CutKind
    at_seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said and what came back. The first one, in which the caller only listens, has nothing said."""

    said: str
    began_seconds: float
    response_ms: float | None
    """From the end of the caller's speech, or of the wait's beginning, to the first sound of the agent."""
    heard_seconds: float
    """Sound of the agent without the silence between."""
    agent_text: str
    understood: str
    """What the agent's side wrote down of what was said."""
    first_sound_at: float | None = None
    """When the agent was first heard, by the clock on the wall, which others go by as well."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """A whole call."""

    room: str
    identity: str
    agent_identity: str
    joined_ms: float
    """From the beginning to the agent's first track."""
    turns: tuple[Turn, ...]
    cuts: tuple[Cut, ...]
    end_reason: EndReason | None
    """Missing while the call goes on."""
    seconds: float

    @property
    def was_cut(self) -> bool:
        return bool(self.cuts)

    def as_json(self) -> dict[str, Any]:
        """Return the report for `json.dumps`."""
        return asdict(self)

    def as_text(self) -> str:
        """Return the transcript with timings, for people."""
        lines = [f"room {self.room}, agent {self.agent_identity or 'none'} after {self.joined_ms:.0f} ms"]
        for turn in self.turns:
            if turn.said:
                lines.append(f"{turn.began_seconds:7.2f} s  caller: {turn.said}")
            if turn.understood:
                lines.append(f"           (understood: {turn.understood})")
            waited = "never" if turn.response_ms is None else f"after {turn.response_ms:.0f} ms"
            lines.append(f"           agent:  {turn.agent_text or '(no words)'}")
            lines.append(f"           (sound {waited}, {turn.heard_seconds:.2f} s of it)")
        lines.extend(f"{cut.at_seconds:7.2f} s  CUT: {cut.kind} {cut.detail}".rstrip() for cut in self.cuts)
        lines.append(f"{self.seconds:7.2f} s  end: {self.end_reason or 'still going on'}")
        return "\n".join(lines)
