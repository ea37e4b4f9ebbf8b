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
from livekit.agents import Agent, AgentSession, CloseEvent, CloseReason, JobContext

from voicefleet.call_variables import fill
from voicefleet.dialogue import DialoguePlan
from voicefleet.phrases import disclosure
from voicefleet_worker.deeds import CallDeeds
from voicefleet_worker.listening import report_on
from voicefleet_worker.manners import Manners
from voicefleet_worker.presence import Departure, Presence
from voicefleet_worker.recording.call_recording import CallRecording
from voicefleet_worker.reports import Reporter
from voicefleet_worker.session import room_options
from voicefleet_worker.tools.http import HttpTools
from voicefleet_worker.tools.toolbox import Toolbox

logger = logging.getLogger("voicefleet.call")

# Whoever has waited longer than this for the agent has hung up.
CONNECT_SECONDS = 30.0
HANG_UP_SECONDS = 10.0
_AGENT_NAME = "lk.agent_name"


async def hang_up(ctx: JobContext, reason: str) -> None:
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
    values: dict[str, str]
    session: AgentSession[None]
    reporter: Reporter
    http: HttpTools
    recording: CallRecording = field(default_factory=CallRecording)
    presence: Presence = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _is_over: bool = False

    def __post_init__(self) -> None:
        self.presence = Presence(self.ctx)

    async def begin(self) -> None:
        """Be in the room and warm before the caller is, greet, and see to it that the call ends."""
        self.session.on("close", self._on_close)
        report_on(self.session, self.reporter)
        await self._connect()
        if await self._is_another_room():
            self._end("the room is gone")
            return
        if self._is_one_too_many():
            self._end("another agent is here")
            return
        manners = Manners(self.session, self.plan, self.values, self._hang_up)
        toolbox = Toolbox(self.plan.tools, self.http, CallDeeds(manners, self.ctx), language=self.plan.language)
        instructions = self.recording.instruct(fill(self.plan.instructions, self.values))
        agent = Agent(instructions=instructions, tools=[*toolbox.tools(), *self.recording.tools()])
        await self.session.start(
            agent,
            room=self.ctx.room,
            room_options=room_options(self.plan),
            record=False,
            # It would tell every participant what is said and let each steer the session.
            session_host=False,
        )
        self.recording.listen(self.session)
        caller = await self.presence.arrival()
        if caller is None:
            self._end("no caller came")
            return
        self.watch_caller(caller)
        if not await self.presence.answer(caller):
            # The phone would ring on, and whoever picks up would hear nothing.
            await self._hang_up("not answered")
        elif not self._is_over:
            manners.begin()
            self.recording.begin(self.session, self.values)
            self._greet()

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

    def _greet(self) -> None:
        greeting = self.plan.greeting
        opening = self._disclosure()
        if greeting is None or greeting.wait_for_caller:
            # The machine says what it is even where it does not speak first otherwise.
            words, instructions, interruptible = "", None, True
        else:
            words, instructions, interruptible = greeting.text or "", greeting.instructions, greeting.interruptible
        spoken = " ".join(filter(None, [opening, fill(words, self.values)]))
        if spoken:
            self.session.say(spoken, allow_interruptions=interruptible)
        if instructions:
            self.session.generate_reply(instructions=fill(instructions, self.values), allow_interruptions=interruptible)

    def _disclosure(self) -> str:
        identification = self.plan.conversation.identification
        if not identification.disclose_ai:
            return ""
        return fill(identification.text or "", self.values) or disclosure(self.plan.language)

    def watch_caller(self, caller: rtc.RemoteParticipant) -> None:
        """End the job when the caller is gone."""

        def on_gone(departure: Departure) -> None:
            self._end("caller left", hung_up_early=departure.hung_up_early)

        self.presence.watch(caller, on_gone)

    def _on_close(self, event: CloseEvent) -> None:
        if event.reason == CloseReason.ERROR:
            logger.error("session failed", extra={"kind": getattr(event.error, "type", "")})
            self.reporter.note_failure()
            self._later(self._hang_up("session failed"))
            return
        self._end("session closed")

    async def _hang_up(self, reason: str) -> None:
        if self._note_end(reason):
            await hang_up(self.ctx, reason)

    def _end(self, reason: str, *, hung_up_early: bool = False) -> None:
        if self._note_end(reason, hung_up_early=hung_up_early):
            self.ctx.shutdown(reason)

    def _note_end(self, reason: str, *, hung_up_early: bool = False) -> bool:
        if self._is_over:
            return False
        self._is_over = True
        self.presence.end()
        self.reporter.note_end(hung_up_early=hung_up_early)
        logger.info("call ends", extra={"reason": reason})
        return True

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
