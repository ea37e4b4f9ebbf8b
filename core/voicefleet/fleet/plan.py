"""What to do next about a fleet: create, open, close, delete.

It never names a pod for deletion unless `Worker.may_be_deleted`; it takes capacity away only after as much stands
ready elsewhere; and once the fleet is as wanted it plans nothing. It knows no API and no clock.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from voicefleet.autoscaling.choosing import Choice, choose
from voicefleet.fleet.guards import Mark, plan_guards
from voicefleet.fleet.limits import is_overdue, to_forget, to_note
from voicefleet.fleet.loads import LoadOrder, plan_load_orders
from voicefleet.fleet.observed import SILENT_AFTER, Activity, Fleet, PodRef, Worker
from voicefleet.fleet.parts import RESIZED_WITHIN, Parts, has_other_size, sort_out, split_size
from voicefleet.fleet.refreshing import Refresh, next_refresh, plan_refreshes
from voicefleet.fleet.room import Room
from voicefleet.fleet.wanted import Wanted


@dataclass(frozen=True, slots=True)
class NewWorker:
    """A worker to create."""

    revision: str
    number: int


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """The next steps, safe to repeat: workers to create, and pods to act on."""

    desired: int = 0
    create: tuple[NewWorker, ...] = ()
    cordon: tuple[PodRef, ...] = ()
    uncordon: tuple[PodRef, ...] = ()
    delete: tuple[PodRef, ...] = ()
    mark: tuple[Mark, ...] = ()
    stamp: tuple[PodRef, ...] = ()
    """Pods that note since when they have taken no new calls, since that is limited."""
    unstamp: tuple[PodRef, ...] = ()
    """Pods that serve again, and lose the note of an earlier rollout."""
    end: tuple[PodRef, ...] = ()
    """Pods whose time for the calls of an older revision is over, and whose calls are to be ended."""
    resize: tuple[PodRef, ...] = ()
    refresh: tuple[Refresh, ...] = ()
    loads: tuple[LoadOrder, ...] = ()
    """What workers are told to report to LiveKit, so that calls fill the fullest first."""
    held: bool = False
    """No worker is taken away, since it is unknown which there are, or what some hold (promise 8)."""
    look_again_after: timedelta | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing is to be done."""
        told = (self.cordon, self.uncordon, self.mark, self.stamp, self.unstamp, self.resize, self.refresh, self.loads)
        return not any((self.create, self.delete, self.end, *told))


def plan_fleet(wanted: Wanted, fleet: Fleet, *, now: datetime) -> FleetPlan:
    """Return the next steps towards the wanted fleet."""
    parts = sort_out(wanted, fleet, now)
    blind = fleet.is_blind(now)
    room = Room(wanted, parts, now)
    chosen = _choose(room)
    created = _created(room, fleet, chosen)
    opened = [*(worker for pick in chosen.values() for worker in pick.opened), *_reopened(room, chosen, len(created))]
    closing = [] if blind else room.closing([worker for pick in chosen.values() for worker in pick.closed])
    cordoned = [w for w in [*closing, *parts.fleeing] if w.is_open(now)]
    resting = [w for w in parts.ended if not _has_rested(w, wanted.rest, now)]
    deleted = _deleted(parts, chosen, resting, now=now, blind=blind)
    # A mark changes the pod, and its deletion would then find another version than the one it was decided on.
    staying = [w for w in parts.live if w not in deleted]
    return FleetPlan(
        desired=wanted.size.desired,
        create=created,
        cordon=_refs(cordoned),
        uncordon=_refs(w for w in opened if w.may_be_opened(now)),
        delete=_refs(deleted),
        mark=plan_guards(staying, now),
        stamp=to_note(wanted, parts, now),
        unstamp=to_forget(parts, staying, now),
        end=_refs(w for w in parts.retiring if wanted.drain.ends_calls and is_overdue(wanted, w, now)),
        resize=_to_resize(wanted, parts, deleted),
        refresh=plan_refreshes(wanted.secrets_changed, staying, now=now),
        loads=plan_load_orders(wanted, parts, closing=cordoned, now=now),
        held=blind and wanted.size.desired <= len(parts.live),
        look_again_after=_next_look(wanted, parts, resting, next_refresh(staying, now), now),
    )


