"""What is known of a fleet at one moment: its pods by the server's word, its calls by the workers' own.

Doubt about a pod's calls counts as a call: only a worker that said so within the last seconds holds none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, cast

from voicefleet.autoscaling.load import Standing, WorkerLoad
from voicefleet.names import SILENT_AFTER_SECONDS, Reason
from voicefleet.wire import Session, WorkerState

SILENT_AFTER = timedelta(seconds=SILENT_AFTER_SECONDS)
PATIENCE_WITH_SINKS = timedelta(hours=1)
"""A sink that has taken nothing for longer keeps no worker any more: many of them would cost more than they save."""

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]


@dataclass(frozen=True, slots=True)
class PodRef:
    """A pod exactly as it was read; deleting by it fails when anything about the pod has changed since."""

    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pod from working, in the words that its VoiceAgent repeats."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a fleet, reduced to what decisions need."""

    ref: PodRef
    revision: str
    phase: Phase
    ready: bool = False
    ready_since: datetime | None = None
    leaving: bool = False
    scheduled: bool = True
    process_stopped: bool = False
    """The kubelet says that the container waits: for an image, a Secret, or the next restart."""
    marked_busy: bool = False
    trouble: Trouble | None = None
    ended_at: datetime | None = None
    created_at: datetime | None = None
    node_is_leaving: bool = False
    """Its node is cordoned, drained or about to be taken away."""
    cordoned_at: datetime | None = None
    """Since when a worker of an older revision has taken no new calls, if that is limited."""
    ends_calls: bool = False
    """Somebody has written on it that it may go with its calls."""
    secrets_changed: str = ""
    """What was said when its Secrets last changed, if anybody said so."""
    refreshed_at: datetime | None = None
    """When its kubelet was last made to look at its Secrets."""
    secrets_written_at: datetime | None = None
    """When one of its Secrets was last written, where the operator may know."""
    resources: tuple[tuple[str, str], ...] = ()
    """Cores and memory that it asks for."""
    resize_refused: bool = False
    """The cluster does not let a running pod ask for another size: `resources` are still what they were."""
    resizing_since: datetime | None = None
    """Since when its node has not had room for `resources`, or not got them done."""

    @property
    def ended(self) -> bool:
        """Its containers are over for good, so nothing of it can hold a call."""
        return self.phase in ("Failed", "Succeeded")

    @property
    def stuck(self) -> bool:
        """No process of it runs and none is about to without help, so it holds no call.

        A pod that is merely on its way up is not stuck: its process may start while we look.
        """
        if not self.scheduled:
            return True
        return self.process_stopped and self.trouble is not None


@dataclass(frozen=True, slots=True)
class Heard:
    """The last thing a worker said, and when it reached us."""

    state: WorkerState
    at: datetime
    live: bool = True
    """Still on the line, and told nothing since. Behind a broken line a new process may have begun to take calls."""


class Activity(StrEnum):
    """What a worker is doing, each worker exactly one thing."""

    STARTING = "starting"
    READY = "ready"
    FULL = "full"
    CORDONED = "cordoned"
    SILENT = "silent"
    FAILED = "failed"
    LEAVING = "leaving"


_STANDINGS = {
    Activity.READY: Standing.OPEN,
    Activity.FULL: Standing.OPEN,
    Activity.SILENT: Standing.OPEN,
    Activity.CORDONED: Standing.CLOSED,
}


