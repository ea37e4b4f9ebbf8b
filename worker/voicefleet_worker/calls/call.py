"""The life of one call, from the room to the end.

A hang-up does not end a job by itself: whatever ends the call, from either side, is turned into the end of the job
here, for a job that lives on holds a slot.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field

from livekit import rtc
from livekit.agents import CloseEvent, CloseReason, JobContext

from voicefleet.api.voiceagent.conversation import PushToTalk as PushToTalkWishes
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet.records.ends import End
from voicefleet.records.life import (
    News,
    Parting,
    when_it_cannot_go_on,
    when_the_caller_goes,
    when_the_session_closes,
    when_the_worker_leaves,
)
from voicefleet_worker.calls.apologies import Apologies
from voicefleet_worker.calls.course import Course
from voicefleet_worker.calls.deeds import CallDeeds
from voicefleet_worker.calls.greeting import opening_words
from voicefleet_worker.calls.keypad import Keypad
from voicefleet_worker.calls.listening import report_on
from voicefleet_worker.calls.manners import Manners
from voicefleet_worker.calls.presence import NOBODY_WENT, Departure, Presence, is_phone
from voicefleet_worker.calls.push_to_talk import PushToTalk
from voicefleet_worker.calls.sounds import Files, start_sounds
from voicefleet_worker.calls.transfers import Transfers
from voicefleet_worker.calls.turn_times import measure_turns
from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.handoffs.team import Team
from voicefleet_worker.recording.call_recording import CallRecording
from voicefleet_worker.records.notebook import Notebook
from voicefleet_worker.voices.session import Session, room_options

logger = logging.getLogger("voicefleet.call")

# Whoever has waited longer than this for the agent has hung up.
CONNECT_SECONDS = 30.0
HANG_UP_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_AGENT_NAME = "lk.agent_name"


async def hang_up(ctx: JobContext, reason: End) -> None:
    """End a call in which nobody would speak to the caller: better a dead line than a silent one."""
    # A LiveKit that does not answer keeps neither the job nor its slot.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HANG_UP_SECONDS):
            await ctx.delete_room()
    ctx.shutdown(reason)


@dataclass(slots=True)
class Call:
    """A call under way."""

    ctx: JobContext
    plan: DialoguePlan
    team: Team
    session: Session
    reporter: Reporter
    notebook: Notebook
    board: BoardReader
    sound_files: Files = field(default_factory=dict)
    recording: CallRecording = field(default_factory=CallRecording)
    course: Course = field(init=False)
    presence: Presence = field(init=False)
    manners: Manners = field(init=False)
    transfers: Transfers = field(init=False)
    apologies: Apologies = field(init=False)
    deeds: CallDeeds = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.course = Course(self.notebook.entered)
        self.presence = Presence(self.ctx, self.course)
        self.manners = Manners(self.session, self.plan, self.team, self.course, self._hang_up)
        talk = (self.manners, self.presence)
        self.transfers = Transfers(self.ctx, self.session, self.plan, talk, lambda: self._end(End.TRANSFERRED))
        self.apologies = Apologies(self.session, self.team, self.course, self._give_up)
        self.deeds = CallDeeds(self.ctx, self.course, self.manners, self.presence, self.transfers, self.notebook)

    async def begin(self) -> None:
        """Be in the room and warm before the caller is, greet, and see to it that the call ends."""
        self.session.on("close", self._on_close)
        # Before those who read what it adds.
        measure_turns(self.session)
        report_on(self.session, self.reporter)
        self.notebook.follow(self.session)
        await self._connect()
        if await self._is_another_room():
            self._end(End.ROOM_GONE)
            return
        if self._is_one_too_many():
            self._end(End.ANOTHER_AGENT)
            return
        self._later(self._leave_with_the_worker())
        # While a phone rings there is nobody to hear, only the tones and announcements of its network.
        self.session.input.set_audio_enabled(False)
        await self.session.start(
            self.team.begin(self.session, self.deeds),
            room=self.ctx.room,
            room_options=room_options(self.plan),
            record=False,
            # It would tell every participant what is said and let each steer the session.
            session_host=False,
        )
        self.recording.listen(self.session)
        self.course.move(News.WARM)
        caller = await self.presence.arrival()
        if caller is None:
            self._end(End.NO_CALLER if self.ctx.room.isconnected() else End.ROOM_CLOSED)
            return
        self.course.move(News.CAME)
        self.watch_caller(caller)
        if not await self.presence.answer(caller):
            # The phone would ring on, and whoever picks up would hear nothing.
            await self._hang_up(End.NOT_ANSWERED)
        elif self.course.move(News.PICKED_UP):
            self.notebook.answered()
            await self._talk(caller)

    async def _talk(self, caller: rtc.RemoteParticipant) -> None:
        """Begin the conversation with a caller who is there."""
        talk = self.plan.conversation
        if is_phone(caller):
            # A phone's network lets no echo through.
            self.session.hear_at_once()
        self.manners.begin()
        self.apologies.begin()
        Keypad(self.session, self.plan, self.deeds, self.team.hand_over_to).begin(self.ctx.room)
        if talk.turn_taking.detection == "PushToTalk":
            wishes = talk.push_to_talk or PushToTalkWishes()
            PushToTalk(self.session, self.ctx.room, self.deeds, wishes).begin()
        else:
            self.session.input.set_audio_enabled(True)
        self.recording.begin(self.session, self.team.values)
        self.team.greet(opening_words(self.plan, self.team))
        await self._play_sounds()

    async def _play_sounds(self) -> None:
        try:
            player = await start_sounds(
                self.plan.conversation.background_audio, self.sound_files, self.ctx.room, self.session
            )
        except Exception as error:  # noqa: BLE001 - a call without a sound behind the voice is a call
            logger.warning("sounds cannot be played", extra={"problem": type(error).__name__})
            return
        if player is not None:
            self.ctx.add_shutdown_callback(player.aclose)

    async def _connect(self) -> None:
        """Join the room; a job that waits for ever would keep its slot for ever."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self.ctx.connect()
        except TimeoutError as error:
            raise rtc.ConnectError(f"the room could not be joined within {CONNECT_SECONDS:g} s") from error

    async def _is_another_room(self) -> bool:
        """Tell whether the call was over before we came: whoever joins a room that was deleted makes another one."""
        expected = self.ctx.job.room.sid
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return bool(expected) and await self.ctx.room.sid != expected
        except TimeoutError:
            # Nobody says which room it is; whoever waits in it is not to be left alone for that.
            return False

    def _is_one_too_many(self) -> bool:
        """Tell whether the caller has an agent already: LiveKit may send a second one after a caller who waited."""
        names = [p.attributes.get(_AGENT_NAME, "") for p in self.ctx.room.remote_participants.values()]
        return self.plan.dispatch_name in names

    async def _leave_with_the_worker(self) -> None:
        """Say goodbye when the worker is out of time; to a phone that rings there is nothing to say."""
        while not self.board.leaving:  # noqa: ASYNC110 - it is another process that says so
            await asyncio.sleep(_LOOK_SECONDS)
        parting = when_the_worker_leaves(self.course.life)
        if parting is not None:
            self._part(parting)
        else:
            self.manners.leave()
            self.transfers.hurry()

    def watch_caller(self, caller: rtc.RemoteParticipant) -> None:
        """End the job when the caller is gone."""

        def on_gone(departure: Departure) -> None:
            parting = when_the_caller_goes(self.course.life, room_is_closed=departure.room_is_closed)
            self._part(parting, departure)

        self.presence.watch(caller, on_gone)

    def _on_close(self, event: CloseEvent) -> None:
        has_failed = event.reason == CloseReason.ERROR
        if has_failed:
            logger.error("session failed", extra={"kind": getattr(event.error, "type", "")})
        leaves = self.board.leaving
        self._part(when_the_session_closes(self.course.life, has_failed=has_failed, worker_leaves=leaves))

    async def _give_up(self) -> None:
        await self._see_off(when_it_cannot_go_on(End.PROVIDERS_FAILED))

    def _part(self, parting: Parting, departure: Departure = NOBODY_WENT) -> None:
        """End the call as it was decided, at once if nobody has to be seen off."""
        if parting.is_at_once:
            self._end(parting.end, hung_up_early=departure.hung_up_early)
        else:
            self._later(self._see_off(parting, departure))

    async def _see_off(self, parting: Parting, departure: Departure = NOBODY_WENT) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(parting.patience_seconds):
                await self.course.settled()
        if parting.hangs_up:
            await self._hang_up(parting.end)
        else:
            self._end(parting.end, hung_up_early=departure.hung_up_early)

    async def _hang_up(self, reason: End) -> None:
        if self._note_end(reason):
            await hang_up(self.ctx, reason)

    def _end(self, reason: End, *, hung_up_early: bool = False) -> None:
        if self._note_end(reason, hung_up_early=hung_up_early):
            self.ctx.shutdown(reason)

    def _note_end(self, reason: End, *, hung_up_early: bool = False) -> bool:
        state = self.course.life.state
        if not self.course.move(News.END, reason):
            return False
        self.notebook.ended(reason)
        if reason in (End.SESSION_FAILED, End.PROVIDERS_FAILED):
            self.reporter.note_failure()
        self.reporter.note_end(hung_up_early=hung_up_early)
        logger.info("call ends", extra={"reason": reason.value, "state": state.value})
        return True

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
