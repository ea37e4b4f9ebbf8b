"""Anthropic: thinks. Its `base_url` is the origin, such as `https://api.anthropic.com`."""

from collections.abc import Mapping
from typing import Any

from livekit.plugins import anthropic

from voicefleet_worker.providers import Arguments, Ingredients, given

CLASSES: Mapping[str, type[Any]] = {"Llm": anthropic.LLM}
FIXED_ADDRESS = ()


def arguments(of: Ingredients) -> Arguments:
    """Return the arguments of the class for the plan's role."""
    choice = of.thinking
    wishes = {"temperature": choice.temperature, "max_tokens": choice.max_output_tokens}
    return {**of.common(key_needed=True), **given(wishes)}
