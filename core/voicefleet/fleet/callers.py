"""Whether callers may be waiting for a slot, and which worker is to look for them and have them dispatched again.

A fleet without workers has nobody to look. A worker of another agent of the same pool looks for it: its watchman.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from voicefleet.autoscaling.holding import LOOK_SECONDS, SETTLED_SECONDS
from voicefleet.autoscaling.load import Lessons
from voicefleet.fleet.observed import Fleet, PodRef, Worker
from voicefleet.names import SILENT_AFTER_SECONDS
from voicefleet.wire import MOST_HELD, CallersAnswer, CallersOrder

_LOOK = timedelta(seconds=LOOK_SECONDS)
# Whoever came at the last moment of a shortage is seen by a look that begins so long after it.
_SETTLED = timedelta(seconds=SETTLED_SECONDS + 1.0)

_SECOND_LOOK = timedelta(seconds=5)
_WATCH = timedelta(seconds=5)
"""How often a watchman looks for the callers of a fleet without workers, which takes far longer to start."""
_SEEN_SECONDS = 15
"""How long a call is to be seen that may not wait; a watchman looks more than once in it."""
_LOST_SECONDS = int(SETTLED_SECONDS) + 1
"""After how long a call that may not wait is lost: LiveKit offers calls to nobody who is full, so none tells of it."""
_FRESH = timedelta(seconds=7)
_DISPATCHED = timedelta(seconds=5)
"""How long a caller who is dispatched again may take to be a call that we hear of."""
_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Callers:
    """What is known of callers who wait for a slot."""

    short_at: datetime | None = None
    """When the fleet last had no room to speak of, or callers were dispatched again."""
    looked_at: datetime | None = None
    """When the last look began."""
    asked: str = ""
    """Uid of the pod that was asked for it."""
    seen_at: datetime | None = None
    """When that look began which was answered last."""
    waiting: int = 0
    """Callers that it found, without those that it had dispatched again."""
    more: bool = False
    """It could not see all."""
    dispatched_at: datetime | None = None
    """When that look began by which callers were last dispatched again."""

    def waiting_at(self, now: datetime) -> int:
        """Return how many wait, as far as anybody has looked lately."""
        fresh = self.seen_at is not None and now - self.seen_at <= _FRESH
        return self.waiting if fresh else 0

    def dispatched_lately(self, now: datetime) -> bool:
        """Tell whether callers were dispatched again whose calls may yet begin."""
        return self.dispatched_at is not None and now - self.dispatched_at <= _DISPATCHED

    def with_shortage(self, at: datetime) -> "Callers":
        """Return the same with a fleet that has no room at this moment."""
        return replace(self, short_at=at)

    def with_look(self, at: datetime, asked: str) -> "Callers":
        """Return the same while a look is under way; without an answer it is as if there had been none."""
        return replace(self, looked_at=at, asked=asked)

    def with_answer(self, begun_at: datetime, answer: CallersAnswer) -> "Callers":
        """Return the same after a look; whoever was dispatched again may yet find nobody."""
        seen = replace(self, seen_at=begun_at, waiting=answer.waiting, more=answer.more)
        return replace(seen, short_at=begun_at, dispatched_at=begun_at) if answer.dispatched else seen


NOTHING_KNOWN = Callers()


@dataclass(frozen=True, slots=True)
class LookForCallers:
    """A worker is to look for callers who wait, and have as many dispatched again as there is room for."""

    pod: PodRef
    order: CallersOrder
    only_counts: bool = False
    """Nobody may wait: who found no slot is counted as lost, and dispatched no more."""


def is_short(fleet: Fleet, lessons: Lessons, now: datetime) -> bool:
    """Tell whether calls may find no slot: all are taken, or will be before the next look."""
    return fleet.free_slots(now) <= lessons.arrivals.per_second * LOOK_SECONDS


def can_watch(worker: Worker, now: datetime) -> bool:
    """Tell whether a worker could look for callers."""
    state = worker.state(now)
    return state is not None and state.looks_for_callers and worker.takes_calls(now)


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a look for callers depends on."""

    agent: str
    fleet: Fleet
    callers: Callers
    hold_seconds: int
    watchman: PodRef | None = None


