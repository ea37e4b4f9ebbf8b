"""Cartesia: speaks and hears. Its `base_url` is the origin, such as `https://api.cartesia.ai`."""

from collections.abc import Mapping
from typing import Any

from livekit.plugins import cartesia

from voicefleet_worker.providers import Arguments, Ingredients, given, primary_language

CLASSES: Mapping[str, type[Any]] = {"Stt": cartesia.STT, "Tts": cartesia.TTS}
FIXED_ADDRESS = ()


def arguments(of: Ingredients) -> Arguments:
    """Return the arguments of the class for the plan's role."""
    language = primary_language(of.plan.language)
    if of.plan.role == "Stt":
        return {**of.common(), **given({"language": language})}
    speaking = of.speaking
    wishes = {"voice": of.plan.voice, "language": language, "speed": speaking.speed, "emotion": speaking.emotion}
    return {**of.common(), **given(wishes)}
