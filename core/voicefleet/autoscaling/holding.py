"""What to do with a call that we dispatch and that found no slot: ask again, or give up."""

from dataclasses import dataclass

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 1.0
_LEAST_WAIT_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask again after so long."""

    after_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The call has waited for as long as it may."""


def plan_hold(waited_seconds: float, hold_seconds: float) -> Retry | GiveUp:
    """Return whether to ask for a slot again; the last try comes at the very end of the hold."""
    left = hold_seconds - max(0.0, waited_seconds)
    # What is left of a sum of waits by rounding is no time to wait.
    if left < _LEAST_WAIT_SECONDS:
        return GiveUp()
    # In a fleet of 600 calls of six minutes a slot becomes free every 0.6 s.
    wait = FIRST_WAIT_SECONDS if waited_seconds < 2 * LONGEST_WAIT_SECONDS else LONGEST_WAIT_SECONDS
    return Retry(min(wait, left))
