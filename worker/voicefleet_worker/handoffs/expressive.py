"""An agent whose model says how its words are to be said: the object it writes is taken apart as it comes."""

import logging
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from livekit import rtc
from livekit.agents import Agent, APIError, ModelSettings, llm

from voicefleet.api.voiceagent.agents import StructuredOutput
from voicefleet.conversation.structured import Written, read_answer, response_format, wishes_of
from voicefleet_worker.failover.speaking import SpeakingInTurn
from voicefleet_worker.failover.switch import ONCE
from voicefleet_worker.failover.thinking import BEGINS_ANEW, ThinkingInTurn
from voicefleet_worker.handoffs.stint import Speaker

logger = logging.getLogger("voicefleet.call")


class ExpressiveSpeaker(Speaker):
    """Speaks one field of each answer, and tells the voice what the others wish."""

    def express_with(
        self, thinking: ThinkingInTurn, speaking: SpeakingInTurn | None, structured: StructuredOutput
    ) -> None:
        """Say with which models, and what the object is like."""
        self._thinking = thinking
        self._speaking = speaking
        self._structured = structured

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncIterator[llm.ChatChunk]:
        """Answer, and let only what is spoken through."""
        wish: dict[str, Any] = {"response_format": response_format(self._structured)}
        reading = _Reading(self._structured)
        async with self._thinking.chat(
            chat_ctx=chat_ctx,
            tools=tools,
            tool_choice=model_settings.tool_choice,
            conn_options=ONCE,
            extra_kwargs=wish,
            heard=lambda text: read_answer(text, self._structured.speech_field).spoken,
        ) as stream:
            async for chunk in stream:
                yield self._spoken_of(chunk, reading)
        if reading.is_dumb:
            logger.warning("an answer has nothing to say in its spoken field")
            # Such as one that was cut off before it: nobody is left in silence, so it has failed.
            raise APIError("an answer without a word", retryable=False)

    def _spoken_of(self, chunk: llm.ChatChunk, reading: "_Reading") -> llm.ChatChunk:
        if chunk.id == BEGINS_ANEW:
            reading.begin_anew()
        if chunk.delta is None:
            return chunk
        reading.has_called |= bool(chunk.delta.tool_calls)
        if not chunk.delta.content:
            return chunk
        is_first = not reading.has_spoken
        spoken = reading.read(chunk.delta.content)
        if spoken and is_first and self._speaking is not None:
            self._speaking.express(wishes_of(self._structured, reading.written))
        return chunk.model_copy(update={"delta": chunk.delta.model_copy(update={"content": spoken or None})})

    async def tts_node(self, text: AsyncIterable[str], model_settings: ModelSettings) -> AsyncIterator[rtc.AudioFrame]:
        """Speak; a voice is asked how only when it begins, so it begins with the first word."""
        pieces = aiter(text)
        first = await anext(pieces, None)
        if first is None:
            return

        async def whole() -> AsyncIterator[str]:
            yield first
            async for piece in pieces:
                yield piece

        async for frame in Agent.default.tts_node(self, whole(), model_settings):
            yield frame


class _Reading:
    """How far one answer is read."""

    def __init__(self, structured: StructuredOutput) -> None:
        self._field = structured.speech_field
        self._text = ""
        self.written = Written()
        self.has_spoken = self.has_called = False

    @property
    def is_dumb(self) -> bool:
        """Whether something was written, and the other side is to hear nothing of it."""
        return bool(self._text) and not self.has_spoken and not self.has_called

    def begin_anew(self) -> None:
        """Go on with an object that another provider writes."""
        self._text, self.written = "", Written()

    def read(self, piece: str) -> str:
        """Take in a piece, and return what is spoken of it."""
        self._text, before = self._text + piece, len(self.written.spoken)
        self.written = read_answer(self._text, self._field)
        spoken = self.written.spoken[before:]
        self.has_spoken |= bool(spoken)
        return spoken
