"""Keys that the caller presses: they interrupt the agent, and do what the spec or the agent makes of them.

Which ones were pressed stands in no log: they may be the digits of a card.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from livekit import rtc
from livekit.agents import AgentSession

from voicefleet.api.voiceagent.conversation import Conversation
from voicefleet.api.voiceagent.telephony import Transfer
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet.conversation.keypad import NOTHING, Meaning, WantsAction, in_words, menu_of, press, settle
from voicefleet.conversation.transferring import after_failure, can_transfer, transfer_by_keys, why_not
from voicefleet_worker.calls.deeds import DTMF_KEYS, CallDeeds

logger = logging.getLogger("voicefleet.call")

HandOver = Callable[[str, Callable[[], bool]], Awaitable[bool]]
"""Hands the caller over to an agent while that is wanted, or tells that there is none."""


class Keypad:
    """That of the caller of one call."""

    def __init__(
        self,
        session: AgentSession[None],
        plan: DialoguePlan,
        deeds: CallDeeds,
        hand_over: HandOver,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._plan = plan
        self._deeds = deeds
        self._hand_over = hand_over
        self._clock = clock
        self._menu = menu_of(plan.telephony.dtmf)
        self._ends_turns = _key_that_ends_turns(plan.conversation)
        self._pressed = NOTHING
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Future[None]] = set()

    def begin(self, room: rtc.Room) -> None:
        """Listen from now on, if the spec wants it."""
        if self._plan.telephony.dtmf.enabled:
            room.on("sip_dtmf_received", self._on_key)

    def _on_key(self, event: rtc.SipDTMF) -> None:
        who = event.participant.identity if event.participant is not None else None
        if who != self._deeds.presence.identity or event.digit not in DTMF_KEYS or not self._is_free():
            return
        if event.digit == self._ends_turns:
            return
        self._deeds.manners.hear()
        # What the spec does not let anybody interrupt is said to its end, and the key counts all the same.
        with contextlib.suppress(RuntimeError):
            self._session.interrupt()
        self._pressed, complete = press(self._menu, self._pressed, event.digit, self._clock())
        self._act(complete)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._menu.pause_seconds, self._settle)

    def _settle(self) -> None:
        """Act on what is complete because no other key came; a timer may be early by a little."""
        now_seconds = max(self._clock(), self._pressed.complete_at_seconds)
        self._pressed, complete = settle(self._menu, self._pressed, now_seconds)
        self._act(complete)

    def _is_free(self) -> bool:
        return self._deeds.is_free

    def _act(self, meanings: Iterable[Meaning]) -> None:
        for meaning in meanings:
            if not self._is_free():
                return
            transfer = transfer_by_keys(meaning, self._plan.telephony)
            if transfer is not None and can_transfer(transfer, self._plan.dial_out):
                self._later(self._put_through(transfer))
            elif isinstance(meaning, WantsAction) and meaning.action.end_call:
                self._deeds.end_call()
            elif isinstance(meaning, WantsAction) and meaning.action.agent is not None:
                self._later(self._give_to(meaning.action.agent, meaning))
            else:
                self._tell(meaning)

    def _tell(self, meaning: Meaning) -> None:
        with contextlib.suppress(RuntimeError):
            self._session.generate_reply(user_input=in_words(meaning))

    async def _give_to(self, agent: str, meaning: Meaning) -> None:
        if not await self._hand_over(agent, self._is_free):
            self._tell(meaning)

    async def _put_through(self, transfer: Transfer) -> None:
        try:
            told = await self._deeds.put_through(transfer)
        except Exception:
            # Whatever is wrong with us is no reason to leave a caller who pressed a key in silence.
            logger.exception("a caller could not be put through")
            told = after_failure(transfer, why_not(None))
        if told is not None:
            with contextlib.suppress(RuntimeError):
                self._session.generate_reply(instructions=told)

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _key_that_ends_turns(conversation: Conversation) -> str:
    """Return the key that means nothing but that the caller has finished."""
    wishes = conversation.push_to_talk if conversation.turn_taking.detection == "PushToTalk" else None
    return wishes.commit_digit if wishes is not None else ""