@dataclass(frozen=True, slots=True)
class Worker:
    """A pod and what it said of itself."""

    pod: Pod
    heard: Heard | None = None
    problem: str | None = None
    """What is wrong with what it says, if anything."""
    _known: dict[str, tuple[datetime, Any]] = field(init=False, default_factory=dict, compare=False, repr=False)
    """What was found out about one moment: a turn asks dozens of times, and of thousands of workers."""

    def state(self, now: datetime) -> WorkerState | None:
        """Return what the worker last said, as long as that still counts."""
        known = self._known.get("state")
        if known is None or known[0] is not now:
            known = self._known["state"] = (now, self._state(now))
        return cast("WorkerState | None", known[1])

    def _state(self, now: datetime) -> WorkerState | None:
        if self.heard is None or self.pod.ended or now - self.heard.at > SILENT_AFTER:
            return None
        if self.pod.stuck and not self.heard.live:
            return None
        return self.heard.state

    def is_stuck(self, now: datetime) -> bool:
        """Tell whether no process runs; the kubelet's word may be old, and whoever is on the line does run."""
        return self.pod.stuck and self.state(now) is None

    def activity(self, now: datetime) -> Activity:
        """Name the one thing that the worker is doing."""
        known = self._known.get("activity")
        if known is None or known[0] is not now:
            known = self._known["activity"] = (now, self._activity(now))
        return cast("Activity", known[1])

    def _activity(self, now: datetime) -> Activity:
        if self.pod.leaving:
            return Activity.LEAVING
        if self.pod.ended or self.is_stuck(now):
            return Activity.FAILED if self.pod.scheduled else Activity.STARTING
        state = self.state(now)
        if state is None:
            return Activity.STARTING if self._is_fresh(now) else Activity.SILENT
        if state.cordoned or state.draining:
            return Activity.CORDONED
        if not state.registered:
            return Activity.STARTING
        return Activity.FULL if len(state.sessions) >= state.slots else Activity.READY

    def _is_fresh(self, now: datetime) -> bool:
        """Tell whether nobody could have heard of it yet; one that is marked busy was heard by a leader before us."""
        if self.heard is not None or self.pod.marked_busy:
            return False
        return not self.pod.ready or (self.pod.ready_since is not None and now - self.pod.ready_since <= SILENT_AFTER)

    def calls(self, now: datetime) -> int:
        """Count the calls that it is known to hold."""
        state = self.state(now)
        return len(state.sessions) if state else 0

    def calls_by_last_word(self, now: datetime) -> int:
        """Count them as people want to know them: most of those that a silent worker told of last go on."""
        gone = self.pod.ended or self.is_stuck(now)
        return len(self.heard.state.sessions) if self.heard and not gone else 0

    def free_slots(self, now: datetime) -> int:
        """Count the calls that could begin on it; a worker that is not heard of takes none."""
        state = self.state(now)
        if state is None or self.activity(now) is not Activity.READY:
            return 0
        return state.slots - len(state.sessions)

    def load(self, now: datetime, *, slots: int) -> WorkerLoad:
        """Return what sizing and packing look at; who never said how many slots it has is believed to have these."""
        activity, said = self.activity(now), self.heard.state if self.heard else None
        counts = self.state(now) is not None or activity is Activity.SILENT
        # A pod that no node takes, or that cannot start, would not be helped by another one.
        since = now if self.pod.created_at is None or self.pod.stuck else self.pod.created_at
        # Whom nobody ever heard has not come up for us. What keeps one of them silent keeps the next one silent too, so
        # they are replaced as late starts are: few of them.
        came_up = self.heard is not None or self.pod.marked_busy
        return WorkerLoad(
            name=self.pod.ref.uid,
            slots=said.slots if said else slots,
            standing=_STANDINGS.get(activity, Standing.STARTING) if came_up else Standing.STARTING,
            since=since.timestamp(),
            calls=tuple(self._began(session) for session in said.sessions) if said and counts else (),
            known=activity is not Activity.SILENT or not came_up,
        )

    def _began(self, session: Session) -> float:
        return (self.heard.at.timestamp() if self.heard else 0.0) - session.age_seconds

    def takes_calls(self, now: datetime) -> bool:
        """Tell whether it serves callers, be it with a free slot or with all of them taken."""
        return self.activity(now) in (Activity.READY, Activity.FULL)

    def is_closed(self, now: datetime) -> bool:
        """Tell whether it says that it was cordoned."""
        state = self.state(now)
        return state is not None and state.cordoned

    def is_open(self, now: datetime) -> bool:
        """Tell whether it says that it is neither cordoned nor draining."""
        state = self.state(now)
        return state is not None and not state.cordoned and not state.draining

    def may_be_opened(self, now: datetime) -> bool:
        """Tell whether it was cordoned and would take calls again; one that drains goes."""
        state = self.state(now)
        return state is not None and state.cordoned and not state.draining

    def may_hold_calls(self, now: datetime) -> bool:
        """Tell whether anything but its own word, or its end, leaves room for a call."""
        if self.pod.ended or self.is_stuck(now):
            return False
        state = self.state(now)
        return state is None or bool(state.sessions)

    def may_be_deleted(self, now: datetime) -> bool:
        """Tell whether it is known to hold no call and to get none: promise 1 stands on this line."""
        if self.pod.ended or self.is_stuck(now):
            return True
        state = self.state(now)
        if state is None or self.heard is None or not self.heard.live:
            return False
        return state.cordoned and not state.sessions

    def waits_to_send(self, now: datetime) -> bool:
        """Tell whether its disk holds records or recordings that nobody has taken, but soon may: they go with it."""
        unsent_for = self.unsent_for(now)
        return unsent_for is not None and unsent_for < PATIENCE_WITH_SINKS

    def unsent_for(self, now: datetime) -> timedelta | None:
        """Return how long something that calls left on it has waited to be sent, if anything has."""
        state = self.state(now)
        if state is None or self.heard is None or state.unsent_for_seconds is None:
            return None
        return timedelta(seconds=state.unsent_for_seconds) + (now - self.heard.at)


@dataclass(frozen=True, slots=True)
class Fleet:
    """All workers of one VoiceAgent, whatever their revision."""

    workers: tuple[Worker, ...] = ()
    is_old: bool = False
    """The pods are as they were some time ago: the server has told nothing of them since."""

    def __iter__(self) -> Iterator[Worker]:
        return iter(self.workers)

    @property
    def here(self) -> list[Worker]:
        """Return the workers that are neither leaving nor over."""
        return [worker for worker in self.workers if not worker.pod.leaving and not worker.pod.ended]

    def count(self, activity: Activity, now: datetime) -> int:
        """Count the workers that do one thing."""
        return sum(worker.activity(now) is activity for worker in self.workers)

    def calls(self, now: datetime) -> int:
        """Count the calls that are known of."""
        return sum(worker.calls(now) for worker in self.workers)

    def free_slots(self, now: datetime) -> int:
        """Count the calls that could begin at this moment."""
        return sum(worker.free_slots(now) for worker in self.workers)

    def takes_calls(self, now: datetime) -> bool:
        """Tell whether some worker serves callers."""
        return any(worker.takes_calls(now) for worker in self.workers)

    def is_blind(self, now: datetime) -> bool:
        """Tell whether it is unknown which workers there are, or what some of them hold."""
        return self.is_old or self.count(Activity.SILENT, now) > 0
