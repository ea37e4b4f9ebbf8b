"""The worker's own word: which calls it holds and whether it takes more. Offers are decided here.

Everything that changes the state goes through this class, so that every change reaches every listener.
"""

import asyncio
from collections.abc import Callable, Collection
from enum import StrEnum

from voicefleet.wire import Session, WorkerState
from voicefleet_worker.slots import Slots, reported_load


class Answer(StrEnum):
    """What an offered call is told, as the metric has it."""

    ACCEPTED = "accepted"
    FULL = "full"
    CORDONED = "cordoned"
    DRAINING = "draining"
    VARIABLES_MISSING = "variables_missing"


class Desk:
    """State of one worker. Lives in the main process and is touched by its event loop only."""

    def __init__(self, *, slots: int, revision: str, clock: Callable[[], float], pod_uid: str = "") -> None:
        self.slots = Slots(slots)
        self.load = reported_load(used=0, limit=slots, closed=False)
        self._revision = revision
        self._pod_uid = pod_uid
        self._clock = clock
        self._sequence = 0
        self._registered = False
        self._cordoned = False
        self._draining = False
        self._listeners: set[asyncio.Event] = set()

    @property
    def registered(self) -> bool:
        """Whether LiveKit knows this worker at this moment."""
        return self._registered

    @property
    def cordoned(self) -> bool:
        """Whether new calls are refused until further notice."""
        return self._cordoned

    @property
    def draining(self) -> bool:
        """Whether the worker takes its last calls to their end and goes."""
        return self._draining

    @property
    def closed(self) -> bool:
        """Whether the next call would be refused."""
        return self._cordoned or self._draining or self.slots.full

    def answer(self, job_id: str) -> Answer:
        """Decide about an offered call, and hold its slot if it is taken."""
        if self._draining:
            return Answer.DRAINING
        if self._cordoned:
            return Answer.CORDONED
        if not self.slots.take(job_id, now_seconds=self._clock()):
            return Answer.FULL
        self._changed()
        return Answer.ACCEPTED

    def mark_launched(self, job_id: str) -> None:
        """Note that an accepted call has its process."""
        self.slots.mark_launched(job_id)

    def give_back(self, job_id: str) -> None:
        """Free the slot of a call that never came."""
        self.slots.give_back(job_id)
        self._changed()

    def keep_running(self, running: Collection[str]) -> tuple[str, ...]:
        """Free the slots of calls that are over, and return which."""
        before = self.slots.used
        over = self.slots.keep_running(running, now_seconds=self._clock())
        if over or self.slots.used != before:
            self._changed()
        return over

    def set_registered(self, registered: bool) -> None:
        """Note whether LiveKit knows this worker."""
        if registered != self._registered:
            self._registered = registered
            self._changed()

    def cordon(self) -> None:
        """Take no more calls until uncordoned."""
        self._cordoned = True
        self._changed()

    def uncordon(self) -> bool:
        """Take calls again; a draining worker can't."""
        if self._draining:
            return False
        self._cordoned = False
        self._changed()
        return True

    def drain(self) -> None:
        """Take no more calls, for good."""
        self._draining = True
        self._changed()

    def next_state(self) -> WorkerState:
        """Return the state as it is now, under a number that no other line of this process has."""
        self._sequence += 1
        return WorkerState(
            sequence=self._sequence,
            revision=self._revision,
            pod_uid=self._pod_uid,
            slots=self.slots.limit,
            sessions=tuple(
                Session(id=job[:64], age_seconds=round(age, 1))
                for job, age in self.slots.ages(now_seconds=self._clock())
            ),
            registered=self._registered,
            cordoned=self._cordoned,
            draining=self._draining,
            reported_load=self.load,
        )

    def listen(self) -> asyncio.Event:
        """Return an event that is set on every change; the listener clears it and gives it back in the end."""
        event = asyncio.Event()
        self._listeners.add(event)
        return event

    def unlisten(self, event: asyncio.Event) -> None:
        """Take an event back."""
        self._listeners.discard(event)

    def _changed(self) -> None:
        self.load = reported_load(used=self.slots.used, limit=self.slots.limit, closed=self.closed)
        for event in self._listeners:
            event.set()