def plan_look(scene: Scene, now: datetime) -> LookForCallers | None:
    """Return the look for callers that is due, if somebody can be asked for it."""
    if next_look(scene, now) != timedelta():
        return None
    only_counts = not scene.hold_seconds and scene.fleet.takes_calls(now)
    pod = _whom_to_ask(scene, now) or scene.watchman
    return LookForCallers(pod, _order(scene, now, only_counts=only_counts), only_counts) if pod else None


def _order(scene: Scene, now: datetime, *, only_counts: bool) -> CallersOrder:
    # A call that nobody holds wakes a fleet all the same, for the next one.
    hold = _LOST_SECONDS if only_counts else scene.hold_seconds or _SEEN_SECONDS
    held = _young_calls(scene.fleet, hold, now)
    seen_at = scene.callers.seen_at
    pause = (now - seen_at).total_seconds() if seen_at else LOOK_SECONDS
    return CallersOrder(
        agent=scene.agent,
        hold_seconds=hold,
        pause_seconds=min(max(pause, 0.0), _LONGEST_PAUSE_SECONDS),
        room=scene.fleet.free_slots(now) if not only_counts and _knows_all(scene.fleet, held, now) else 0,
        held=held[:MOST_HELD],
    )


def next_look(scene: Scene, now: datetime) -> timedelta | None:
    """Return after how long to look for callers, or nothing when nobody waits or there is nobody to ask."""
    callers = scene.callers
    if not scene.fleet.takes_calls(now):
        return _due(callers, _WATCH, now) if scene.watchman else None
    if callers.short_at is None or _whom_to_ask(scene, now) is None:
        return None
    if now - callers.short_at > timedelta(seconds=scene.hold_seconds or _LOST_SECONDS) + _SETTLED:
        return None
    seen = callers.seen_at is not None and callers.seen_at - callers.short_at >= _SETTLED
    # LiveKit may take a while to believe that there is room again, and loses calls meanwhile.
    pause = _SECOND_LOOK if seen and not callers.waiting and not callers.more else _LOOK
    return _due(callers, pause, now)


def _due(callers: Callers, pause: timedelta, now: datetime) -> timedelta:
    return timedelta() if callers.looked_at is None else max(timedelta(), callers.looked_at + pause - now)


def _whom_to_ask(scene: Scene, now: datetime) -> PodRef | None:
    """Return a worker with much room; one that did not answer the last time is asked again only if nobody else can."""
    callers = scene.callers
    silent = callers.asked if callers.looked_at != callers.seen_at else ""
    takers = [worker for worker in scene.fleet if can_watch(worker, now)]
    best = max(takers, key=lambda w: (w.pod.ref.uid != silent, w.free_slots(now), w.pod.ref.name), default=None)
    return best.pod.ref if best else None


def _knows_all(fleet: Fleet, held: tuple[str, ...], now: datetime) -> bool:
    """Tell whether nobody may have taken a call without our knowing which: it would be given to another as well."""
    return not fleet.is_blind(now) and not any(map(_is_doubtful, fleet)) and len(held) <= MOST_HELD and "" not in held


def _is_doubtful(worker: Worker) -> bool:
    """Tell whether a worker may take calls at this moment that we do not hear of."""
    pod = worker.pod
    if pod.ended or pod.stuck or pod.phase != "Running":
        return False
    return pod.ready if worker.heard is None else not worker.heard.live


def _young_calls(fleet: Fleet, hold_seconds: int, now: datetime) -> tuple[str, ...]:
    oldest = hold_seconds + _SETTLED.total_seconds() + SILENT_AFTER_SECONDS
    states = [state for worker in fleet if (state := worker.state(now))]
    return tuple(call.dispatch for state in states for call in state.sessions if call.age_seconds <= oldest)
