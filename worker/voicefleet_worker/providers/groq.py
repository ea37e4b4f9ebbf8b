"""Groq: hears whole utterances, and thinks. Its `base_url` is as OpenAI's: `https://api.groq.com/openai/v1`."""

from collections.abc import Mapping
from typing import Any

from livekit.plugins import groq

from voicefleet_worker.providers import Arguments, Ingredients, given, primary_language

CLASSES: Mapping[str, type[Any]] = {"Stt": groq.STT, "Llm": groq.LLM}
FIXED_ADDRESS = ()


def arguments(of: Ingredients) -> Arguments:
    """Return the arguments of the class for the plan's role."""
    if of.plan.role == "Stt":
        return {**of.common(key_needed=True), "language": primary_language(of.plan.language)}
    choice = of.thinking
    wishes = {"temperature": choice.temperature, "max_completion_tokens": choice.max_output_tokens}
    return {**of.common(key_needed=True), **given(wishes)}
