"""The realtime model through the stock plugin, in a session without a room."""

import asyncio
from collections.abc import Callable
from typing import Literal, Self

import pytest
from livekit.agents import (
    AgentSession,
    APIConnectOptions,
    ConversationItemAddedEvent,
    llm,
    stt,
)
from livekit.plugins import openai

from e2e.providers import Control, Providers
from e2e.providers.testkit import LineIn, LineOut, Receptionist, caller_says, understand, word_overlap

HOURS = "What are your opening hours?"
STORY = "Once upon a time there was a cat. " * 6
KEY = "not-a-real-key"
NO_RETRY = APIConnectOptions(max_retry=0, timeout=5.0)
pytestmark = pytest.mark.usefixtures("control", "http_session")


class Call:
    """A session of one realtime model with a caller at each end of its lines."""

    def __init__(
        self,
        providers: Providers,
        *,
        modality: Literal["audio", "text"] = "audio",
        model: llm.RealtimeModel | None = None,
    ) -> None:
        self.line_in = LineIn(times_real_time=4.0, rate_hz=24000)
        self.line_out = LineOut(times_real_time=4.0)
        self.agent = Receptionist()
        self.said: list[tuple[str, str, bool]] = []
        self.errors: list[object] = []
        self.events: list[str] = []
        self._model = model or openai.realtime.RealtimeModel(
            base_url=providers.openai_url, api_key=KEY, conn_options=NO_RETRY, modalities=[modality]
        )
        self.session: AgentSession[None] = AgentSession(
            llm=self._model,
            vad=None,
            turn_handling={"turn_detection": "realtime_llm"},
            aec_warmup_duration=None,
            session_close_transcript_timeout=0.1,
        )
        self.session.input.audio = self.line_in
        self.session.output.audio = self.line_out
        self.session.on("conversation_item_added", self._note)
        self.session.on("error", lambda event: self.errors.append(event.error))

    def _note(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if item.type == "message":
            self.said.append((item.role, item.text_content or "", item.interrupted))

    async def __aenter__(self) -> Self:
        await self.session.start(self.agent, record=False)
        realtime = self.agent.realtime_llm_session
        realtime.on("openai_server_event_received", lambda event: self.events.append(event["type"]))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()
        await self._model.aclose()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - the condition spans several events of the session
                await asyncio.sleep(0.02)

    def answers(self) -> list[str]:
        return [text for role, text, _ in self.said if role == "assistant"]


@pytest.mark.parametrize("instance", ["main", "backup"])
async def test_a_spoken_question_gets_a_spoken_answer(providers: Providers, control: Control, instance: str) -> None:
    control.set_rules([{"match": "(?i)opening hours", "reply": "Please call me back on Monday."}])

    async with Call(providers.for_instance(instance)) as call:
        await call.line_in.say(HOURS)
        await call.until(lambda: bool(call.answers()))

    assert call.answers() == ["Please call me back on Monday."]
    assert word_overlap("Please call me back on Monday.", await understand(call.line_out.frames)) >= 0.8
    user = next(text for role, text, _ in call.said if role == "user")
    assert word_overlap(HOURS, user) >= 0.8
    assert not call.errors
    row = control.requests("openai", "realtime", instance=instance)[0]
    assert (row["turns"], row["model"]) == (1, "gpt-realtime")
    assert row["tokens_out"] > 0


async def test_the_events_of_a_turn_come_in_the_order_of_the_api(providers: Providers, control: Control) -> None:
    control.set_script(["Hello."])

    async with Call(providers) as call:
        await call.line_in.say(HOURS)
        await call.until(lambda: bool(call.answers()))

    heard = call.events[call.events.index("input_audio_buffer.speech_started") :]
    assert list(dict.fromkeys(heard)) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]


async def test_a_tool_is_called_and_its_result_is_spoken(providers: Providers, control: Control) -> None:
    control.set_script(["What is the weather in Paris?"])
    control.set_rules(
        [
            {"match": "weather", "tool_call": {"name": "get_weather", "arguments": {"city": "Paris"}}},
            {"match": "sunny", "on": "tool", "reply": "The sun is shining in Paris."},
        ]
    )

    async with Call(providers) as call:
        await call.line_in.say(HOURS)
        await call.until(lambda: bool(call.answers()))

    assert call.agent.cities == ["Paris"]
    assert call.answers() == ["The sun is shining in Paris."]
    assert not call.errors


async def test_a_caller_who_speaks_up_interrupts_the_answer(providers: Providers, control: Control) -> None:
    control.set_script(["Tell me a story.", "Stop, when are you open?"])
    control.set_rules([{"match": "story", "reply": STORY}])

    async with Call(providers) as call:
        await call.line_in.say(HOURS)
        await asyncio.wait_for(call.line_out.started.wait(), timeout=20)
        await call.line_in.say(HOURS)
        await call.until(lambda: len(call.answers()) == 2)

    story, hours = call.answers()
    assert (call.line_out.interruptions, story in STORY, len(story) < len(STORY)) == (1, True, True)
    assert hours.startswith("We are open")
    assert "conversation.item.truncated" in call.events
    assert not call.errors


async def test_a_reply_nobody_asked_for_is_a_greeting(providers: Providers) -> None:
    async with Call(providers) as call:
        call.session.generate_reply(instructions="Greet the caller.")
        await call.until(lambda: bool(call.answers()))

    assert call.answers() == ["Hello, how can I help you?"]


async def test_a_written_question_gets_a_written_answer(providers: Providers) -> None:
    async with Call(providers, modality="text") as call:
        call.session.output.audio = None
        call.session.generate_reply(user_input="When are you open?")
        await call.until(lambda: bool(call.answers()))

    assert call.answers()[0].startswith("We are open")


async def test_a_connection_that_dies_is_an_error_of_the_model(providers: Providers, control: Control) -> None:
    control.set_script(["Tell me a story."])
    control.set_rules([{"match": "story", "reply": STORY}])

    async with Call(providers) as call:
        await call.line_in.say(HOURS)
        await asyncio.wait_for(call.line_out.started.wait(), timeout=20)
        await asyncio.to_thread(control.drop, service="realtime")
        await call.until(lambda: bool(call.errors))

    assert control.requests("openai", "realtime")[0]["outcome"] == "died"


async def test_the_transcription_session_hears_a_sentence(providers: Providers) -> None:
    listener = openai.STT(base_url=providers.openai_url, api_key=KEY, use_realtime=True)
    text = ""

    frames = await caller_says(HOURS, rate_hz=24000)
    async with listener.stream(conn_options=NO_RETRY) as stream:
        for frame in frames:
            stream.push_frame(frame)
        async for event in stream:
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                text = event.alternatives[0].text
                break
    await listener.aclose()
    await listener._client.close()

    assert word_overlap(HOURS, text) >= 0.8
