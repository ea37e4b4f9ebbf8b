"""The life of one call, from the room to the end.

A hang-up does not end a job by itself: whatever ends the call, from either side, is turned into the end of the job
here, for a job that lives on holds a slot.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field

from livekit import rtc
from livekit.agents import Agent, AgentSession, CloseEvent, CloseReason, JobContext

from voicefleet.call_variables import fill
from voicefleet.dialogue import DialoguePlan
from voicefleet.phrases import disclosure
from voicefleet_worker.listening import report_on
from voicefleet_worker.manners import Manners
from voicefleet_worker.reports import Reporter
from voicefleet_worker.saying import reply, say
from voicefleet_worker.session import room_options
from voicefleet_worker.tools.http import HttpTools
from voicefleet_worker.tools.toolbox import Toolbox

logger = logging.getLogger("voicefleet.call")

# An outbound agent waits in the room while the phone rings; carriers give up within two minutes.
CALLER_WAIT_SECONDS = 180.0
# Whoever has waited longer than this for the agent has hung up.
CONNECT_SECONDS = 30.0
# A browser whose network changed takes seconds to join anew, and counts as gone meanwhile.
RETURN_SECONDS = 10.0
HANG_UP_SECONDS = 10.0
_EARLY_SECONDS = 10.0
_KEY_SECONDS = 0.25
# In the order of their codes, as RFC 4733 has them.
DTMF_KEYS = "0123456789*#ABCD"
_CALL_STATUS = "sip.callStatus"
_AGENT_NAME = "lk.agent_name"
_ANSWERED = ("active", "")
_LOST_ON_THE_WAY = frozenset({
    rtc.DisconnectReason.CONNECTION_TIMEOUT,
    rtc.DisconnectReason.DUPLICATE_IDENTITY,
    rtc.DisconnectReason.MIGRATION,
    rtc.DisconnectReason.SIGNAL_CLOSE,
    rtc.DisconnectReason.STATE_MISMATCH,
})  # fmt: skip


async def hang_up(ctx: JobContext, reason: str) -> None:
    """End a call in which nobody would speak to the caller: better a dead line than a silent one."""
    # A LiveKit that does not answer keeps neither the job nor its slot.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HANG_UP_SECONDS):
            await ctx.delete_room()
    ctx.shutdown(reason)


@dataclass(frozen=True, slots=True)
class _Deeds:
    """What tools may do to the call itself."""

    manners: Manners
    ctx: JobContext

    def end_call(self) -> None:
        """Say goodbye and hang up."""
        self.manners.end_call()

    async def send_dtmf(self, digits: str) -> None:
        """Press keys, at a pace that machines at the other end can follow."""
        for digit in digits:
            await self.ctx.room.local_participant.publish_dtmf(code=DTMF_KEYS.index(digit), digit=digit)
            await asyncio.sleep(_KEY_SECONDS)


@dataclass(slots=True)
class Call:
    """A call under way."""

    ctx: JobContext
    plan: DialoguePlan
    values: dict[str, str]
    session: AgentSession[None]
    reporter: Reporter
    http: HttpTools
    _answered_seconds: float | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

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
        toolbox = Toolbox(self.plan.tools, self.http, _Deeds(manners, self.ctx), language=self.plan.language)
        agent = Agent(instructions=fill(self.plan.instructions, self.values), tools=toolbox.tools())
        await self.session.start(
            agent,
            room=self.ctx.room,
            room_options=room_options(self.plan),
            record=False,
            # It would tell every participant what is said and let each steer the session.
            session_host=False,
        )
        caller = await self._await_caller()
        if caller is None:
            self._end("no caller came")
            return
        self._end_with(caller)
        await self._await_answer(caller)
        if not self._ended.is_set():
            self._answered_seconds = time.monotonic()
            manners.begin()
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

    async def _await_caller(self) -> rtc.RemoteParticipant | None:
        try:
            async with asyncio.timeout(CALLER_WAIT_SECONDS):
                return await self.ctx.wait_for_participant()
        except TimeoutError:
            return None
        except RuntimeError:
            # The room went away while we waited; the job is on its way out.
            return None

    def _end_with(self, caller: rtc.RemoteParticipant) -> None:
        """End the job when the caller goes, whatever LiveKit gives as the reason; who was lost may come back."""

        def on_left(participant: rtc.RemoteParticipant) -> None:
            if participant.identity != caller.identity:
                return
            if participant.disconnect_reason in _LOST_ON_THE_WAY:
                self._later(self._end_unless_back(caller.identity))
            else:
                self._end("caller left", hung_up_early=self._is_early(participant))

        self.ctx.room.on("participant_disconnected", on_left)
        if caller.identity not in self.ctx.room.remote_participants:
            on_left(caller)

    def _is_early(self, caller: rtc.RemoteParticipant) -> bool:
        """Tell whether a caller who goes has hardly been here; who never picked up has not been here at all."""
        if self._answered_seconds is None:
            return caller.attributes.get(_CALL_STATUS, "") in _ANSWERED
        return time.monotonic() - self._answered_seconds <= _EARLY_SECONDS

    async def _end_unless_back(self, identity: str) -> None:
        await asyncio.sleep(RETURN_SECONDS)
        if identity not in self.ctx.room.remote_participants:
            self._end("caller left")

    async def _await_answer(self, caller: rtc.RemoteParticipant) -> None:
        """Say nothing into a phone that still rings."""
        answered = asyncio.Event()

        def look(*_: object) -> None:
            # Who was lost and came back is somebody new to the SDK.
            now = self.ctx.room.remote_participants.get(caller.identity, caller)
            if self._ended.is_set() or now.attributes.get(_CALL_STATUS, "") in _ANSWERED:
                answered.set()

        self.ctx.room.on("participant_attributes_changed", look)
        self.ctx.room.on("participant_disconnected", look)
        self.ctx.room.on("participant_connected", look)
        look()
        try:
            async with asyncio.timeout(CALLER_WAIT_SECONDS):
                await answered.wait()
        except TimeoutError:
            # The phone would ring on, and whoever picks up would hear nothing.
            await self._hang_up("not answered")
        finally:
            self.ctx.room.off("participant_attributes_changed", look)
            self.ctx.room.off("participant_disconnected", look)
            self.ctx.room.off("participant_connected", look)

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
            say(self.session, spoken, interruptible=interruptible)
        if instructions:
            reply(self.session, fill(instructions, self.values), interruptible=interruptible)

    def _disclosure(self) -> str:
        identification = self.plan.conversation.identification
        if not identification.disclose_ai:
            return ""
        return fill(identification.text or "", self.values) or disclosure(self.plan.language)

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
        if self._ended.is_set():
            return False
        self._ended.set()
        self.reporter.note_end(hung_up_early=hung_up_early)
        logger.info("call ends", extra={"reason": reason})
        return True

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
