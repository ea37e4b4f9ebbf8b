"""Who hears: another one takes over with the words that nobody has written down yet."""

import asyncio
import contextlib
from collections.abc import AsyncIterable
from typing import Any

from livekit import rtc
from livekit.agents import (
    NOT_GIVEN,
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APITimeoutError,
    NotGivenOr,
    stt,
)
from livekit.agents.utils import AudioBuffer

from voicefleet_worker.failover.patience import CallerSpeaks, Patience, watched
from voicefleet_worker.failover.switch import ONCE, Attempt, Switch
from voicefleet_worker.failover.tape import Tape

_TRY_AGAIN_SECONDS = 0.5
_LOOK_SECONDS = 0.1
_FINAL = stt.SpeechEventType.FINAL_TRANSCRIPT
_USAGE = stt.SpeechEventType.RECOGNITION_USAGE
# By these a provider says that no more words of a sentence come.
_ENDS = (_FINAL, stt.SpeechEventType.END_OF_SPEECH)
_WORDS = (_FINAL, stt.SpeechEventType.INTERIM_TRANSCRIPT, stt.SpeechEventType.PREFLIGHT_TRANSCRIPT)


class HearingInTurn(stt.STT[Any]):
    """A recogniser as the session sees it; behind it all of a line-up."""

    def __init__(self, switch: Switch[stt.STT[Any]], caller: CallerSpeaks) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._switch = switch
        switch.hand_on = lambda metrics: self.emit("metrics_collected", metrics)
        self._caller = caller
        self._recognize_metrics_needed = False

    @property
    def model(self) -> str:
        """Model of whom the call is with."""
        return self._switch.current.model or "default"

    @property
    def provider(self) -> str:
        """Name of whom the call is with."""
        return self._switch.current.name

    async def _recognize_impl(
        self, buffer: AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        raise NotImplementedError("a call is heard as it comes, never in one piece")

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002 - each has been built for the agent's own
        conn_options: APIConnectOptions = ONCE,
    ) -> stt.RecognizeStream:
        """Begin to hear."""
        return _Hearing(self, self._switch, self._caller, conn_options=conn_options)

    def note_latency(self, seconds: float) -> None:
        """Note how long after the caller's last sound the last word came."""
        self._switch.note_latency(seconds)

    async def aclose(self) -> None:
        """Close all that were asked."""
        for model in self._switch.models():
            await model.aclose()


class _Hearing(stt.RecognizeStream):
    """One call, heard by as many as it takes."""

    def __init__(
        self,
        outer: HearingInTurn,
        switch: Switch[stt.STT[Any]],
        caller: CallerSpeaks,
        *,
        conn_options: APIConnectOptions,
    ) -> None:
        super().__init__(stt=outer, conn_options=conn_options)
        self._switch = switch
        self._caller = caller
        self._tape = Tape()
        self._inner: stt.RecognizeStream | None = None
        self._is_over = False
        self._silent: list[Attempt[stt.STT[Any]]] = []
        self.is_watched = True
        """Whether silence of who hears means anything."""

    async def _run(self) -> None:
        taking_in = asyncio.create_task(self._take_in())
        try:
            await self._hear()
        finally:
            taking_in.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await taking_in

    async def _take_in(self) -> None:
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                self._tape.record(item)
            if self._inner is not None:
                # One that has just failed takes nothing any more; the tape has it.
                with contextlib.suppress(RuntimeError):
                    _hand_over(item, self._inner)
        self._is_over = True
        if self._inner is not None:
            with contextlib.suppress(RuntimeError):
                self._inner.end_input()

    async def _hear(self) -> None:
        loop, patience = asyncio.get_running_loop(), Patience()
        while True:
            try:
                attempt = self._switch.begin(patience.tried)
            except APIConnectionError:
                # All have just failed, or rest: the caller is still there, and the tape runs.
                if not patience.begin_anew(loop.time()):
                    raise
                # Where nobody wrote a word there may have been none.
                self.is_watched = not self._silent
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
                continue
            ear, began = _Ear(self, attempt), loop.time()
            try:
                await ear.listen()
            except _SilentError:
                # Perhaps there was nothing to hear; whether it is deaf the next one's words will tell.
                self._silent.append(attempt)
                patience.note_silence(attempt.plan)
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises, another one may do better
                if self._switch.fail(attempt, error):
                    continue
                if patience.note_failure(attempt.plan, lasted_seconds=loop.time() - began):
                    await asyncio.sleep(_TRY_AGAIN_SECONDS)
            else:
                return
            finally:
                self._switch.release(attempt)

    def note_word(self, attempt: Attempt[stt.STT[Any]]) -> None:
        """Note that somebody hears: whoever was silent over the same sound is deaf."""
        for silent in self._silent:
            if silent.name != attempt.name:
                self._switch.fail(silent, APITimeoutError("deaf on an open line", retryable=False))
        self._silent.clear()
        self.is_watched = True

    async def _metrics_monitor_task(self, event_aiter: AsyncIterable[stt.SpeechEvent]) -> None:
        """Measure nothing: whoever is asked does."""
        async for _ in event_aiter:
            pass


