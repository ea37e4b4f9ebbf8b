"""How an agent hears, thinks and speaks: a pipeline of three models, or one that does it all."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from voicefleet.api.base import ApiModel, at_most_one_of
from voicefleet.api.markers import Between, ListSet
from voicefleet.api.types import Fraction, Items, Label, Milliseconds, ShortText

ProviderNames = Annotated[Items[Label], Field(max_length=8), ListSet()]


class ModelChoice(ApiModel):
    """Which providers of the pool do a job, in order; the others stand by."""

    providers: ProviderNames = ()
    """Providers of the pool in order of preference; absent leaves it to the pool's routing."""
    model: ShortText | None = None
    """Model in place of the provider's own."""
    fallback: bool = True
    """Whether another provider takes over inside a call when one fails."""
    attempt_timeout_milliseconds: Annotated[int, Field(ge=100, le=60_000)] | None = None
    """Time after which the next provider is tried; absent means the pool's."""


class SpeechToText(ModelChoice):
    """Who hears."""

    keyterms: Annotated[Items[ShortText], Field(max_length=100), ListSet()] = ()
    """Names and words that are hard to hear."""
    silence_timeout_milliseconds: Milliseconds = 5000
    """Time without a word on a connected stream, while the caller speaks, that counts as failure."""


class LanguageModel(ModelChoice):
    """Who thinks."""

    temperature: Annotated[float, Between(0, 2)] | None = None
    """How freely the model chooses its words."""
    max_output_tokens: Annotated[int, Field(ge=16, le=32_768)] | None = None
    """Longest answer."""
    parallel_tool_calls: bool = False
    """Whether the model may call several tools at once; otherwise the next one waits for the answer of the first."""


class TextToSpeech(ModelChoice):
    """Who speaks."""

    voice: ShortText | None = None
    """Voice of the provider."""
    speed: Annotated[float, Between(0.25, 4)] | None = None
    """Speed of speech; 1 is normal."""
    emotion: ShortText | None = None
    """Emotion of the voice, where the provider knows any."""


class VoiceActivity(ApiModel):
    """Telling speech from silence; the model ships with the worker."""

    activation_threshold: Fraction = 0.5
    """Certainty at which sound counts as speech."""
    min_speech_milliseconds: Milliseconds = 50
    """Shortest sound that counts as speech."""
    min_silence_milliseconds: Milliseconds = 250
    """Silence after which speech counts as over."""


class Pipeline(ApiModel):
    """Hearing, thinking and speaking by three models, streaming throughout."""

    stt: SpeechToText = SpeechToText()
    """Who hears."""
    llm: LanguageModel = LanguageModel()
    """Who thinks."""
    tts: TextToSpeech = TextToSpeech()
    """Who speaks."""
    vad: VoiceActivity = VoiceActivity()
    """Telling speech from silence."""


class Realtime(ModelChoice):
    """Hearing, thinking and speaking by one model."""

    voice: ShortText | None = None
    """Voice of the provider."""
    temperature: Annotated[float, Between(0, 2)] | None = None
    """How freely the model chooses its words."""
    turn_detection: Literal["Server", "Local"] = "Server"
    """Who decides that the caller has finished."""
    tts: TextToSpeech | None = None
    """Speak with this voice instead of the model's own."""


class Voice(ApiModel):
    """Pipeline or realtime; an empty object is a pipeline of the pool's defaults."""

    RULES: ClassVar = (at_most_one_of("pipeline", "realtime"),)

    pipeline: Pipeline | None = None
    """Three models, streaming throughout."""
    realtime: Realtime | None = None
    """One model that does it all."""
