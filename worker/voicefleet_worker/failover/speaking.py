"""Who speaks: another one says what is left of a sentence, and nothing twice."""

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterable, Mapping
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, APITimeoutError, tts
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, TimedString
from livekit.agents.utils import is_given, shortuuid

from voicefleet_worker.failover.patience import watched
from voicefleet_worker.failover.spoken import USUAL_CHARACTERS_PER_SECOND, Word, spoken_characters
from voicefleet_worker.failover.switch import ONCE, Attempt, Switch, Tries

SAMPLE_RATE = 24_000
_LOOK_SECONDS = 0.05
_SDK_SECONDS = 10.0


class SpeakingInTurn(tts.TTS[Any]):
    """A voice as the session hears it; behind it all of a line-up."""

    def __init__(self, switch: Switch[tts.TTS[Any]]) -> None:
        capabilities = tts.TTSCapabilities(streaming=True)
        super().__init__(capabilities=capabilities, sample_rate=SAMPLE_RATE, num_channels=1)
        self._switch = switch
        switch.hand_on = lambda metrics: self.emit("metrics_collected", metrics)
        self._wishes: Mapping[str, str] = {}

    def express(self, wishes: Mapping[str, str]) -> None:
        """Say from now on how things are to be said, by the names that plugins have for it."""
        self._wishes = {**self._wishes, **wishes}

    def tell(self, model: tts.TTS[Any]) -> None:
        """Tell one provider how it is to speak, as far as it takes such wishes."""
        # One that takes only whole texts is wrapped, and the wrapping has no options.
        update = getattr(getattr(model, "_wrapped_tts", model), "update_options", None)
        taken = inspect.signature(update).parameters if update else {}
        known = {name: value for name, value in self._wishes.items() if name in taken}
        if update and known:
            update(**known)

    @property
    def model(self) -> str:
        """Model of whom the call is with."""
        return self._switch.current.model or "default"

    @property
    def provider(self) -> str:
        """Name of whom the call is with."""
        return self._switch.current.name

    def synthesize(self, text: str, *, conn_options: APIConnectOptions = ONCE) -> tts.ChunkedStream:
        """Say a text that is known as a whole."""
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = ONCE) -> tts.SynthesizeStream:
        """Begin to speak."""
        return _Speech(self, self._switch, conn_options=conn_options)

    def prewarm(self) -> None:
        """Open the connection before the first word."""
        # Whoever cannot even be built is found out when there is something to say.
        with contextlib.suppress(Exception):
            self._switch.first_model().prewarm()

    async def aclose(self) -> None:
        """Close all that were asked."""
        for model in self._switch.models():
            await model.aclose()


class _Speech(tts.SynthesizeStream):
    """One answer, said by as many as it takes."""

    def __init__(self, outer: SpeakingInTurn, switch: Switch[tts.TTS[Any]], *, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=outer, conn_options=conn_options)
        self._outer = outer
        self._switch = switch
        self._text = ""
        self._said = 0
        self._is_whole = False
        self.told_at = 0.0
        """When there was last something new to say, or that no more comes."""
        self._inner: tts.SynthesizeStream | None = None

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=shortuuid(), sample_rate=SAMPLE_RATE, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id=shortuuid())
        taking_in = asyncio.create_task(self._take_in())
        try:
            await self._say_all(output_emitter)
        finally:
            taking_in.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await taking_in

    async def _take_in(self) -> None:
        async for item in self._input_ch:
            if isinstance(item, str):
                self._text += item
                self.told_at = time.perf_counter()
                if self._inner is not None:
                    self._inner.push_text(item)
        self._is_whole = True
        self.told_at = time.perf_counter()
        if self._inner is not None:
            self._inner.end_input()

    async def _say_all(self, output: tts.AudioEmitter) -> None:
        tries = Tries()
        while True:
            attempt = self._switch.begin(tries.tried)
            voice = _Voice(self, attempt, output)
            try:
                await voice.say()
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises, another one may do better
                if not self._switch.fail(attempt, error):
                    tries.note_failure(attempt.plan)
                self._said += voice.spoken_characters()
                if self._is_whole and not self._text[self._said :].strip():
                    return
            else:
                return
            finally:
                self._switch.release(attempt)

    async def _metrics_monitor_task(self, event_aiter: AsyncIterable[tts.SynthesizedAudio]) -> None:
        """Measure nothing: whoever is asked does."""
        async for _ in event_aiter:
            pass


