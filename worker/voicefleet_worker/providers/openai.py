"""OpenAI, and every server that speaks its protocol: hears, thinks and speaks."""

from collections.abc import Mapping
from typing import Any

from livekit.plugins import openai

from voicefleet_worker.providers import Arguments, Ingredients, given, primary_language

CLASSES: Mapping[str, type[Any]] = {"Stt": openai.STT, "Llm": openai.LLM, "Tts": openai.TTS}


def arguments(of: Ingredients) -> Arguments:
    """Return the arguments of the class for the plan's role."""
    wishes = _WISHES[of.plan.role](of)
    return {**of.common(key_needed=True), **given(wishes)}


def _hearing(of: Ingredients) -> Arguments:
    return {"language": primary_language(of.plan.language)}


def _thinking(of: Ingredients) -> Arguments:
    choice = of.agent.thinking
    # `parallelToolCalls` waits for tools: servers refuse it in a request without any.
    return {"temperature": choice.temperature, "max_completion_tokens": choice.max_output_tokens}


def _speaking(of: Ingredients) -> Arguments:
    return {"voice": of.plan.voice, "speed": of.agent.speaking.speed}


_WISHES = {"Stt": _hearing, "Llm": _thinking, "Tts": _speaking}
