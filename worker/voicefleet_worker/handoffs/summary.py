"""What was said so far in a few sentences, by the model that thinks for the agent; in time, or not at all."""

import asyncio
import logging
from typing import Any

from livekit.agents import llm

from voicefleet.handoffs.passing import shorten

logger = logging.getLogger("voicefleet.call")

SUMMARY_SECONDS = 5.0
_ASK = (
    "Sum up this phone call for a colleague who takes over now: what the caller wants, what is known, and what is "
    "still open. At most five short sentences, nothing that was not said."
)


async def sum_up(model: llm.LLM[Any], transcript: str) -> str | None:
    """Return a summary, or None if there is none in time."""
    context = llm.ChatContext.empty()
    context.add_message(role="system", content=_ASK)
    context.add_message(role="user", content=transcript)
    try:
        async with asyncio.timeout(SUMMARY_SECONDS), model.chat(chat_ctx=context) as stream:
            pieces = [chunk.delta.content async for chunk in stream if chunk.delta and chunk.delta.content]
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises, the caller waits
        logger.warning("no summary for a handoff", extra={"problem": type(error).__name__})
        return None
    return shorten("".join(pieces)) or None
