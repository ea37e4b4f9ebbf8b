"""Providers that do what a test tells them, and a line-up of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from livekit import rtc
from livekit.agents import APIConnectOptions, llm, stt, tts

from voicefleet.api.providerpool.providers import Provider
from voicefleet.api.providerpool.spec import RoutingPolicy
from voicefleet.api.voiceagent.records import Transcript
from voicefleet.providers.lineup import Lineup, ProviderPlan
from voicefleet.providers.routing import Need, Role
from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.failover.switch import Switch
from voicefleet_worker.records.journal import Journal
from voicefleet_worker.records.notebook import Notebook

Model = TypeVar("Model")
Step = str | float | Exception
"""A piece of an answer, a pause in seconds, or an end."""

PLUGINS = {"Stt": "deepgram", "Llm": "openai", "Tts": "cartesia", "Realtime": "google"}
TIMEOUT_SECONDS = 1.0
STALL_SECONDS = 1.0


def plan(name: str, role: Role, **fields: Any) -> ProviderPlan:
    """Return a provider that has little time."""
    provider = Provider(name=name, role=role, plugin=PLUGINS[role], **fields)
    return ProviderPlan(
        provider=provider,
        role=role,
        model=provider.model,
        voice=None,
        options=(),
        language="en",
        timeout_seconds=TIMEOUT_SECONDS,
        stall_seconds=STALL_SECONDS,
        retries=0,
    )


def lineup(role: Role, *names: str, silence_seconds: float = 0.0, **fields: Any) -> Lineup:
    """Return these providers, the first of which begins."""
    plans = tuple(plan(name, role, **fields) for name in names)
    return Lineup(Need(role, "en"), RoutingPolicy(), plans, names[0], silence_seconds)


class Rotating:
    """The key of all providers, which a test replaces; each model knows with which one it was built."""

    def __init__(self) -> None:
        self.key = 1
        self.built: list[int] = []

    def of(self, _: ProviderPlan) -> int:
        return self.key

    def building(self, build: Callable[[int], Any]) -> Callable[[ProviderPlan], Any]:
        """Return who builds a model for the key of the moment."""

        def built(_: ProviderPlan) -> Any:
            self.built.append(self.key)
            return build(self.key)

        return built


def unread() -> Notebook:
    """Return a notebook that nobody keeps."""
    return Notebook(Journal(None), Transcript())


@dataclass
class Stage:
    """One job of a call, played by scripted providers."""

    switch: Switch[Any]
    health: CallHealth
    reporter: Reporter


def no_key(_: ProviderPlan) -> int:
    """Return the fingerprint of no key."""
    return 0


def stage(of: Lineup, build: Callable[[ProviderPlan], Any], key_of: Callable[[ProviderPlan], int] = no_key) -> Stage:
    """Set a stage on which nobody has failed yet."""
    reporter = Reporter("AJ_1", None)
    health = CallHealth(of.plans, reporter, unread(), BoardReader())
    return Stage(Switch(of, health, build, key_of=key_of), health, reporter)


class Thinker(llm.LLM[Any]):
    """Thinks as its scripts say, one for each request."""

    def __init__(self, *scripts: Sequence[Step]) -> None:
        super().__init__()
        self.scripts = list(scripts)
        self.asked: list[llm.ChatContext] = []
        self.wishes: list[dict[str, Any]] = []
        self.totals: list[int] = []
        """Tokens so far, told with each piece."""

    def chat(self, *, chat_ctx: llm.ChatContext, tools: Any = None, conn_options: Any = None, **wishes: Any) -> Any:
        self.asked.append(chat_ctx)
        self.wishes.append(wishes)
        options = conn_options or APIConnectOptions(max_retry=0)
        return _Thought(self, self.scripts.pop(0), chat_ctx, tools or [], options)


class _Thought(llm.LLMStream):
    def __init__(self, llm_: Thinker, script: Sequence[Step], ctx: Any, tools: Any, options: Any) -> None:
        super().__init__(llm_, chat_ctx=ctx, tools=tools, conn_options=options)
        self._script = script
        self._totals = llm_.totals

    async def _run(self) -> None:
        for step in self._script:
            if isinstance(step, str):
                totals = self._totals
                self._event_ch.send_nowait(chunk(step, tokens=totals.pop(0) if totals else None))
            else:
                await play(step)


def chunk(piece: str, *, tokens: int | None = None) -> llm.ChatChunk:
    """Return a piece of an answer; one that begins with `call` is a call of tools: several, or one with arguments."""
    if piece.startswith("call "):
        first, _, rest = piece[5:].partition(" ")
        names, arguments = ([first], rest) if rest.startswith("{") else (piece.split()[1:], "{}")
        calls = [llm.FunctionToolCall(name=name, arguments=arguments, call_id=str(n)) for n, name in enumerate(names)]
        return llm.ChatChunk(id="c", delta=llm.ChoiceDelta(role="assistant", tool_calls=calls))
    usage = tokens and llm.CompletionUsage(completion_tokens=1, prompt_tokens=tokens - 1, total_tokens=tokens)
    return llm.ChatChunk(id="c", delta=llm.ChoiceDelta(role="assistant", content=piece), usage=usage or None)


async def play(step: float | Exception) -> None:
    """Pause, or end."""
    if isinstance(step, Exception):
        raise step
    await asyncio.sleep(step)


class Listener(stt.STT[Any]):
    """Writes down what its scripts say, one for each connection, and keeps what it was played.

    A whole number in a script waits until it was played so many pieces.
    """

    def __init__(self, *scripts: Sequence[Step | stt.SpeechEvent]) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.scripts = list(scripts)
        self.heard: list[list[int]] = []

    async def _recognize_impl(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def stream(self, *, language: Any = None, conn_options: Any = None) -> Any:  # noqa: ARG002
        self.heard.append([])
        return _Listening(self, self.scripts.pop(0), conn_options)


class _Listening(stt.RecognizeStream):
    def __init__(self, listener: Listener, script: Sequence[Step | stt.SpeechEvent], options: Any) -> None:
        super().__init__(stt=listener, conn_options=options)
        self._script = script
        self._heard = listener.heard[-1]

    async def _run(self) -> None:
        taking = asyncio.create_task(self._take())
        try:
            for step in self._script:
                if isinstance(step, str):
                    self._event_ch.send_nowait(final(step))
                elif isinstance(step, stt.SpeechEvent):
                    for said in step.alternatives:
                        # As plugins do.
                        said.end_time += self.start_time_offset if said.end_time else 0.0
                    self._event_ch.send_nowait(step)
                elif isinstance(step, int):
                    while len(self._heard) < step:  # noqa: ASYNC110 - nobody tells
                        await asyncio.sleep(0.001)
                else:
                    await play(step)
            await taking
        finally:
            taking.cancel()

    async def _take(self) -> None:
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                self._heard.append(item.data[0])


def final(text: str, *, end_seconds: float = 0.0) -> stt.SpeechEvent:
    """Return words that will not change any more."""
    said = stt.SpeechData(language="en", text=text, end_time=end_seconds)
    return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[said])


def sound(number: int, *, seconds: float = 0.1, rate: int = 24_000) -> rtc.AudioFrame:
    """Return sound that can be told from other sound."""
    samples = int(seconds * rate)
    return rtc.AudioFrame(number.to_bytes(2, "little") * samples, rate, 1, samples)


@dataclass
class Spoken:
    """What one speaker was given, and how much of it it said."""

    text: str = ""
    ended: bool = False


class Speaker(tts.TTS[Any]):
    """Says what it is given as fast as it can, as far as its script says; `each` piece as it comes, or `all` of it."""

    def __init__(self, number: int, *scripts: Sequence[Step], rate: int = 24_000) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=rate, num_channels=1)
        self.number = number
        self.scripts = list(scripts)
        self.spoken: list[Spoken] = []

    def synthesize(self, text: str, *, conn_options: Any = None) -> Any:
        raise NotImplementedError

    def stream(self, *, conn_options: Any = None) -> Any:
        self.spoken.append(Spoken())
        return _Speaking(self, self.scripts.pop(0), conn_options)


class _Speaking(tts.SynthesizeStream):
    def __init__(self, speaker: Speaker, script: Sequence[Step], options: Any) -> None:
        super().__init__(tts=speaker, conn_options=options)
        self._speaker = speaker
        self._script = script
        self._spoken = speaker.spoken[-1]

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id="r", sample_rate=self._speaker.sample_rate, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id="s")
        async for item in self._input_ch:
            if isinstance(item, str):
                self._spoken.text += item
                self._mark_started()
                if "each" in self._script:
                    self._say(output_emitter, len(item) / 15)
                    output_emitter.flush()
        self._spoken.ended = True
        for step in self._script:
            if step == "all":
                self._say(output_emitter, len(self._spoken.text) / 15)
            elif step == "each":
                continue
            elif isinstance(step, str):
                self._say(output_emitter, float(step))
                # What was said is heard before anything else happens.
                output_emitter.flush()
                await asyncio.sleep(0.02)
            else:
                await play(step)

    def _say(self, output: tts.AudioEmitter, seconds: float) -> None:
        frame = sound(self._speaker.number, seconds=seconds, rate=self._speaker.sample_rate)
        output.push(bytes(frame.data))


@asynccontextmanager
async def closing(model: Any) -> AsyncIterator[Any]:
    """Close a model in the end."""
    try:
        yield model
    finally:
        await model.aclose()
