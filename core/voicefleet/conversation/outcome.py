"""What a call has brought besides words: a rating, a wish not to be called again, a wish to be called back. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from voicefleet.api.types import E164

_FURTHEST = timedelta(days=366)
# A time without a zone is the caller's own, and somewhere on earth it is as much as this earlier than in UTC.
_LATEST_ZONE = timedelta(hours=12)
_SPACES = re.compile(r"[\s()./-]")


@dataclass(frozen=True, slots=True)
class Rating:
    """How a caller found the call, from 1 to the scale's end."""

    value: int
    scale: int


@dataclass(frozen=True, slots=True)
class CallbackWish:
    """When and where somebody wants to be called back."""

    number: str
    when: datetime | None
    """Without a zone it is the time of whoever is called; None is as soon as possible."""
    from_number: str | None = None
    """Number that the callback is made from."""


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What one call has brought so far."""

    feedback: Rating | None = None
    opted_out: bool = False
    callback: CallbackWish | None = None


@dataclass(frozen=True, slots=True)
class Unclear:
    """A wish that cannot be noted; says why in words for the model."""

    why: str


def read_callback(*, number: str | None, when: str | None, caller: str | None, now: datetime) -> CallbackWish | Unclear:
    """Read when and where somebody wants to be called back, by default at the number they call from."""
    called = _SPACES.sub("", number) if number else caller
    if not called:
        return Unclear("the caller's number is not known: ask for it")
    if not re.fullmatch(E164, called):
        return Unclear("the number must begin with + and the country code: ask for it")
    if not when:
        return CallbackWish(called, None)
    try:
        at = datetime.fromisoformat(when)
    except ValueError:
        return Unclear("when must be a date and a time such as 2026-03-31T15:30")
    here = now if at.tzinfo else now.replace(tzinfo=None) - _LATEST_ZONE
    if not here < at <= here + _FURTHEST:
        return Unclear(f"that is past, or more than a year ahead; it is {now:%A %Y-%m-%d %H:%M} UTC now")
    return CallbackWish(called, at)
