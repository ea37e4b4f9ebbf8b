"""Putting a caller through to a person, once at a time and never twice for one wish.

An answer that does not come is not asked for again: the person's phone may ring by now.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
from google.protobuf.duration_pb2 import Duration
from livekit import api, rtc
from livekit.agents import AgentSession, JobContext

from voicefleet.api.voiceagent.telephony import Transfer
from voicefleet.conversation.call_variables import fill
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet.conversation.phrases import put_through
from voicefleet.conversation.transferring import Dial, Impossible, Refer, after_failure, plan_transfer, why_not
from voicefleet.records.life import News
from voicefleet_worker.calls.manners import Manners
from voicefleet_worker.calls.presence import Presence, is_phone
from voicefleet_worker.saying import say

logger = logging.getLogger("voicefleet.call")

PERSON = "person"
"""Identity of whoever is dialed; one room has one at most."""
_SPEAKING_SECONDS = 30.0
_CALL_OFF_SECONDS = 10.0
_UNANSWERED = (api.ServerErrorCode.DEADLINE_EXCEEDED, api.ServerErrorCode.UNAVAILABLE)
_UNDER_WAY = "The caller is being put through already."
_ENDS = "The call is being ended."
_IN_DOUBT = "An earlier transfer may still come about, so there can be no other one."
_GONE = "the caller is gone"
_NO_TIME = "this line has to close"
_HUNG_UP = "the person hung up"
_NOT_KNOWN = "it is not known whether the call got through"
_INTRODUCE = (
    "A colleague has just joined the call and hears you and the caller. In two short sentences tell the colleague who"
    " the caller is and what they want, and then that you leave them to it."
)


class Transfers:
    """Those of one call."""

    def __init__(
        self,
        ctx: JobContext,
        session: AgentSession[None],
        plan: DialoguePlan,
        talk: tuple[Manners, Presence],
        leave: Callable[[], None],
    ) -> None:
        self._ctx = ctx
        self._session = session
        self._plan = plan
        self._manners, self._presence = talk
        self._course = self._presence.course
        self._leave = leave
        self._is_in_doubt = False
        self._was_heard = True
        self._is_late = asyncio.Event()

    def let_go(self) -> None:
        """Do not hear the caller afterwards, if the transfer fails: they have let go of the key that they held."""
        self._was_heard = False

    def hurry(self) -> None:
        """Let no phone ring any more: the worker leaves, and the caller is to hear that before it is gone.

        What a carrier was asked for cannot be taken back, and whoever has picked up is there already.
        """
        self._is_late.set()

    async def put_through(self, transfer: Transfer) -> str | None:
        """Put the caller through; return what the agent is to do if that failed and the call goes on."""
        if self._course.life.is_putting_through:
            return _UNDER_WAY
        if not self._course.life.is_free:
            return _ENDS
        if self._is_in_doubt:
            return _IN_DOUBT
        why = await self._try(transfer)
        if why is None:
            return None
        logger.info("transfer failed", extra={"reason": why})
        told = after_failure(transfer, why)
        if transfer.on_failure == "EndCall":
            self._manners.end_call(told)
            return None
        return told

    async def _try(self, transfer: Transfer) -> str | None:
        """Put the caller through and leave, or say why not."""
        on_phone = is_phone(self._presence.caller)
        way = plan_transfer(transfer, self._plan.dial_out, self._plan.telephony, is_phone=on_phone)
        if isinstance(way, Impossible):
            return way.why
        with contextlib.ExitStack() as hold:
            hold.callback(self._go_on)
            self._hold()
            announcement = fill(transfer.announcement or "", self._manners.values)
            await self._say(announcement or put_through(self._manners.language))
            caller = self._presence.caller
            if caller is None:
                return _GONE
            if self._is_late.is_set():
                return _NO_TIME
            if not self._course.move(News.REFER if isinstance(way, Refer) else News.DIAL):
                return _GONE
            why = await self._refer(way, caller) if isinstance(way, Refer) else await self._dial(way)
            if why is None:
                # What is said from now on is not for us.
                hold.pop_all()
                self._leave()
            return why

    def _hold(self) -> None:
        """Let the caller wait: what they say meanwhile is meant for nobody, and their silence means nothing."""
        self._course.move(News.HOLD)
        # Whoever has to hold a key in order to be heard has to do so afterwards, too.
        self._was_heard = self._session.input.audio_enabled
        self._session.input.set_audio_enabled(False)

    def _go_on(self) -> None:
        if self._course.move(News.BACK):
            self._session.input.set_audio_enabled(self._was_heard)
            self._manners.go_on()

    async def _refer(self, way: Refer, caller: rtc.RemoteParticipant) -> str | None:
        request = api.TransferSIPParticipantRequest(
            room_name=self._ctx.room.name,
            participant_identity=caller.identity,
            transfer_to=f"tel:{way.number}",
            ringing_timeout=Duration(seconds=way.ringing_seconds),
        )
        try:
            answer = await self._ctx.api.sip.transfer_sip_participant(request)
        except api.ServerError as error:
            return self._note(error)
        except (TimeoutError, aiohttp.ClientError):
            return self._note(None)
        # Servers that answer a transfer only when it has succeeded say nothing in their answer.
        says_nothing = answer == api.TransferSIPParticipantResponse()
        return None if says_nothing or answer.status == api.SIPTransferStatus.STS_TRANSFER_SUCCESSFUL else why_not(None)

    async def _dial(self, way: Dial) -> str | None:
        request = api.CreateSIPParticipantRequest(
            sip_trunk_id=way.over.trunk_id,
            sip_call_to=way.number,
            sip_number=way.over.caller_id or "",
            room_name=self._ctx.room.name,
            participant_identity=PERSON,
            # The caller hears that it rings.
            play_dialtone=True,
            wait_until_answered=True,
            ringing_timeout=Duration(seconds=way.ringing_seconds),
        )
        try:
            if not await self._is_answered(self._ctx.api.sip.create_sip_participant(request)):
                return _NO_TIME if await self._call_off() else self._note(None)
        except api.ServerError as error:
            return self._note(error, called_off=await self._call_off())
        except (TimeoutError, aiohttp.ClientError):
            return self._note(None, called_off=await self._call_off())
        self._course.move(News.MEET)
        await self._introduce()
        return None if PERSON in self._ctx.room.remote_participants else _HUNG_UP

    async def _is_answered(self, asking: Coroutine[Any, Any, object]) -> bool:
        """Wait until the person has picked up, or tell that there is no time for that."""
        answer, late = asyncio.ensure_future(asking), asyncio.ensure_future(self._is_late.wait())
        try:
            await asyncio.wait({answer, late}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                answer.result()
            return answer.done()
        finally:
            answer.cancel()
            late.cancel()

    async def _introduce(self) -> None:
        # Caller and person can talk by now, so nothing that goes wrong here is worth an end.
        with contextlib.suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(_SPEAKING_SECONDS):
                await self._session.generate_reply(
                    instructions=_INTRODUCE, allow_interruptions=False, tool_choice="none"
                )

    async def _call_off(self) -> bool:
        """Let the person's phone ring no more; tell whether that is certain."""
        who = api.RoomParticipantIdentity(room=self._ctx.room.name, identity=PERSON)
        try:
            async with asyncio.timeout(_CALL_OFF_SECONDS):
                await self._ctx.api.room.remove_participant(who)
        except api.ServerError as error:
            return bool(error.code == api.ServerErrorCode.NOT_FOUND)
        except (TimeoutError, aiohttp.ClientError):
            return False
        return True

    def _note(self, error: api.ServerError | None, *, called_off: bool = False) -> str:
        """Say why a transfer failed, and remember one of which that is not known."""
        if isinstance(error, api.SipCallError):
            return why_not(error.sip_status_code)
        if not called_off and (error is None or error.code in _UNANSWERED):
            self._is_in_doubt = True
            return _NOT_KNOWN
        return why_not(None)

    async def _say(self, words: str) -> None:
        with contextlib.suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(_SPEAKING_SECONDS):
                await say(self._session, words, interruptible=False)
