"""Who sees callers come while an agent has no workers: a pod that takes no calls and costs next to nothing.

A worker of an agent that never sleeps sees the callers of its whole pool, and so does one lookout. An agent that may
sleep keeps one only as long as nobody does who comes before it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from voicefleet.fleet.observed import PodRef, Worker
from voicefleet.fleet.refreshing import Refresh, next_refresh, plan_refreshes
from voicefleet.manifests import Manifest

_TURN = timedelta(seconds=30)
"""How long an agent of a pool waits for whoever watches to be heard again, and for the lookout of the one before it."""
_MUTE = timedelta(minutes=5)
"""For how long a lookout may be ready and say nothing to us: its token may be one of a key that was lost."""
_REST = timedelta(minutes=1)
"""How long one that ended stays: a node that has refused it would refuse the next one at once."""


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
    refusal: str = ""
    """Why the cluster took none the last time."""
    may_sleep: bool = False

    def problem(self) -> str:
        """Say why nobody looks out."""
        if self.own is None:
            return self.refusal or "no lookout is there yet"
        trouble = self.own.pod.trouble
        return trouble.message if trouble else "its lookout does not reach LiveKit, or does not answer yet"


NO_LOOKOUT = Lookout()


def can_look_out(worker: Worker, now: datetime) -> bool:
    """Tell whether a lookout could look for callers; one with slots is a worker that does not know what it is for."""
    state = worker.state(now)
    return state is not None and state.looks_for_callers and not state.slots and not worker.pod.leaving


@dataclass(frozen=True, slots=True)
class LookoutPlan:
    """What becomes of an agent's lookout."""

    is_missing: bool = False
    create: Manifest | None = None
    """The pod to make where it is missing, if there is a revision to make it of."""
    delete: PodRef | None = None
    refresh: tuple[Refresh, ...] = ()
    look_again_after: timedelta | None = None


AS_IT_IS = LookoutPlan()


def plan_lookout(lookout: Lookout, revision: str | None, now: datetime, *, word: str = "") -> LookoutPlan:
    """Return what to do about an agent's lookout, which should be of this revision, and have the Secrets of today."""
    own = lookout.own
    if own is None:
        return _plan_new(lookout, now)
    outranked = lookout.watchman is not None and lookout.watchman.uid != own.pod.ref.uid
    outdated = revision is not None and own.pod.revision != revision
    if not lookout.may_sleep or outranked or outdated or _is_mute(lookout, own, now):
        return let_go(lookout, now)
    return _plan_after_end(lookout, own, now) if own.pod.ended else _plan_refresh(own, word, now)


def let_go(lookout: Lookout, now: datetime) -> LookoutPlan:
    """Return the end of a lookout; one that holds calls, as none should, keeps them."""
    own = lookout.own
    if own is None or own.pod.leaving or own.calls(now):
        return AS_IT_IS
    return LookoutPlan(delete=own.pod.ref)


def _plan_new(lookout: Lookout, now: datetime) -> LookoutPlan:
    if not lookout.may_sleep or lookout.watchman is not None or lookout.unwatched_since is None:
        return AS_IT_IS
    wait = lookout.unwatched_since + (lookout.rank + 1) * _TURN - now
    return LookoutPlan(is_missing=True) if wait <= timedelta() else LookoutPlan(look_again_after=wait)


def _plan_refresh(own: Worker, word: str, now: datetime) -> LookoutPlan:
    return LookoutPlan(refresh=plan_refreshes(word, [own], now=now), look_again_after=next_refresh([own], now))


def _plan_after_end(lookout: Lookout, own: Worker, now: datetime) -> LookoutPlan:
    wait = own.pod.ended_at + _REST - now if own.pod.ended_at else timedelta()
    return let_go(lookout, now) if wait <= timedelta() else LookoutPlan(look_again_after=wait)


def _is_mute(lookout: Lookout, own: Worker, now: datetime) -> bool:
    """Tell whether it has been up for long, and all the while nobody has looked."""
    ready_since, unwatched_since = own.pod.ready_since, lookout.unwatched_since
    if own.state(now) is not None or ready_since is None or unwatched_since is None:
        return False
    return now - max(ready_since, unwatched_since) >= _MUTE