def plan_marks(fleet: Fleet, *, now: datetime) -> FleetPlan:
    """Return the steps that are right even while nobody knows what the fleet should look like."""
    here = fleet.here
    return FleetPlan(desired=len(here), mark=plan_guards(here, now), look_again_after=_next_word(here, now))


def plan_farewell(fleet: Fleet, *, at_once: bool, now: datetime) -> FleetPlan:
    """Return the steps for a fleet whose VoiceAgent is being deleted: no new calls, and each worker goes empty.

    Whoever wants it gone at once gives its calls no more than the grace of the pods.
    """
    live = [w for w in fleet if not w.pod.leaving]
    deleted = [w for w in live if _may_go(w, now)]
    if at_once:
        return FleetPlan(delete=_refs(deleted), end=_refs(w for w in live if w not in deleted))
    staying = [w for w in live if w not in deleted and not w.pod.ended]
    return FleetPlan(
        cordon=_refs(w for w in staying if w.is_open(now)),
        delete=_refs(deleted),
        mark=plan_guards(staying, now),
        look_again_after=_next_word(staying, now),
    )


@dataclass(frozen=True, slots=True)
class _Pick:
    """What was chosen among the workers of one revision."""

    create: int
    opened: list[Worker]
    closed: list[Worker]
    deleted: list[Worker]


def _choose(room: Room) -> dict[str, _Pick]:
    wanted, now, picks = room.wanted, room.now, {}
    sizes = split_size(wanted, room.elsewhere)
    for revision, workers in room.parts.serving.items():
        loads = [worker.load(now, slots=wanted.slots) for worker in workers]
        by_uid = {worker.pod.ref.uid: worker for worker in workers}
        choice: Choice = choose(loads, sizes[revision], now.timestamp())
        picks[revision] = _Pick(
            create=choice.create,
            opened=[by_uid[uid] for uid in choice.open],
            closed=[by_uid[uid] for uid in choice.close],
            deleted=[by_uid[uid] for uid in choice.delete] + _never_started(workers, sizes[revision].keep, now),
        )
    return picks


def _never_started(workers: list[Worker], keep: int, now: datetime) -> list[Worker]:
    """Return those beyond what is kept that no node has taken or that cannot start."""
    stuck = sorted((w for w in workers if w.is_stuck(now)), key=lambda w: w.pod.ref.name, reverse=True)
    return stuck[: max(0, len(workers) - keep)]


def _deleted(
    parts: Parts, chosen: dict[str, _Pick], resting: list[Worker], *, now: datetime, blind: bool
) -> list[Worker]:
    rested = [w for w in parts.ended if w not in resting]
    picked = [w for pick in chosen.values() for w in pick.deleted]
    # Of what might be opened again nothing goes while the load of others is unknown.
    picked = [w for w in picked if not blind or w.is_stuck(now)]
    return rested + [w for w in [*picked, *parts.retiring, *parts.fleeing] if _may_go(w, now)]


def _may_go(worker: Worker, now: datetime) -> bool:
    """Tell whether to delete a worker now; one that the cluster still guards is first marked as idle."""
    if not worker.may_be_deleted(now) or worker.waits_to_send(now):
        return False
    return worker.pod.ended or not worker.pod.marked_busy


