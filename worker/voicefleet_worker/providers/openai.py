"""OpenAI, and every server that speaks its protocol: hears, thinks, speaks, and does it all at once."""

from collections.abc import Callable, Mapping
from typing import Any

from livekit.agents import APIConnectOptions
from livekit.plugins import openai
from openai.types.realtime import AudioTranscription

from voicefleet_worker.providers import Arguments, Ingredients, given, primary_language

CLASSES: Mapping[str, type[Any]] = {
    "Stt": openai.STT,
    "Llm": openai.LLM,
    "Tts": openai.TTS,
    "Realtime": openai.realtime.RealtimeModel,
}
FIXED_ADDRESS = ()
# Writes down what the caller says to a realtime model, which itself needs no words.
_TRANSCRIBER = "gpt-4o-mini-transcribe"


def arguments(of: Ingredients) -> Arguments:
    """Return the arguments of the class for the plan's role."""
    return {**of.common(key_needed=True), **_WISHES[of.plan.role](of)}


def _hearing(of: Ingredients) -> Arguments:
    return given({"language": primary_language(of.plan.language)})


def _thinking(of: Ingredients) -> Arguments:
    choice = of.thinking
    return given({"temperature": choice.temperature, "max_completion_tokens": choice.max_output_tokens})


def _speaking(of: Ingredients) -> Arguments:
    return given({"voice": of.plan.voice, "speed": of.speaking.speed})


def _conversing(of: Ingredients) -> Arguments:
    language = primary_language(of.plan.language)
    wishes: Arguments = {
        "input_audio_transcription": AudioTranscription(model=_TRANSCRIBER, language=language),
        "modalities": ["audio"] if of.conversing.tts is None else ["text"],
        # Another provider may take over in time; one that dials for itself would keep the call.
        "conn_options": APIConnectOptions(max_retry=0, timeout=of.plan.timeout_seconds),
    }
    if of.conversing.turn_detection == "Local":
        wishes["turn_detection"] = None
    return {**given({"voice": of.plan.voice}), **wishes}


_WISHES: Mapping[str, Callable[[Ingredients], Arguments]] = {
    "Stt": _hearing,
    "Llm": _thinking,
    "Tts": _speaking,
    "Realtime": _conversing,
}