def _hand_over(item: object, inner: stt.RecognizeStream) -> None:
    if isinstance(item, rtc.AudioFrame):
        inner.push_frame(item)
    else:
        inner.flush()


class _SilentError(Exception):
    """The caller has spoken, and not a word was written down."""


class _Ear:
    """One provider that hears the call, from where the one before left off."""

    def __init__(self, hearing: _Hearing, attempt: Attempt[stt.STT[Any]]) -> None:
        self._hearing = hearing
        self._attempt = attempt
        self._begin_seconds = hearing._tape.begin_seconds
        self._last_word_at = asyncio.get_running_loop().time()
        self._is_within_words = False
        """Whether there were words that may still change, and none that may not."""

    async def listen(self) -> None:
        """Hear until the call is over; raise when this one fails."""
        hearing, attempt = self._hearing, self._attempt
        # Not again by itself: it would go on with what comes, and what came before would be lost.
        options = APIConnectOptions(max_retry=0, timeout=attempt.plan.timeout_seconds)
        try:
            async with attempt.model.stream(conn_options=options) as inner:
                # What lies on the tape was said before now.
                inner.start_time_offset = hearing.start_time_offset + self._begin_seconds
                for frame in hearing._tape:
                    inner.push_frame(frame)
                if hearing._is_over:
                    inner.end_input()
                hearing._inner = inner
                await watched(self._read(inner), self._watch_for_silence())
        finally:
            hearing._inner = None
        if not hearing._is_over:
            raise APIError("who hears has hung up", retryable=False)

    async def _read(self, inner: stt.RecognizeStream) -> None:
        async for event in inner:
            if event.type is not _USAGE:
                self._note_word(event, inner)
            self._hearing._event_ch.send_nowait(event)

    def _note_word(self, event: stt.SpeechEvent, inner: stt.RecognizeStream) -> None:
        self._last_word_at = asyncio.get_running_loop().time()
        if event.type in _ENDS:
            self._is_within_words = False
        # That somebody begins to speak may be told by our own ear; words come from nobody else.
        if event.type not in _WORDS or not any(each.text.strip() for each in event.alternatives):
            return
        self._is_within_words = event.type is not _FINAL
        self._hearing.note_word(self._attempt)
        if not self._attempt.is_answered:
            self._hearing._switch.succeed(self._attempt)
        if event.type is _FINAL and event.alternatives:
            ended = event.alternatives[0].end_time
            # The SDK has added when this one began to what the provider says, who counts from where the tape began.
            until = ended - inner.start_time_offset + self._begin_seconds
            self._hearing._tape.written_down(until if ended > 0 else None)

    async def _watch_for_silence(self) -> None:
        """Return never; raise when the caller speaks and nobody writes anything down."""
        limit, caller = self._hearing._switch.lineup.silence_seconds, self._hearing._caller
        # One that takes whole utterances answers each, or fails.
        is_watched = limit > 0 and not isinstance(self._attempt.model, stt.StreamAdapter)
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not is_watched or not self._hearing.is_watched:
                continue
            if caller.seconds_unheard(self._last_word_at) >= limit or self._has_broken_off(limit):
                raise _SilentError

    def _has_broken_off(self, limit: float) -> bool:
        """Tell whether it owes the end of a sentence that the caller has said, of which it wrote the beginning."""
        if not self._is_within_words or self._hearing._caller.is_speaking:
            return False
        return asyncio.get_running_loop().time() - self._last_word_at >= limit
