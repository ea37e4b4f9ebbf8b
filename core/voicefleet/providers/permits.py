"""Quotas of a minute for the whole fleet, kept by permits: a worker holds them before its calls ask, like leases.

A request uses its permit up, and from the moment on at which its worker tells of it that counts for a minute. No more
permits are given than the quota leaves beside what all hold and what counts, so no 60 seconds see more requests than
that. What a worker held that is not heard any more counts as used at its end.
"""

from typing import NamedTuple

from voicefleet.providers.leases import LEASE_SECONDS

HOLD_SECONDS = LEASE_SECONDS - 0.5
"""For how long permits may be used after the worker last asked; soon after, Redis takes them for used."""
MOST_PERMITS = 512
"""Permits of one provider that a worker can hold."""
# A worker that dies takes with it for a minute what it held; one that holds little refuses calls that come at once.
_HELD_OF_QUOTA = 4
_AT_HAND = 16
# From one exchange to the next, and what that takes.
_AHEAD_SECONDS = 2


class MinuteWord(NamedTuple):
    """What a worker says of a provider's quota of a minute, and how many permits it wants."""

    quota: int
    wanted: int = 0
    held: int = 0
    used: int = 0
    """Permits used up since the worker began; it never falls."""
    lacks: bool = False
    """Whether a call has just been refused for want of a permit."""
    recent: int = 0
    """Requests of the last minute, with or without a permit: what counts of a worker that Redis does not know."""


class Minute(NamedTuple):
    """How a provider's quota of a minute stands, for all workers."""

    used: int = 0
    """Requests that count."""
    held: int = 0
    others_lacking: int = 0
    """Other workers of which a call has just been refused for want of a permit."""


def wanted_permits(own: MinuteWord, fleet: Minute, workers: int) -> int:
    """Return how many permits a worker should hold: its equal part of what is not used.

    Of a quota of 60, 20 are used; with 4 workers that is 40 // 4 = 10. Once some lack permits, they divide what is not
    used, and each other worker keeps what it uses itself within two seconds.
    """
    rest = max(0, own.quota - fleet.used)
    if own.lacks:
        part = max(1, rest // (1 + fleet.others_lacking))
    elif fleet.others_lacking:
        part = own.recent * _AHEAD_SECONDS // 60
    else:
        part = max(1, rest // max(1, workers))
    return min(rest, part, MOST_PERMITS, max(_AT_HAND, own.quota // _HELD_OF_QUOTA))
