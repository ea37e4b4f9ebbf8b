"""The worker's own word: which calls it holds and whether it takes more. Offers are decided here.

Everything that changes the state goes through this class, so that every change reaches every listener.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from voicefleet.records.ends import End
from voicefleet.wire import Away, ProviderWord, Session, WorkerState
from voicefleet_worker.desk.reports import CallReport
from voicefleet_worker.desk.slots import Slots, reported_load
from voicefleet_worker.desk.tallies import Tallies


class Answer(StrEnum):
    """What an offered call is told, as the metric has it."""

    ACCEPTED = "accepted"
    FULL = "full"
    CORDONED = "cordoned"
    DRAINING = "draining"
    VARIABLES_MISSING = "variables_missing"
    OUTDATED = "outdated"
    """It came so late that the caller was meanwhile given to another worker."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who says what the desk says."""

    revision: str
    pod_uid: str = ""
    instance: str = ""
    """Tells this process from the one before it in the same pod."""


class Desk:
    """State of one worker. Lives in the main process and is touched by its event loop only."""

    def __init__(self, *, slots: int, identity: Identity, clock: Callable[[], float]) -> None:
        self.slots = Slots(slots)
        self.tallies = Tallies()
        self.load = reported_load(used=0, limit=slots, closed=False)
        self.refused = 0
        self.shares_health: bool | None = None
        """Whether what it knows of providers is the whole fleet's; None where no Redis is configured."""
        self._looks_for_callers = True
        self._identity = identity
        self._clock = clock
        self._sequence = 0
        self._asked_load: float | None = None
        self._registered = False
        self._away: Away | None = None
        self._cordoned = False
        self._draining = False
        self._unsent_since: float | None = None
        self._secrets_changed_at: float | None = None
        self._cut: set[str] = set()
        self._listeners: set[asyncio.Event] = set()

    @property
    def registered(self) -> bool:
        """Whether LiveKit knows this worker at this moment."""
        return self._registered

    @property
    def away(self) -> Away | None:
        """Why LiveKit does not know this worker, if that is not for want of time."""
        return self._away

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

    @property
    def asked_load(self) -> float | None:
        """The load that the worker was told to report while it is open."""
        return self._asked_load

    def answer(self, job_id: str, dispatch: str = "") -> Answer:
        """Decide about an offered call, and hold its slot if it is taken."""
        answer = self._decide(job_id, dispatch)
        self.refused += answer is not Answer.ACCEPTED
        self._changed()
        return answer

    def _decide(self, job_id: str, dispatch: str) -> Answer:
        if self._draining:
            return Answer.DRAINING
        if self._cordoned:
            return Answer.CORDONED
        taken = self.slots.take(job_id, now_seconds=self._clock(), dispatch=dispatch)
        return Answer.ACCEPTED if taken else Answer.FULL

    def mark_launched(self, job_id: str) -> None:
        """Note that an accepted call has its process."""
        self.slots.mark_launched(job_id)

    def give_back(self, job_id: str) -> None:
        """Free the slot of a call that never came."""
        self.slots.give_back(job_id)
        self._changed()

    def keep_running(self, running: Collection[str]) -> tuple[str, ...]:
        """Free the slots of calls that are over, count them, and return which."""
        before = self.slots.used
        over = self.slots.keep_running(running, now_seconds=self._clock())
        self.tallies.end(over)
        if over or self.slots.used != before:
            self._changed()
        return over

    def hear(self, report: CallReport) -> None:
        """Take in what a call on this worker tells of itself; the next line of state tells it on."""
        if report.job_id in self.slots:
            self.tallies.hear(report)

    def has_ended(self, job_id: str) -> bool:
        """Tell whether a call said that it is over, though its process is still there."""
        return self.tallies.has_ended(job_id)

    def cut_calls(self) -> None:
        """Note that the calls on this worker are about to be cut, which counts as failing."""
        for call in self.slots.held(now_seconds=self._clock()):
            self._cut.add(call.job)
            self.tallies.hear(CallReport(job_id=call.job, failed=True))

    def end_of(self, job_id: str) -> End:
        """Say why a call ended that did not say it itself."""
        return End.CUT if job_id in self._cut else End.CRASHED

    def ask_load(self, load: float) -> None:
        """Report this load from now on, as long as the worker is open."""
        self._asked_load = load
        self._changed()

    def set_registered(self, registered: bool, away: Away | None = None) -> None:
        """Note whether LiveKit knows this worker, and why not."""
        if (registered, away) != (self._registered, self._away):
            self._registered, self._away = registered, away
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

    def look_for_callers(self, *, can: bool) -> None:
        """Note whether callers can be looked for."""
        if can != self._looks_for_callers:
            self._looks_for_callers = can
            self._changed()

    def share_health(self, shared: bool) -> None:
        """Note whether what is known of providers is the whole fleet's."""
        if shared != self.shares_health:
            self.shares_health = shared
            self._changed()

    def note_unsent(self, *, unsent: bool) -> None:
        """Note whether something that calls left waits on this worker's disk to be sent."""
        if unsent != (self._unsent_since is not None):
            self._unsent_since = self._clock() if unsent else None
            self._changed()

    def note_secrets_changed(self) -> None:
        """Note that the files of Secrets have just changed; the operator has other pods' kubelets look at once."""
        self._secrets_changed_at = self._clock()
        self._changed()

    def next_state(self, providers: tuple[ProviderWord, ...] | None = None) -> WorkerState:
        """Return the state as it is now, under a number that no other line of this process has."""
        self._sequence += 1
        return WorkerState(
            sequence=self._sequence,
            revision=self._identity.revision,
            pod_uid=self._identity.pod_uid,
            instance=self._identity.instance,
            slots=self.slots.limit,
            sessions=tuple(
                Session(id=call.job[:64], dispatch=call.dispatch[:64], age_seconds=round(call.age_seconds, 1))
                for call in self.slots.held(now_seconds=self._clock())
            ),
            registered=self._registered,
            livekit_away=self._away,
            cordoned=self._cordoned,
            draining=self._draining,
            asked_load=self._asked_load,
            reported_load=self.load,
            refused=self.refused,
            looks_for_callers=self._looks_for_callers,
            tally=self.tallies.total,
            providers=providers,
            unsent_for_seconds=self._age_of(self._unsent_since),
            secrets_changed_seconds_ago=self._age_of(self._secrets_changed_at),
            shares_health=self.shares_health,
        )

    def _age_of(self, moment: float | None) -> float | None:
        return None if moment is None else round(self._clock() - moment, 1)

    def listen(self) -> asyncio.Event:
        """Return an event that is set on every change; the listener clears it and gives it back in the end."""
        event = asyncio.Event()
        self._listeners.add(event)
        return event

    def unlisten(self, event: asyncio.Event) -> None:
        """Take an event back."""
        self._listeners.discard(event)

    def _changed(self) -> None:
        used, limit = self.slots.used, self.slots.limit
        self.load = reported_load(used=used, limit=limit, closed=self.closed, asked=self._asked_load)
        for event in self._listeners:
            event.set()
