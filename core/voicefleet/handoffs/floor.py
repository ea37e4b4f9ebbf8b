"""Who is in charge of a call, and how that changes: one agent at any moment, one handoff at a time. Pure.

The first agent lets go only after the next one has been built and has its context. Whatever fails before leaves the
first in charge. A second handoff that is asked meanwhile is refused and not queued: whoever asked did not know that the
call was on its way, and the next agent decides anew.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum


class Phase(StrEnum):
    """How far a handoff is."""

    TALKING = "Talking"
    ASKED = "Asked"
    ACKNOWLEDGED = "Acknowledged"


class Event(StrEnum):
    """What happens to a handoff."""

    ASK = "Ask"
    READY = "Ready"
    """The next agent is built and has its context."""
    ENTER = "Enter"
    """The next agent has taken over."""
    FAIL = "Fail"
    """It could not be prepared, or did not take place."""


class Refusal(StrEnum):
    """Why nothing changes."""

    UNDER_WAY = "another handoff is under way"
    NOT_IN_CHARGE = "this agent is not in charge"
    UNKNOWN = "there is no such agent"
    OUTDATED = "this handoff is over"


@dataclass(frozen=True, slots=True)
class Floor:
    """Who is in charge, and to whom the call is on its way."""

    in_charge: str
    phase: Phase = Phase.TALKING
    to: str | None = None


_TABLE = {
    (Phase.TALKING, Event.ASK): Phase.ASKED,
    (Phase.ASKED, Event.READY): Phase.ACKNOWLEDGED,
    (Phase.ASKED, Event.FAIL): Phase.TALKING,
    (Phase.ACKNOWLEDGED, Event.ENTER): Phase.TALKING,
    (Phase.ACKNOWLEDGED, Event.FAIL): Phase.TALKING,
}


def ask(floor: Floor, *, by: str, to: str, known: Collection[str]) -> Floor | Refusal:
    """Begin a handoff, or say why not."""
    if floor.in_charge != by:
        return Refusal.NOT_IN_CHARGE
    if to not in known or to == by:
        return Refusal.UNKNOWN
    if (floor.phase, Event.ASK) not in _TABLE:
        return Refusal.UNDER_WAY
    return replace(floor, phase=Phase.ASKED, to=to)


def step(floor: Floor, event: Event, *, to: str) -> Floor | Refusal:
    """Go on with the handoff to this agent, or say that it is not the one under way."""
    after = _TABLE.get((floor.phase, event))
    if after is None or event is Event.ASK or floor.to != to:
        return Refusal.OUTDATED
    if after is not Phase.TALKING:
        return replace(floor, phase=after)
    return Floor(in_charge=to if event is Event.ENTER else floor.in_charge)
