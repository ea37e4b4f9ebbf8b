"""A provider of speech or language: what it is, what it may be asked for, what it costs, when it counts as broken."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel, Rule, at_least_one_of, is_set, ordered
from voicefleet.api.markers import Between, ListSet
from voicefleet.api.references import SecretKeyRef, no_secret_values
from voicefleet.api.types import Items, Label, Language, Positive, Price, Priority, ServiceUrl, ShortText

Capability = Literal["Streaming", "Tools", "StructuredOutput", "WordTimestamps", "Emotion", "Diarization"]
PLUGINS_BY_ROLE = {
    "Stt": ("deepgram", "openai", "cartesia", "assemblyai", "google", "groq"),
    "Llm": ("openai", "anthropic", "google", "groq"),
    "Tts": ("cartesia", "openai", "deepgram", "elevenlabs", "google"),
    "Realtime": ("openai", "google"),
}


def _plugin_rule(role: str) -> Rule:
    plugins = PLUGINS_BY_ROLE[role]
    listed = ", ".join(f"'{plugin}'" for plugin in plugins)
    return Rule(
        cel=f"self.role != '{role}' || self.plugin in [{listed}]",
        check=lambda provider: provider.role != role or provider.plugin in plugins,
        message=f"for role {role} plugin must be one of {', '.join(plugins)}",
    )


class Quota(ApiModel):
    """What the provider lets the whole fleet have."""

    RULES: ClassVar = (at_least_one_of("concurrent", "requests_per_minute", "tokens_per_minute"),)

    concurrent: Positive | None = None
    """Streams or requests at once."""
    requests_per_minute: Positive | None = None
    """Requests begun per minute."""
    tokens_per_minute: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Tokens per minute, for language models."""


class PriceBook(ApiModel):
    """What usage costs, in the pool's currency."""

    per_audio_minute: Price | None = None
    """One minute of audio heard or spoken."""
    per_million_input_tokens: Price | None = None
    """A million tokens read."""
    per_million_input_audio_tokens: Price | None = None
    """A million tokens read that are sound; absent means perMillionInputTokens."""
    per_million_cached_input_tokens: Price | None = None
    """A million tokens read from the provider's cache, words or sound; absent means what they cost otherwise."""
    per_million_output_tokens: Price | None = None
    """A million tokens written."""
    per_million_output_audio_tokens: Price | None = None
    """A million tokens written that are sound; absent means perMillionOutputTokens."""
    per_million_characters: Price | None = None
    """A million characters spoken."""
    per_request: Price | None = None
    """One request."""


class Probe(ApiModel):
    """Asking a provider whether it is well, from one place for the whole fleet."""

    enabled: bool = True
    """Whether the provider is probed."""
    interval_seconds: Annotated[int, Field(ge=5, le=3600)] = 60
    """Time between two probes."""
    timeout_milliseconds: Annotated[int, Field(ge=100, le=60_000)] = 5000
    """Time after which a probe counts as failed."""
    max_cost_per_day: Price | None = None
    """Cost of probes per day above which probing stops."""


class Breaker(ApiModel):
    """When a provider is left alone for a while, by all workers at once."""

    RULES: ClassVar = (
        ordered("open_seconds", "max_open_seconds", message="openSeconds must not be above maxOpenSeconds"),
    )

    failures: Annotated[int, Field(ge=1, le=1000)] = 5
    """Failures within the window that open it."""
    window_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Length of the window."""
    failure_fraction: Annotated[float, Between(0, 1)] = 0.5
    """Share of failed requests within the window that opens it."""
    open_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Time for which it stays open at first; it doubles."""
    max_open_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Longest time for which it stays open."""


class Attempt(ApiModel):
    """How long a provider may take before the next is tried, inside a call."""

    timeout_milliseconds: Annotated[int, Field(ge=100, le=60_000)] = 3000
    """Time to the first byte."""
    stall_milliseconds: Annotated[int, Field(ge=100, le=600_000)] = 5000
    """Silence on a stream under way that counts as failure."""
    retries: Annotated[int, Field(ge=0, le=5)] = 0
    """Further attempts at the same provider."""


class Provider(ApiModel):
    """One provider of speech or language."""

    RULES: ClassVar = (
        *(_plugin_rule(role) for role in PLUGINS_BY_ROLE),
        no_secret_values("options"),
        Rule(
            cel="self.role != 'Llm' || !has(self.voice)",
            check=lambda provider: provider.role != "Llm" or not is_set(provider, "voice"),
            message="a language model has no voice: set voice on a provider with role Tts or Realtime",
        ),
    )

    name: Label
    """Name of the provider, which agents use."""
    role: Literal["Stt", "Llm", "Tts", "Realtime"]
    """What it does."""
    plugin: Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9]*$")]
    """Plugin of livekit-agents that speaks its protocol."""
    model: ShortText | None = None
    """Model; absent means the plugin's own default."""
    voice: ShortText | None = None
    """Voice, for providers that speak."""
    base_url: ServiceUrl | None = None
    """Address in place of the provider's own, such as a proxy or a server of yours."""
    api_key: SecretKeyRef | None = None
    """Secret with the key; absent only for servers that want none."""
    options: Annotated[dict[str, ShortText], Field(max_length=32)] | None = None
    """Further options of the plugin, written as text; numbers and booleans are read as such."""
    languages: Annotated[Items[Language], Field(max_length=64), ListSet()] = ()
    """Languages that it knows; absent means all."""
    capabilities: Annotated[Items[Capability], Field(max_length=6), ListSet()] = ()
    """What it can do beyond the ordinary; agents that need Tools, StructuredOutput or Emotion are not sent to providers
    whose list lacks it, while one without a list is asked as ever, and nothing needs the others."""
    region: ShortText | None = None
    """Region in which data is processed; agents with dataProtection.region are sent to providers of that region."""
    enabled: bool = True
    """Whether it is used at all."""
    priority: Priority = 100
    """Lower is tried first."""
    weight: Annotated[int, Field(ge=1, le=1000)] = 100
    """Share among providers of the same priority, when routing is by weight."""
    quality: Annotated[int, Field(ge=0, le=100)] = 50
    """Your own mark, when routing is by quality."""
    quota: Quota | None = None
    """What the provider lets the whole fleet have."""
    price: PriceBook = PriceBook()
    """What usage costs."""
    probe: Probe = Probe()
    """Asking whether it is well."""
    breaker: Breaker = Breaker()
    """When it is left alone for a while."""
    attempt: Attempt = Attempt()
    """How long it may take inside a call."""
