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
    UserStateChangedEvent,
    stt,
)
from livekit.agents.utils import AudioBuffer

from voicefleet_worker.failover.switch import ONCE, Attempt, Switch
from voicefleet_worker.failover.tape import Tape

_TRY_AGAIN_SECONDS = 0.5
# Who speaks into the void for so long hangs up; so does the session then.
_GIVE_UP_SECONDS = 20.0
_LOOK_SECONDS = 0.1
# A sound shorter than this need not have been a word.
_COUGH_SECONDS = 0.7
_END = stt.SpeechEventType.END_OF_SPEECH
_FINAL = stt.SpeechEventType.FINAL_TRANSCRIPT
_USAGE = stt.SpeechEventType.RECOGNITION_USAGE


class CallerSpeaks:
    """When the caller has spoken, as who tells speech from silence has it."""

    def __init__(self) -> None:
        self._spoken: list[tuple[float, float]] = []
        self._since: float | None = None

    def follow(self, event: UserStateChangedEvent) -> None:
        """Note that the caller begins or ends to speak."""
        now = asyncio.get_running_loop().time()
        if event.new_state == "speaking":
            self._since = self._since or now
        elif self._since is not None:
            self._spoken.append((self._since, now))
            self._since = None

    def seconds_unheard(self, last_word_at: float) -> float:
        """Return how long ago the caller began to say something of which there is not a word yet."""
        now = asyncio.get_running_loop().time()
        self._spoken = [each for each in self._spoken if each[1] > last_word_at]
        spoken = [*self._spoken, (self._since, now)] if self._since is not None else self._spoken
        unheard = [(max(begin, last_word_at), end) for begin, end in spoken]
        if sum(end - begin for begin, end in unheard) < _COUGH_SECONDS:
            return 0.0
        return now - unheard[0][0]


class HearingInTurn(stt.STT[Any]):
    """A recogniser as the session sees it; behind it all of a line-up."""

    def __init__(self, switch: Switch[stt.STT[Any]], caller: CallerSpeaks) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._switch = switch
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
        tried: set[str] = set()
        loop = asyncio.get_running_loop()
        deaf_since: float | None = None
        while True:
            try:
                attempt = self._switch.begin(tried)
            except APIConnectionError:
                # All have just failed, or rest: the caller is still there, and the tape runs.
                deaf_since = deaf_since or loop.time()
                if loop.time() - deaf_since > _GIVE_UP_SECONDS:
                    raise
                tried.clear()
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
                continue
            ear = _Ear(self, attempt)
            try:
                await ear.listen()
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises, another one may do better
                self._switch.fail(attempt, error)
                if ear.has_heard:
                    tried.clear()
                    deaf_since = None
                tried.add(attempt.name)
            else:
                return
            finally:
                self._switch.release(attempt)

    async def _metrics_monitor_task(self, event_aiter: AsyncIterable[stt.SpeechEvent]) -> None:
        """Measure nothing: whoever is asked does."""
        async for _ in event_aiter:
            pass


def _hand_over(item: object, inner: stt.RecognizeStream) -> None:
    if isinstance(item, rtc.AudioFrame):
        inner.push_frame(item)
    else:
        inner.flush()


class _Ear:
    """One provider that hears the call, from where the one before left off."""

    def __init__(self, hearing: _Hearing, attempt: Attempt[stt.STT[Any]]) -> None:
        self._hearing = hearing
        self._attempt = attempt
        self._begin_seconds = hearing._tape.begin_seconds
        self._last_word_at = asyncio.get_running_loop().time()
        self.has_heard = False

    async def listen(self) -> None:
        """Hear until the call is over; raise when this one fails."""
        hearing, attempt = self._hearing, self._attempt
        options = APIConnectOptions(max_retry=attempt.plan.retries, timeout=attempt.plan.timeout_seconds)
        attempt.model.on("metrics_collected", self._hand_on)
        try:
            async with attempt.model.stream(conn_options=options) as inner:
                # What lies on the tape was said before now.
                inner.start_time_offset = hearing.start_time_offset + self._begin_seconds
                for frame in hearing._tape:
                    inner.push_frame(frame)
                if hearing._is_over:
                    inner.end_input()
                hearing._inner = inner
                await self._hand_on_words(inner)
        finally:
            hearing._inner = None
            attempt.model.off("metrics_collected", self._hand_on)
        if not hearing._is_over:
            raise APIError("who hears has hung up", retryable=False)

    async def _hand_on_words(self, inner: stt.RecognizeStream) -> None:
        silence = asyncio.create_task(self._watch_for_silence())
        words = asyncio.create_task(self._read(inner))
        try:
            await asyncio.wait({silence, words}, return_when=asyncio.FIRST_COMPLETED)
            (silence if silence.done() else words).result()
        finally:
            for task in (silence, words):
                task.cancel()
            await asyncio.gather(silence, words, return_exceptions=True)

    async def _read(self, inner: stt.RecognizeStream) -> None:
        async for event in inner:
            if event.type is not _USAGE:
                self._note_word(event, inner)
            self._hearing._event_ch.send_nowait(event)

    def _note_word(self, event: stt.SpeechEvent, inner: stt.RecognizeStream) -> None:
        self._last_word_at = asyncio.get_running_loop().time()
        if not self.has_heard:
            self.has_heard = True
            self._hearing._switch.succeed(self._attempt)
        if event.type is _FINAL and event.alternatives:
            ended = event.alternatives[0].end_time
            # The SDK has added when this one began to what the provider says, who counts from where the tape began.
            until = ended - inner.start_time_offset + self._begin_seconds
            self._hearing._tape.written_down(until if ended > 0 else None)

    async def _watch_for_silence(self) -> None:
        """Return never; raise when the caller speaks and nobody writes anything down."""
        limit = self._hearing._switch.lineup.silence_seconds
        caller = self._hearing._caller
        while not limit or caller.seconds_unheard(self._last_word_at) < limit:  # noqa: ASYNC110 - nobody would tell
            await asyncio.sleep(_LOOK_SECONDS)
        raise APITimeoutError("not a word while the caller speaks", retryable=False)

    def _hand_on(self, metrics: object) -> None:
        self._hearing._stt.emit("metrics_collected", metrics)
