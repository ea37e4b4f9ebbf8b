"""A whole turn of a call, heard, answered and spoken, without a room."""

import asyncio
from typing import Self

import pytest
from livekit.agents import AgentSession, ConversationItemAddedEvent
from livekit.plugins import cartesia, deepgram, openai

from e2e.providers import Control, Providers
from e2e.providers.testkit import LineIn, LineOut, Receptionist, understand, word_overlap

HOURS = "What are your opening hours?"
KEY = "not-a-real-key"
pytestmark = pytest.mark.usefixtures("control", "http_session")


class Call:
    """One session with a caller at each end of its lines."""

    def __init__(self, providers: Providers) -> None:
        self.line_in = LineIn(times_real_time=4.0)
        self.line_out = LineOut(times_real_time=8.0)
        self.agent = Receptionist()
        self._plugins = (
            deepgram.STT(base_url=providers.deepgram_listen_url, api_key=KEY),
            openai.LLM(base_url=providers.openai_url, api_key=KEY),
            cartesia.TTS(base_url=providers.cartesia_url, api_key=KEY),
        )
        ear, mind, voice = self._plugins
        self.session: AgentSession[None] = AgentSession(
            stt=ear,
            llm=mind,
            tts=voice,
            vad=None,
            session_close_transcript_timeout=0.1,
            turn_handling={
                "turn_detection": "stt",
                "endpointing": {"min_delay": 0.1, "max_delay": 0.2},
                "preemptive_generation": {"enabled": False},
            },
        )
        self.session.input.audio = self.line_in
        self.session.output.audio = self.line_out

    async def __aenter__(self) -> Self:
        await self.session.start(self.agent, record=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()
        for plugin in self._plugins:
            await plugin.aclose()

    async def answer_to(self, question: str) -> str:
        """Say something and return what is answered, as heard on the line."""
        answered = asyncio.get_running_loop().create_future()

        def note(event: ConversationItemAddedEvent) -> None:
            item = event.item
            if item.type == "message" and item.role == "assistant" and not answered.done():
                answered.set_result(None)

        self.session.on("conversation_item_added", note)
        await self.line_in.say(question)
        await asyncio.wait_for(answered, timeout=20)
        return await understand(self.line_out.frames)


async def test_a_caller_is_heard_answered_and_spoken_to(providers: Providers, control: Control) -> None:
    control.set_rules([{"match": "(?i)opening hours", "reply": "Please call me back on Monday."}])

    async with Call(providers) as call:
        answer = await call.answer_to(HOURS)

    assert word_overlap("Please call me back on Monday.", answer) >= 0.8
    assert word_overlap(HOURS, control.heard()[0]["text"]) >= 0.8
    assert control.spoken() == ["Please call me back on Monday."]
    counts = control.counts()
    turns = [counts[f"main/{name}"]["turns"] for name in ("deepgram/listen", "openai/chat", "cartesia/tts")]
    assert turns == [1, 1, 1]


async def test_a_tool_is_called_on_the_way_to_an_answer(providers: Providers, control: Control) -> None:
    control.set_script(["What is the weather in Paris?"])
    control.set_rules(
        [
            {"match": "weather", "tool_call": {"name": "get_weather", "arguments": {"city": "Paris"}}},
            {"match": "sunny", "on": "tool", "reply": "The sun is shining in Paris."},
        ]
    )

    async with Call(providers) as call:
        await call.answer_to(HOURS)

    assert call.agent.cities == ["Paris"]
    assert control.spoken() == ["The sun is shining in Paris."]
