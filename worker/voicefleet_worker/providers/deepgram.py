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
        return {**of.common(), **given({"language": of.plan.language, **_keyterms(of)})}
    # A voice is a model of its own here.
    return {**of.common(), **given({"model": of.plan.voice, "speed": of.speaking.speed})}


def _keyterms(of: Ingredients) -> Arguments:
    """Return the words that are hard to hear; models older than Nova-3 know them by another name, with a weight."""
    words = of.hearing.keyterms
    if of.plan.model is None or of.plan.model.startswith("nova-3"):
        return {"keyterm": list(words)}
    return {"keywords": [(word, 1.0) for word in words]}
