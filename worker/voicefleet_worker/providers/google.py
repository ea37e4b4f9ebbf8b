"""Google: Gemini thinks, and does it all; Google Cloud hears and speaks.

Gemini takes an API key, and its `base_url` is the origin, such as `https://generativelanguage.googleapis.com`. Google
Cloud takes a service account in JSON in place of the key, or the one that its machine has, and has no `base_url`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from google.genai import types
from livekit.agents import APIConnectOptions
from livekit.plugins import google

from voicefleet_worker.problems import BadInputError
from voicefleet_worker.providers import Arguments, Ingredients, given, primary_language

CLASSES: Mapping[str, type[Any]] = {
    "Stt": google.STT,
    "Llm": google.LLM,
    "Tts": google.TTS,
    "Realtime": google.realtime.RealtimeModel,
}
FIXED_ADDRESS = ("Stt", "Tts")
# How much more likely a word is that is hard to hear; Google takes up to 20.
_BOOST = 10.0


def arguments(of: Ingredients) -> Arguments:
    """Return the arguments of the class for the plan's role."""
    return {**dict(of.plan.options), **given(_WISHES[of.plan.role](of))}


def _hearing(of: Ingredients) -> Arguments:
    return {
        "model": of.plan.model,
        "languages": of.plan.language,
        "keywords": [(word, _BOOST) for word in of.hearing.keyterms],
        "credentials_info": _service_account(of),
    }


def _thinking(of: Ingredients) -> Arguments:
    choice = of.thinking
    return {
        **_gemini(of),
        "http_options": _address(of),
        "temperature": choice.temperature,
        "max_output_tokens": choice.max_output_tokens,
    }


def _speaking(of: Ingredients) -> Arguments:
    return {
        "model_name": of.plan.model,
        "language": of.plan.language,
        "voice_name": of.plan.voice,
        "speaking_rate": of.speaking.speed,
        "credentials_info": _service_account(of),
    }


def _conversing(of: Ingredients) -> Arguments:
    wish, timeout = of.conversing, of.plan.timeout_seconds
    wishes: Arguments = {
        **_gemini(of),
        "http_options": _address(of, timeout=int(timeout * 1000)),
        "voice": of.plan.voice,
        "language": primary_language(of.plan.language),
        "temperature": wish.temperature,
        "modalities": [types.Modality.AUDIO if wish.tts is None else types.Modality.TEXT],
        # Another provider may take over in time; one that dials for itself would keep the call.
        "conn_options": APIConnectOptions(max_retry=0, timeout=timeout),
    }
    if wish.turn_detection == "Local":
        ours = types.AutomaticActivityDetection(disabled=True)
        wishes["realtime_input_config"] = types.RealtimeInputConfig(automatic_activity_detection=ours)
    return wishes


def _gemini(of: Ingredients) -> Arguments:
    # The client of a server that wants no key insists on one all the same.
    return {"model": of.plan.model, "api_key": of.api_key or "none"}


def _address(of: Ingredients, *, timeout: int | None = None) -> types.HttpOptions | None:
    return None if of.plan.base_url is None else types.HttpOptions(base_url=of.plan.base_url, timeout=timeout)


def _service_account(of: Ingredients) -> object:
    if of.api_key is None:
        return None
    try:
        return json.loads(of.api_key)
    except ValueError:
        raise BadInputError(f"key of provider {of.plan.name}", "is no service account in JSON") from None


_WISHES: Mapping[str, Callable[[Ingredients], Arguments]] = {
    "Stt": _hearing,
    "Llm": _thinking,
    "Tts": _speaking,
    "Realtime": _conversing,
}
