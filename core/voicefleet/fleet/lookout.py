"""Who sees callers come while an agent has no workers: a pod that takes no calls and costs next to nothing.

A worker of an agent that never sleeps sees the callers of its whole pool, and so does one lookout. An agent that may
sleep keeps one only as long as nobody does who comes before it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from voicefleet.fleet.observed import PodRef, Worker
from voicefleet.fleet.wanted import FAILED_REST

_TURN = timedelta(seconds=30)
"""How long an agent of a pool waits for whoever watches to be heard again, and for the lookout of the one before it."""
_MUTE = timedelta(seconds=60)
"""For how long a lookout may be ready and say nothing to us: its token may be one of a key that was lost."""


@dataclass(frozen=True, slots=True)
class Lookout:
    """What is known of who looks out for an agent."""

    own: Worker | None = None
    """The agent's own lookout."""
    watchman: PodRef | None = None
    """Whoever looks for its callers, if there is somebody who can: the first of all who do."""
    rank: int = 0
    """How many agents of the pool that may sleep come before this one."""
    unwatched_since: datetime | None = None
    """Since when nobody could look."""
    may_sleep: bool = False

    def problem(self) -> str:
        """Say why nobody looks out."""
        trouble = self.own.pod.trouble if self.own else None
        return trouble.message if trouble else "its lookout does not answer yet"


NO_LOOKOUT = Lookout()


def can_look_out(worker: Worker, now: datetime) -> bool:
    """Tell whether a lookout could look for callers."""
    state = worker.state(now)
    return state is not None and state.looks_for_callers


@dataclass(frozen=True, slots=True)
class LookoutPlan:
    """What becomes of an agent's lookout."""

    create: bool = False
    delete: PodRef | None = None
    look_again_after: timedelta | None = None


AS_IT_IS = LookoutPlan()


def plan_lookout(lookout: Lookout, revision: str | None, now: datetime) -> LookoutPlan:
    """Return what to do about an agent's lookout, which should be of this revision."""
    own = lookout.own
    if own is None:
        return _plan_new(lookout, now) if lookout.may_sleep else AS_IT_IS
    if own.pod.leaving:
        return AS_IT_IS
    outranked = lookout.watchman is not None and lookout.watchman.uid != own.pod.ref.uid
    outdated = revision is not None and own.pod.revision != revision
    if not lookout.may_sleep or outranked or outdated or _is_mute(own, now):
        return LookoutPlan(delete=own.pod.ref)
    return _plan_after_end(own, now) if own.pod.ended else AS_IT_IS


def _plan_new(lookout: Lookout, now: datetime) -> LookoutPlan:
    if lookout.watchman is not None or lookout.unwatched_since is None:
        return AS_IT_IS
    wait = lookout.unwatched_since + (lookout.rank + 1) * _TURN - now
    return LookoutPlan(create=True) if wait <= timedelta() else LookoutPlan(look_again_after=wait)


def _plan_after_end(own: Worker, now: datetime) -> LookoutPlan:
    """Let a pod that ended rest: a node that has refused it would refuse the next one at once."""
    wait = own.pod.ended_at + FAILED_REST - now if own.pod.ended_at else timedelta()
    return LookoutPlan(delete=own.pod.ref) if wait <= timedelta() else LookoutPlan(look_again_after=wait)


def _is_mute(own: Worker, now: datetime) -> bool:
    since = own.pod.ready_since
    return own.state(now) is None and since is not None and now - since >= _MUTE
