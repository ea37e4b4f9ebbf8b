"""Deepgram: hears and speaks. Its `base_url` is the whole path, such as `https://api.deepgram.com/v1/listen`."""

from collections.abc import Mapping
from typing import Any

from livekit.plugins import deepgram

from voicefleet_worker.providers import Arguments, Ingredients, given

CLASSES: Mapping[str, type[Any]] = {"Stt": deepgram.STT, "Tts": deepgram.TTS}
FIXED_ADDRESS = ()


def arguments(of: Ingredients) -> Arguments:
    """Return the arguments of the class for the plan's role."""
    if of.plan.role == "Stt":
        wishes = {"language": of.plan.language, "keyterm": list(of.hearing.keyterms)}
        return {**of.common(), **given(wishes)}
    # A voice is a model of its own here.
    return {**of.common(), **given({"model": of.plan.voice, "speed": of.speaking.speed})}