def _created(room: Room, fleet: Fleet, chosen: dict[str, _Pick]) -> tuple[NewWorker, ...]:
    """Return the new workers: within the surge, unless callers lack slots that nobody else has."""
    wanted, parts, now = room.wanted, room.parts, room.now
    surge = math.ceil(wanted.size.desired * wanted.max_surge_percent / 100)
    # Workers that finish their calls may do so for hours; what takes their place doesn't wait for that.
    emptying = sum(w.activity(now) is Activity.CORDONED and w.may_hold_calls(now) for w in parts.retiring)
    within = wanted.size.desired + surge - len(parts.live) + len(parts.fleeing) + emptying
    coming = sum(w.activity(now) is Activity.STARTING for workers in parts.serving.values() for w in workers)
    coming += sum(len(pick.opened) for pick in chosen.values())
    lacking = room.lacking - coming * wanted.slots + (0 if coming else room.next_to_replace)
    left = max(within, math.ceil(lacking / wanted.slots), 0)
    created: list[NewWorker] = []
    resting = len([w for w in parts.ended if not _has_rested(w, wanted.rest, now)])
    for revision, pick in chosen.items():
        count = min(left, max(0, pick.create - resting), _trusted(parts.serving[revision], now))
        left -= count
        resting = max(0, resting - pick.create)
        created += [NewWorker(revision, number) for number in _free_numbers(wanted, fleet, revision, count)]
    return tuple(created)


def _reopened(room: Room, chosen: dict[str, _Pick], created: int) -> list[Worker]:
    """Return the closed workers of the last good revision that callers need, since new ones do not come up."""
    coming = created + sum(len(pick.opened) for pick in chosen.values())
    coming += sum(room.comes(worker) for workers in room.parts.serving.values() for worker in workers)
    return room.reopening(coming)


def _trusted(workers: list[Worker], now: datetime) -> int:
    """Return how many more may be tried: while some fail, no more at once than already work."""
    troubled = any(w.pod.trouble is not None and w.pod.scheduled and not w.takes_calls(now) for w in workers)
    if not troubled:
        return 1_000_000
    taking = sum(worker.takes_calls(now) for worker in workers)
    trying = sum(worker.activity(now) in (Activity.STARTING, Activity.FAILED) for worker in workers)
    return max(0, max(1, taking) - trying)


def _free_numbers(wanted: Wanted, fleet: Fleet, revision: str, count: int) -> tuple[int, ...]:
    names = {w.pod.ref.name for w in fleet if w.pod.revision == revision} | wanted.taken_names
    endings = {name.rpartition("-")[2] for name in names if f"-{revision}-" in name}
    taken = {int(ending) for ending in endings if ending.isdecimal()}
    free = (number for number in range(len(taken) + count) if number not in taken)
    return tuple(number for number, _ in zip(free, range(count), strict=False))


def _to_resize(wanted: Wanted, parts: Parts, deleted: list[Worker]) -> tuple[PodRef, ...]:
    serving = (worker for workers in parts.serving.values() for worker in workers)
    going = {worker.pod.ref for worker in deleted}
    return _refs(w for w in serving if w.pod.ref not in going and _may_be_resized(wanted, w))


def _may_be_resized(wanted: Wanted, worker: Worker) -> bool:
    return has_other_size(wanted, worker) and wanted.resize_in_place and not worker.pod.resize_refused


def _has_rested(worker: Worker, rest: timedelta, now: datetime) -> bool:
    ended_at = worker.pod.ended_at
    return ended_at is None or now - ended_at >= rest


def _next_look(
    wanted: Wanted, parts: Parts, resting: list[Worker], refresh: timedelta | None, now: datetime
) -> timedelta | None:
    looks = [_next_word(parts.live, now), refresh]
    looks += [w.pod.ended_at + wanted.rest - now for w in resting if w.pod.ended_at is not None]
    resizing = [w.pod.resizing_since for w in parts.live if w.pod.resizing_since is not None]
    looks += [since + RESIZED_WITHIN - now for since in resizing if since + RESIZED_WITHIN >= now]
    limit = wanted.drain.limit
    since = [w.pod.cordoned_at for w in parts.retiring if w.pod.cordoned_at is not None]
    looks += [moment + limit - now for moment in since if limit and moment + limit > now]
    times = [look for look in looks if look is not None]
    return max(min(times), timedelta()) + timedelta(milliseconds=100) if times else None


def _next_word(live: list[Worker], now: datetime) -> timedelta | None:
    moments = [w.heard.at + SILENT_AFTER for w in live if w.heard is not None and w.state(now) is not None]
    return max(min(moments) - now, timedelta()) if moments else None


def _refs(workers: Iterable[Worker]) -> tuple[PodRef, ...]:
    return tuple(worker.pod.ref for worker in workers)
