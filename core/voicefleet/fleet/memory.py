"""What one fleet's past taught: fed with what is seen at every turn, and asked for lessons."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from voicefleet.api.voiceagent.spec import VoiceAgentSpec
from voicefleet.api.voiceagent.status import ScaleDecision, VoiceAgentStatus, WorkerHours
from voicefleet.autoscaling.arrivals import silence_for
from voicefleet.autoscaling.history import History
from voicefleet.autoscaling.load import Lessons, Size
from voicefleet.autoscaling.sizing import chance_to_rest
from voicefleet.fleet.callers import NOTHING_KNOWN, LookForCallers, is_short
from voicefleet.fleet.doubts import Doubts
from voicefleet.fleet.lookout import Lookout
from voicefleet.fleet.observed import Activity, Fleet, Heard, Pod, PodRef, Worker
from voicefleet.fleet.preference import Preference, Words
from voicefleet.fleet.size import rules_of
from voicefleet.fleet.wanted import FAILED_REST
from voicefleet.names import SILENT_AFTER_SECONDS, Reason
from voicefleet.wire import CallersAnswer

NOTHING_TOLD = VoiceAgentStatus()
_LONGEST_REST = timedelta(minutes=5)
_HOUR_SECONDS = 3600.0
_MOST_REFUSALS = 100
_WATCHED_FOR = timedelta(minutes=2)
_LONGEST_START_SECONDS = 900.0
"""A node that must come first takes ten minutes at most; whoever took longer waited for room, LiveKit or people."""


class FleetMemory:
    """Calls and starts of one fleet as they were seen; the operator keeps it in memory, and learns anew without it."""

    def __init__(self) -> None:
        self._history: History | None = None
        self._guesses: tuple[object, ...] = ()
        self.doubts = Doubts()
        self._heard: dict[str, Heard] = {}
        self._calls: dict[str, dict[str, float]] = {}
        self.took_calls_at: dict[str, datetime] = {}
        """When each worker was last seen to take calls, by the uid of its pod."""
        self._starting_since: dict[str, datetime] = {}
        self._held_up: set[str] = set()
        self._failed: set[str] = set()
        self._failures_in_row = 0
        self.callers = NOTHING_KNOWN
        self.preference = Preference()
        """Whether calls go to the workers that ask for them."""
        self._watched_at: datetime | None = None
        self.unwatched_since: datetime | None = None
        """Since when nobody could see a call come if there were no worker."""
        self.worker_hours = 0.0
        """Worker hours of the running day (UTC), as far as this process saw them, was told of them or infers them."""
        self._counted_at: datetime | None = None
        self._decides_anew = True

    @property
    def rest(self) -> timedelta:
        """Return how long a pod that ended rests before it is replaced: longer with each that ends in a row."""
        doublings = min(10, max(0, self._failures_in_row - 1))
        return min(_LONGEST_REST, FAILED_REST * (1 << doublings))

    @property
    def calls_known(self) -> int:
        """Return how many calls it keeps in mind."""
        return sum(len(calls) for calls in self._calls.values())

    @property
    def pods_known(self) -> int:
        """Return how many pods it keeps in mind."""
        return len(
            self._calls.keys() | self.took_calls_at.keys() | self._starting_since.keys() | self._held_up | self._failed
        )

    def observe(
        self, spec: VoiceAgentSpec, fleet: Fleet, now: datetime, *, told: VoiceAgentStatus = NOTHING_TOLD
    ) -> None:
        """Take in what is seen at one moment; what the status tells is what somebody before us learned and counted."""
        history = self._history_for(spec, now, told.startup_seconds)
        self._count_hours(fleet, told.worker_hours, now)
        if self._decides_anew:
            self._decides_anew = False
            self._go_on_sleeping(history, spec, fleet, told.scale, now)
        uids = {worker.pod.ref.uid for worker in fleet}
        self._note_preference(fleet, now)
        for worker in fleet:
            self._note_start(history, worker, spec.scaling.startup_seconds, now)
            self._note_failure(worker)
            if worker.heard is not None and self._heard.get(worker.pod.ref.uid) is not worker.heard:
                if spec.scaling.hold_seconds == 0 and not worker.heard.state.looks_for_callers:
                    # Else whoever was refused is looked for, and counted or yet answered.
                    self._note_refusals(history, fleet, worker, worker.heard, now)
                self._note_calls(history, worker, worker.heard)
        for uid in [uid for uid in self._calls if uid not in uids]:
            self._forget(history, uid, now)
        for dated in (self.took_calls_at, self._starting_since):
            for uid in dated.keys() - uids:
                del dated[uid]
        for seen in (self._held_up, self._failed):
            # Pods that end before anybody hears them come and go without end.
            seen.intersection_update(uids)
        if is_short(fleet, history.lessons(now.timestamp()), now):
            self.callers = self.callers.with_shortage(now)

    def begin_to_decide(self) -> None:
        """Go by what the status tells once more: whoever decided until now may have brought the fleet to rest."""
        self._decides_anew = True
        self.unwatched_since = None

    def lessons(self, now: datetime) -> Lessons:
        """Return what the past amounts to."""
        if self._history is None:
            raise ValueError("nothing was observed yet")
        return replace(self._history.lessons(now.timestamp()), loads_ignored=self.preference.is_ignored)

    def decided(self, size: Size | None, now: datetime) -> None:
        """Remember what was decided, so that a delay before shrinking can be counted."""
        if self._history is not None and size is not None:
            self._history.sized(size, now.timestamp())

    def looking(self, look: LookForCallers, now: datetime) -> None:
        """Note that a look for callers begins."""
        self.callers = self.callers.with_look(now, look.pod.uid)

    def looked(self, look: LookForCallers, begun_at: datetime, answer: CallersAnswer) -> None:
        """Take in what a look found."""
        is_watch = look.pod.uid not in self._calls
        if is_watch:
            # What another agent's worker says starts one worker, which then looks for itself.
            answer = answer.model_copy(update={"waiting": min(answer.waiting, 1), "lost": 0})
        elif look.only_counts:
            answer = answer.model_copy(update={"waiting": 0})
        before, self.callers = self.callers, self.callers.with_answer(begun_at, answer)
        if self._history is None:
            return
        if is_watch:
            self._watched_at = begun_at
            if answer.waiting and not before.waiting:
                self._history.knocked(begun_at.timestamp())
        for _ in range(min(answer.lost, _MOST_REFUSALS)):
            self._history.blocked(begun_at.timestamp())

    def note_watch(self, lookout: Lookout, now: datetime) -> Lookout:
        """Note whether somebody could see a call come, if anybody need, and return since when nobody could."""
        is_missed = lookout.may_sleep and lookout.watchman is None
        self.unwatched_since = (self.unwatched_since or now) if is_missed else None
        return replace(lookout, unwatched_since=self.unwatched_since)

    def is_watched(self, fleet: Fleet, watchman: PodRef | None, now: datetime) -> bool:
        """Tell whether a call would be seen if there were no worker; a watchman that is away for a moment will be back.

        Of a fleet that has workers a watchman need only be there, of one that has none it must have looked.
        """
        if watchman is not None and fleet.takes_calls(now):
            self._watched_at = now
        return self._watched_at is not None and now - self._watched_at <= _WATCHED_FOR

    def _history_for(self, spec: VoiceAgentSpec, now: datetime, startup_seconds: int | None) -> History:
        scaling = spec.scaling
        guesses = (
            scaling.target_blocked_fraction,
            scaling.hold_seconds,
            scaling.startup_seconds,
            scaling.expected_call_seconds,
        )
        if self._history is None:
            self._history = History(
                rules_of(spec),
                float(scaling.startup_seconds),
                float(scaling.expected_call_seconds),
                known_startup_seconds=startup_seconds,
            )
            self._history.seed((), now.timestamp())
        elif guesses != self._guesses:
            self._history.guess_anew(
                rules_of(spec), float(scaling.startup_seconds), float(scaling.expected_call_seconds)
            )
        self._guesses = guesses
        return self._history

    def _go_on_sleeping(
        self, history: History, spec: VoiceAgentSpec, fleet: Fleet, told: ScaleDecision | None, now: datetime
    ) -> None:
        """Let a fleet that was brought to rest be at rest: whoever takes over has not heard the silence before it."""
        if told is None or told.at is None or (told.desired, told.limit) != (0, "Demand") or fleet.workers:
            return
        rules, lead = rules_of(spec), float(math.ceil(history.lessons(now.timestamp()).startup.q95))
        rested = max(0.0, (now - datetime.fromisoformat(told.at)).total_seconds())
        # One second more, since times are told in whole ones.
        history.slept(silence_for(chance_to_rest(rules, lead), lead) + rested + 1)
        self._watched_at = now

    def _note_calls(self, history: History, worker: Worker, heard: Heard) -> None:
        uid, at = worker.pod.ref.uid, heard.at.timestamp()
        known = self._calls.get(uid, {})
        calls = {call.id: known.get(call.id, at - call.age_seconds) for call in heard.state.sessions}
        # Calls that were under way when we began to listen, or to listen again, are no rush of new ones.
        oldest = at - SILENT_AFTER_SECONDS
        new = sorted(moment for call, moment in calls.items() if call not in known)
        history.seed([moment for moment in new if moment < oldest], at)
        for moment in new:
            if moment >= oldest:
                history.began(moment)
        for call, moment in known.items():
            if call not in calls:
                history.ended(moment, max(moment, at))
        self._calls[uid], self._heard[uid] = calls, heard

    def _note_preference(self, fleet: Fleet, now: datetime) -> None:
        """Note whether new calls went to workers that asked for them, while the words before are still kept."""
        said = {w.pod.ref.uid: w.heard for w in fleet if w.heard is not None and w.state(now) is not None}
        words = Words(self._heard, said)
        for uid, heard in said.items():
            if uid in self._calls and self._heard[uid] is not heard:
                new = sum(call.id not in self._calls[uid] for call in heard.state.sessions)
                self.preference = self.preference.after(uid, new, words)

    def _note_refusals(self, history: History, fleet: Fleet, worker: Worker, heard: Heard, now: datetime) -> None:
        """Take a refused call for a lost one only if no worker had room: else LiveKit asked the next."""
        before = self._heard.get(worker.pod.ref.uid)
        if before is None or before.state.instance != heard.state.instance:
            return
        refused = heard.state.refused - before.state.refused
        if refused > 0 and not fleet.free_slots(now):
            for _ in range(min(refused, _MOST_REFUSALS)):
                history.blocked(heard.at.timestamp())

    def _note_start(self, history: History, worker: Worker, startup_seconds: int, now: datetime) -> None:
        uid = worker.pod.ref.uid
        came_up, takes_calls = uid in self.took_calls_at, worker.takes_calls(now)
        if takes_calls:
            self.took_calls_at[uid] = now
        if came_up:
            return
        if takes_calls:
            seen_at, created_at = self._starting_since.get(uid), worker.pod.created_at
            if seen_at is not None and created_at is not None and uid not in self._held_up:
                # Its birth is dated by another clock, which may be ahead of ours.
                seconds = (now - min(seen_at, created_at)).total_seconds()
                if seconds <= max(_LONGEST_START_SECONDS, 3 * startup_seconds):
                    history.started(seconds)
            self._failures_in_row = 0
        elif worker.activity(now) is Activity.STARTING:
            self._starting_since.setdefault(uid, now)
        if _is_held_up(worker, now):
            self._held_up.add(uid)

    def _note_failure(self, worker: Worker) -> None:
        uid = worker.pod.ref.uid
        if worker.pod.ended and uid not in self._failed:
            self._failed.add(uid)
            # One that worked for long and then ended is an accident, not a row.
            self._failures_in_row = 1 if uid in self.took_calls_at else self._failures_in_row + 1

    def _count_hours(self, fleet: Fleet, told: WorkerHours | None, now: datetime) -> None:
        before, self._counted_at = self._counted_at, now
        running = [worker.pod for worker in fleet if not worker.pod.ended]
        if before is not None and before.date() == now.date():
            self.worker_hours += len(running) * (now - before).total_seconds() / _HOUR_SECONDS
            return
        known = float(told.hours) if before is None and told is not None and told.day == now.date().isoformat() else 0.0
        # Whoever is there has run since then, also while no operator counted; of those that are gone only they knew.
        self.worker_hours = max(known, sum(_hours_today(pod, now) for pod in running))

    def _forget(self, history: History, uid: str, now: datetime) -> None:
        for moment in self._calls.pop(uid).values():
            history.ended(moment, max(moment, now.timestamp()))
        self._heard.pop(uid, None)


def _is_held_up(worker: Worker, now: datetime) -> bool:
    """Tell whether it waits for what says nothing about the next start: a Secret, LiveKit, a way to its port."""
    trouble, state = worker.pod.trouble, worker.state(now)
    if trouble is not None and trouble.reason is not Reason.UNSCHEDULABLE:
        return True
    return worker.activity(now) is Activity.SILENT or (state is not None and state.livekit_away is not None)


def _hours_today(pod: Pod, now: datetime) -> float:
    """Return for how long a pod has been there since midnight (UTC)."""
    if pod.created_at is None:
        return 0.0
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(0.0, (now - max(pod.created_at, midnight)).total_seconds()) / _HOUR_SECONDS
