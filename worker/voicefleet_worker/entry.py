"""One call, in a process of its own. Loaded by name, since a job process starts from nothing but names.

A hang-up does not end a job by itself: whatever ends the call, from either side, is turned into the end of
the job here, for a job that lives on holds a slot.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

from livekit import rtc
from livekit.agents import Agent, AgentSession, CloseEvent, CloseReason, JobContext, JobProcess

from voicefleet.call_variables import Missing, fill, read_call_variables, resolve_variables
from voicefleet.dialogue import DialoguePlan
from voicefleet.phrases import disclosure
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.listening import report_on
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.reports import Reporter
from voicefleet_worker.secret_files import SecretFiles, check_keys
from voicefleet_worker.session import build_session, room_options

logger = logging.getLogger("voicefleet.call")

# An outbound agent waits in the room while the phone rings; carriers give up within two minutes.
CALLER_WAIT_SECONDS = 180.0
# Whoever has waited longer than this for the agent has hung up.
CONNECT_SECONDS = 30.0
# A browser whose network changed takes seconds to join anew, and counts as gone meanwhile.
RETURN_SECONDS = 10.0
HANG_UP_SECONDS = 10.0
_GOODBYE_SECONDS = 20.0
_EARLY_SECONDS = 10.0
# As the SDK says that nobody caught an error.
_CRASHED = "job crashed"
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
_GOODBYE = "The time for this call is over. Say goodbye in one short sentence."


@dataclass(frozen=True, slots=True)
class CallSetup:
    """What every job process is handed when it starts."""

    plan: DialoguePlan
    secrets: SecretFiles
    reports: Path | None = None
    """Where the worker hears what becomes of its calls."""
    board: Path | None = None
    """Where calls read how the providers are."""


def prepare_process(setup: CallSetup, process: JobProcess) -> None:
    """Put the setup where the call finds it."""
    process.userdata["setup"] = setup


async def entrypoint(ctx: JobContext) -> None:
    """Hold one call."""
    setup: CallSetup = ctx.proc.userdata["setup"]
    ctx.log_context_fields = {"job_id": ctx.job.id, "room_id": ctx.job.room.sid}
    reporter = Reporter(ctx.job.id, setup.reports)
    _say_farewell_in_the_end(ctx, reporter)
    values = resolve_variables(setup.plan.variables, read_call_variables(ctx.job.metadata))
    if isinstance(values, Missing):
        logger.error("call lacks variables", extra={"variables": list(values.names)})
        reporter.note_failure()
        await _hang_up(ctx, "variables missing")
        return
    try:
        await asyncio.to_thread(check_keys, setup.plan, setup.secrets)
        board = await asyncio.to_thread(BoardReader.open, setup.board)
        health = CallHealth(setup.plan.providers, reporter, board)
        session = build_session(setup.plan, setup.secrets, health)
        await Call(ctx=ctx, plan=setup.plan, values=values, session=session, reporter=reporter).begin()
    except BadInputError as error:
        logger.error("call cannot begin", extra={"problem": str(error)})  # noqa: TRY400 - no bug, no traceback
        reporter.note_failure()
        await _hang_up(ctx, "secret missing")
        return
    except rtc.ConnectError:
        # Who is in that room is not known; another agent may well speak there.
        raise
    except Exception:
        # A plugin may refuse options together that it takes one by one.
        reporter.note_failure()
        await _hang_up(ctx, "call cannot begin")
        raise


def _say_farewell_in_the_end(ctx: JobContext, reporter: Reporter) -> None:
    async def say_farewell(reason: str) -> None:
        if reason == _CRASHED:
            reporter.note_failure()
        await reporter.say_farewell()

    ctx.add_shutdown_callback(say_farewell)


async def _hang_up(ctx: JobContext, reason: str) -> None:
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
    _answered_seconds: float | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self) -> None:
        """Be in the room and warm before the caller is, greet, and see to it that the call ends."""
        self.session.on("close", self._on_close)
        report_on(self.session, self.reporter)
        await self._connect()
        if self._is_one_too_many():
            self._end("another agent is here")
            return
        agent = Agent(instructions=fill(self.plan.instructions, self.values))
        await self.session.start(
            agent,
            room=self.ctx.room,
            room_options=room_options(),
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
            self._later(self._end_when_too_long())
            self._greet()

    async def _connect(self) -> None:
        """Join the room; a job that waits for ever would keep its slot for ever."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self.ctx.connect()
        except TimeoutError as error:
            raise rtc.ConnectError(f"the room could not be joined within {CONNECT_SECONDS:g} s") from error

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
            if self._ended.is_set() or caller.attributes.get(_CALL_STATUS, "") in _ANSWERED:
                answered.set()

        self.ctx.room.on("participant_attributes_changed", look)
        self.ctx.room.on("participant_disconnected", look)
        look()
        try:
            async with asyncio.timeout(CALLER_WAIT_SECONDS):
                await answered.wait()
        except TimeoutError:
            self._end("not answered")
        finally:
            self.ctx.room.off("participant_attributes_changed", look)
            self.ctx.room.off("participant_disconnected", look)

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

    async def _end_when_too_long(self) -> None:
        duration = self.plan.conversation.duration
        await asyncio.sleep(duration.max_seconds)
        logger.info("call has reached its longest duration", extra={"max_seconds": duration.max_seconds})
        # A provider that is slow, or a caller who hangs up just now, does not keep the line.
        with contextlib.suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self.session.interrupt(force=True)
                if duration.goodbye:
                    await self.session.say(fill(duration.goodbye, self.values), allow_interruptions=False)
                else:
                    await self.session.generate_reply(instructions=_GOODBYE, allow_interruptions=False)
        await self._hang_up("too long")

    def _on_close(self, event: CloseEvent) -> None:
        if event.reason == CloseReason.ERROR:
            logger.error("session failed", extra={"kind": getattr(event.error, "type", "")})
            self.reporter.note_failure()
            self._later(self._hang_up("session failed"))
            return
        self._end("session closed")

    async def _hang_up(self, reason: str) -> None:
        if self._note_end(reason):
            await _hang_up(self.ctx, reason)

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
