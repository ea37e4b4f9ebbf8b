"""An agent whose model says how its words are to be said: the object it writes is taken apart as it comes."""

import logging
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from livekit import rtc
from livekit.agents import Agent, ModelSettings, llm

from voicefleet.api.voiceagent.agents import StructuredOutput
from voicefleet.structured import read_answer, response_format, wishes_of
from voicefleet_worker.failover.speaking import SpeakingInTurn
from voicefleet_worker.failover.switch import ONCE
from voicefleet_worker.failover.thinking import ThinkingInTurn
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
        text, said = "", 0
        async with self._thinking.chat(
            chat_ctx=chat_ctx,
            tools=tools,
            tool_choice=model_settings.tool_choice,
            conn_options=ONCE,
            extra_kwargs=wish,
        ) as stream:
            async for chunk in stream:
                if chunk.delta is None or not chunk.delta.content:
                    yield chunk
                    continue
                text += chunk.delta.content
                written = read_answer(text, self._structured.speech_field)
                if written.spoken and not said and self._speaking is not None:
                    self._speaking.express(wishes_of(self._structured, written))
                new, said = written.spoken[said:], len(written.spoken)
                yield chunk.model_copy(update={"delta": chunk.delta.model_copy(update={"content": new or None})})
        if text and not said:
            logger.warning("an answer has nothing to say in its spoken field")

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
