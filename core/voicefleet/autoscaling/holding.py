"""Callers who found no free slot. LiveKit asks its workers once and forgets the call, so it is asked again for them.

A dispatch is LiveKit's wish for an agent in a room. One that no worker took stays in the room without a job.
"""

from collections.abc import Iterable
from dataclasses import dataclass

LOOK_SECONDS = 1.0
"""How often callers who wait are looked for, as long as there may be some."""
SETTLED_SECONDS = 5.0
"""A younger dispatch may still be on its way: LiveKit gives a worker three seconds, and a crowd stands in line."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One dispatch of one room, as LiveKit tells of it."""

    id: str
    room: str
    age_seconds: float
    taken: bool
    """Some worker has, or had, a job of it, as far as anybody knows."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits for a slot: those that may be asked for again, the oldest first, and how many have just given up."""

    callers: tuple[Dispatch, ...] = ()
    lost: int = 0


def may_be_tried(age_seconds: float, hold_seconds: float) -> bool:
    """Tell whether LiveKit may be asked again for a call that no worker took."""
    return SETTLED_SECONDS <= age_seconds <= hold_seconds


def find_waiting(dispatches: Iterable[Dispatch], hold_seconds: float, pause_seconds: float = LOOK_SECONDS) -> Waiting:
    """Sort out the dispatches that no worker took; each that is too old is told of by one look.

    So long is it since the look before.
    """
    untaken = sorted((d for d in dispatches if not d.taken), key=lambda d: -d.age_seconds)
    return Waiting(
        callers=tuple(d for d in untaken if may_be_tried(d.age_seconds, hold_seconds)),
        lost=sum(hold_seconds < d.age_seconds <= hold_seconds + pause_seconds for d in untaken),
    )