class _Voice:
    """One provider that says what is left of an answer."""

    def __init__(self, speech: _Speech, attempt: Attempt[tts.TTS[Any]], output: tts.AudioEmitter) -> None:
        self._speech = speech
        self._attempt = attempt
        self._output = output
        self._before_seconds = output.pushed_duration()
        self._seconds = 0.0
        self._words: list[Word] = []
        self._last_sound_at = 0.0
        self._began_at = time.perf_counter()
        rate = attempt.model.sample_rate
        self._resampler = rtc.AudioResampler(rate, SAMPLE_RATE) if rate != SAMPLE_RATE else None

    def spoken_characters(self) -> int:
        """Return how much of what it was given it has said."""
        if not self._seconds:
            return 0
        text = self._speech._text[self._speech._said :]
        return spoken_characters(text, self._words, self._seconds, per_second=USUAL_CHARACTERS_PER_SECOND)

    async def say(self) -> None:
        """Say all that is left; raise when this one fails."""
        speech, attempt = self._speech, self._attempt
        # Some plugins give up when they wait for words for so long; who is too slow is found out here.
        patience = attempt.plan.timeout_seconds + attempt.plan.stall_seconds + _SDK_SECONDS
        options = APIConnectOptions(max_retry=0, timeout=patience)
        speech._outer.tell(attempt.model)
        try:
            async with attempt.model.stream(conn_options=options) as inner:
                inner.push_text(speech._text[speech._said :])
                if speech._is_whole:
                    inner.end_input()
                speech._inner = inner
                await watched(self._pass_on(inner), self._watch_for_silence(inner))
        finally:
            speech._inner = None

    async def _pass_on(self, inner: tts.SynthesizeStream) -> None:
        async for sound in inner:
            if not self._seconds:
                self._speech._switch.succeed(self._attempt, _since(inner))
                self._speech._started_time = self._speech._started_time or inner._started_time
            self._last_sound_at = time.perf_counter()
            self._pass_on_words(sound.frame)
            self._seconds += sound.frame.duration
            for frame in self._resampler.push(sound.frame) if self._resampler else [sound.frame]:
                self._output.push_frame(frame)
        for frame in self._resampler.flush() if self._resampler else []:
            self._output.push_frame(frame)

    def _pass_on_words(self, frame: rtc.AudioFrame) -> None:
        """Pass on when each word is said, counted from the beginning of the answer."""
        words = frame.userdata.get(USERDATA_TIMED_TRANSCRIPT) or []
        for word in words:
            if is_given(word.end_time):
                self._words.append((str(word), word.end_time))
        moved = [
            TimedString(
                str(word),
                start_time=word.start_time + self._before_seconds if is_given(word.start_time) else word.start_time,
                end_time=word.end_time + self._before_seconds if is_given(word.end_time) else word.end_time,
            )
            for word in words
        ]
        if moved:
            self._output.push_timed_transcript(moved)

    async def _watch_for_silence(self, inner: tts.SynthesizeStream) -> None:
        """Return never; raise when it has something to say and does not."""
        plan, speech = self._attempt.plan, self._speech
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.perf_counter()
            if self._last_sound_at:
                if speech._is_whole and now - max(self._last_sound_at, speech.told_at) > plan.stall_seconds:
                    raise APITimeoutError("it fell silent in the middle", retryable=False)
            elif max(_since(inner), self._waited_seconds(now)) > plan.timeout_seconds:
                raise APITimeoutError("not a sound", retryable=False)

    def _waited_seconds(self, now: float) -> float:
        """Return for how long it has had the whole text; before, it may wait for the end of a sentence."""
        return now - max(self._speech.told_at, self._began_at) if self._speech._is_whole else 0.0


def _since(inner: tts.SynthesizeStream) -> float:
    """Return how long ago a provider was given its first words; it waits for a whole sentence before that."""
    return time.perf_counter() - inner._started_time if inner._started_time else 0.0
