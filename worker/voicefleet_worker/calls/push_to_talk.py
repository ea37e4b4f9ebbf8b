"""Turns that the caller begins and ends by a key: in an app that holds it down, or on a phone that presses it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from livekit import rtc
from livekit.agents import AgentSession, UserInputTranscribedEvent, UserStateChangedEvent

from voicefleet.api.voiceagent.conversation import PushToTalk as Wishes
from voicefleet_worker.calls.deeds import CallDeeds

# The last word is still on its way when the key is let go.
_LAST_WORD_SECONDS = 0.2
# For so long the last words may take to be written down; where there are none left, nobody waits.
_LAST_WORDS_SECONDS = 4.0
_NO_WORDS_SECONDS = 0.1
_NOT_YOURS = 403

Method = Callable[[rtc.RpcInvocationData], Awaitable[str]]


class PushToTalk:
    """That of one call. Nobody but the caller has the key, and while they are put through it means nothing."""

    def __init__(self, session: AgentSession[None], room: rtc.Room, deeds: CallDeeds, wishes: Wishes) -> None:
        self._session = session
        self._room = room
        self._deeds = deeds
        self._caller = deeds.presence.identity
        self._wishes = wishes
        self._limit: asyncio.TimerHandle | None = None
        self._has_words = False
        self._has_unwritten_words = False

    def begin(self) -> None:
        """Listen while the key is held; where a phone's key ends turns, listen all the time."""
        self._session.input.set_audio_enabled(bool(self._wishes.commit_digit))
        if self._wishes.commit_digit:
            self._room.on("sip_dtmf_received", self._on_key)
        self._session.on("user_state_changed", self._on_state)
        self._session.on("user_input_transcribed", self._on_words)
        me = self._room.local_participant
        me.register_rpc_method("start_turn", self._for_caller(self._start))
        me.register_rpc_method("end_turn", self._for_caller(self._end))
        me.register_rpc_method("cancel_turn", self._for_caller(self._cancel))

    def _for_caller(self, deed: Callable[[], Awaitable[None]]) -> Method:
        async def answer(data: rtc.RpcInvocationData) -> str:
            if data.caller_identity != self._caller:
                raise rtc.RpcError(_NOT_YOURS, "only the caller has the key")
            # Of a call that is just over nobody wants to hear.
            with contextlib.suppress(RuntimeError):
                if self._deeds.is_free:
                    await deed()
                else:
                    self._let_go_on_hold()
            return ""

        return answer

    def _on_key(self, key: rtc.SipDTMF) -> None:
        is_callers = key.participant is not None and key.participant.identity == self._caller
        if is_callers and key.digit == self._wishes.commit_digit and self._deeds.is_free:
            with contextlib.suppress(RuntimeError):
                self._commit()

    def _on_state(self, event: UserStateChangedEvent) -> None:
        self._has_unwritten_words = self._has_unwritten_words or event.new_state == "speaking"

    def _on_words(self, event: UserInputTranscribedEvent) -> None:
        self._has_words = True
        self._has_unwritten_words = not event.is_final or self._session.user_state == "speaking"

    async def _start(self) -> None:
        # What may not be interrupted is said to its end, and the caller is heard all the same.
        with contextlib.suppress(RuntimeError):
            self._session.interrupt()
        # Whoever holds the key is there, though they may not have said a word.
        self._deeds.manners.hear()
        self._session.reset_away_timer()
        self._begin_anew()
        self._session.input.set_audio_enabled(True)
        self._forget_limit()
        self._limit = asyncio.get_running_loop().call_later(self._wishes.max_hold_seconds, self._held_too_long)

    async def _end(self) -> None:
        if self._is_held():
            await asyncio.sleep(_LAST_WORD_SECONDS)
            if self._deeds.is_free:
                self._let_go()
                self._commit()
            else:
                self._let_go_on_hold()

    async def _cancel(self) -> None:
        if self._is_held():
            self._let_go()
            self._begin_anew()

    def _held_too_long(self) -> None:
        with contextlib.suppress(RuntimeError):
            if self._deeds.is_free:
                self._let_go()
                self._commit()
            else:
                self._let_go_on_hold()

    def _is_held(self) -> bool:
        return self._limit is not None

    def _let_go(self) -> None:
        self._forget_limit()
        self._session.input.set_audio_enabled(bool(self._wishes.commit_digit))

    def _let_go_on_hold(self) -> None:
        """Whoever puts the caller through has shut the line, and would open it again as they found it."""
        if self._is_held() and not self._wishes.commit_digit:
            self._deeds.transfers.let_go()
        self._forget_limit()

    def _begin_anew(self) -> None:
        self._session.clear_user_turn()
        self._has_words = self._has_unwritten_words = False

    def _commit(self) -> None:
        if not self._has_words and not self._has_unwritten_words:
            # A key that was only touched is no turn.
            return
        # The SDK waits for words for as long as it may, even if all have come.
        patience = _LAST_WORDS_SECONDS if self._has_unwritten_words else _NO_WORDS_SECONDS
        self._session.commit_user_turn(transcript_timeout=patience)
        self._has_words = self._has_unwritten_words = False

    def _forget_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
