"""AssemblyAI: hears. Its `base_url` is the origin, such as `wss://streaming.assemblyai.com`."""

from collections.abc import Mapping
from typing import Any

from livekit.plugins import assemblyai

from voicefleet_worker.providers import Arguments, Ingredients, given, primary_language

CLASSES: Mapping[str, type[Any]] = {"Stt": assemblyai.STT}
FIXED_ADDRESS = ()
# The others are made for one language each, or find out by themselves.
_TAKE_LANGUAGES = ("universal-3", "u3-")


def arguments(of: Ingredients) -> Arguments:
    """Return the arguments of the class for the plan's role."""
    takes_languages = of.plan.model is None or of.plan.model.startswith(_TAKE_LANGUAGES)
    wishes = {
        "language_codes": [primary_language(of.plan.language)] if takes_languages else None,
        "keyterms_prompt": list(of.hearing.keyterms),
    }
    return {**of.common(key_needed=True), **given(wishes)}
