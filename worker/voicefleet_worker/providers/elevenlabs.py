"""ElevenLabs: speaks. Its `base_url` ends with the version, as in `https://api.elevenlabs.io/v1`."""

from collections.abc import Mapping
from typing import Any

from livekit.plugins import elevenlabs

from voicefleet_worker.providers import Arguments, Ingredients, given, primary_language

CLASSES: Mapping[str, type[Any]] = {"Tts": elevenlabs.TTS}
FIXED_ADDRESS = ()
# What a voice has when nobody says anything; whoever sets its speed has to say these, too.
_STABILITY, _SIMILARITY = 0.5, 0.75


def arguments(of: Ingredients) -> Arguments:
    """Return the arguments of the class for the plan's role."""
    wishes: Arguments = {"voice_id": of.plan.voice, "language": primary_language(of.plan.language)}
    if of.speaking.speed is not None:
        settings = elevenlabs.VoiceSettings(_STABILITY, _SIMILARITY, speed=of.speaking.speed)
        wishes["voice_settings"] = settings
    return {**of.common(key_needed=True), **given(wishes)}
