"""Saying what is to be said, whoever speaks: a voice is given words, a realtime model is told to say them."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from livekit.agents import NOT_GIVEN, AgentSession, NotGivenOr, llm, tts
from livekit.agents.utils import is_given
from livekit.agents.voice import SpeechHandle

_WORD_FOR_WORD = "Say the following words, exactly as they are written, and nothing else: {words}"


def say(session: AgentSession[None], words: str, *, interruptible: bool = True) -> SpeechHandle:
    """Say given words."""
    thinks, speaks = _in_charge(session)
    if isinstance(thinks, llm.RealtimeModel) and speaks is None:
        return reply(session, _WORD_FOR_WORD.format(words=words), interruptible=interruptible, uses_tools=False)
    return session.say(words, allow_interruptions=_interruptions(session, wanted=interruptible))


def reply(
    session: AgentSession[None], instructions: str, *, interruptible: bool = True, uses_tools: bool = True
) -> SpeechHandle:
    """Let the model find the words."""
    return session.generate_reply(
        instructions=instructions,
        allow_interruptions=_interruptions(session, wanted=interruptible),
        tool_choice=NOT_GIVEN if uses_tools else "none",
    )


@contextlib.contextmanager
def filler(session: AgentSession[None], words: str, *, after_seconds: float) -> Iterator[None]:
    """Say these words if what is done meanwhile takes its time."""

    def speak() -> None:
        with contextlib.suppress(RuntimeError):
            say(session, words)

    timer = asyncio.get_running_loop().call_later(after_seconds, speak)
    try:
        yield
    finally:
        timer.cancel()


def decides_about_turns(session: AgentSession[None]) -> bool:
    """Tell whether it is the model that decides about turns: nobody can be kept from interrupting it."""
    thinks, _ = _in_charge(session)
    return isinstance(thinks, llm.RealtimeModel) and thinks.capabilities.turn_detection


def does_it_all(session: AgentSession[None]) -> bool:
    """Tell whether one model hears, thinks and speaks for the agent in charge."""
    return isinstance(_in_charge(session)[0], llm.RealtimeModel)


def _in_charge(session: AgentSession[None]) -> tuple[llm.LLM[Any] | llm.RealtimeModel | None, tts.TTS[Any] | None]:
    """Return who thinks and who speaks for the agent in charge: the session's own, or the agent's in place of them."""
    agent = session.current_agent
    return agent.llm if is_given(agent.llm) else session.llm, agent.tts if is_given(agent.tts) else session.tts


def _interruptions(session: AgentSession[None], *, wanted: bool) -> NotGivenOr[bool]:
    return NOT_GIVEN if decides_about_turns(session) else wanted
