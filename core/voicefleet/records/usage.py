"""What a call used of a provider, and what that costs by the pool's price book."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated

from pydantic import Field

from voicefleet.api.providerpool.providers import PriceBook
from voicefleet.wire import WireModel

_MILLION = Decimal(1_000_000)
_MINUTE_SECONDS = Decimal(60)
_SMALLEST = Decimal("0.000001")

_Amount = Annotated[int, Field(ge=0, le=2**53)]


class Usage(WireModel):
    """What was asked of one provider."""

    requests: _Amount = 0
    input_tokens: _Amount = 0
    """Tokens read, those from the provider's cache included."""
    input_audio_tokens: _Amount = 0
    """Of the tokens read, those that are known to be sound."""
    cached_input_tokens: _Amount = 0
    """Of the tokens read, those from the provider's cache."""
    cached_input_audio_tokens: _Amount = 0
    """Of the tokens from the cache, those that are known to be sound."""
    output_tokens: _Amount = 0
    """Tokens written."""
    output_audio_tokens: _Amount = 0
    """Of the tokens written, those that are known to be sound."""
    characters: _Amount = 0
    """Characters spoken."""
    audio_seconds: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """Audio heard or spoken."""

    def plus(self, other: "Usage") -> "Usage":
        """Return both together."""
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


def cost_of(usage: Usage, price: PriceBook) -> Decimal:
    """Return what usage costs, to a millionth of the pool's currency; what has no price costs nothing."""
    parts = (
        _exact(usage.audio_seconds) / _MINUTE_SECONDS * _exact(price.per_audio_minute),
        _cost_of_reading(usage, price) / _MILLION,
        _cost_of_writing(usage, price) / _MILLION,
        Decimal(usage.characters) / _MILLION * _exact(price.per_million_characters),
        Decimal(usage.requests) * _exact(price.per_request),
    )
    return sum(parts, Decimal(0)).quantize(_SMALLEST, ROUND_HALF_UP)


def _cost_of_reading(usage: Usage, price: PriceBook) -> Decimal:
    """Return a million times what was read costs."""
    sound = min(usage.input_audio_tokens, usage.input_tokens)
    words = usage.input_tokens - sound
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    # Of whoever does not tell what was in the cache, words were, as far as there are any: sound costs more.
    cached_sound = min(max(usage.cached_input_audio_tokens, cached - words), sound, cached)
    cached_words = cached - cached_sound
    words_price = price.per_million_input_tokens
    sound_price = _first(price.per_million_input_audio_tokens, words_price)
    # A book that knows no price for cached tokens asks the full one for them.
    parts = (
        (words - cached_words) * _exact(words_price),
        (sound - cached_sound) * _exact(sound_price),
        cached_words * _exact(_first(price.per_million_cached_input_tokens, words_price)),
        cached_sound * _exact(_first(price.per_million_cached_input_tokens, sound_price)),
    )
    return sum(parts, Decimal(0))


def _cost_of_writing(usage: Usage, price: PriceBook) -> Decimal:
    """Return a million times what was written costs."""
    sound, words_price = min(usage.output_audio_tokens, usage.output_tokens), price.per_million_output_tokens
    sound_price = _first(price.per_million_output_audio_tokens, words_price)
    return (usage.output_tokens - sound) * _exact(words_price) + sound * _exact(sound_price)


def _first(price: float | None, other: float | None) -> float | None:
    """Return a price, or another one where a book does not know it; one that is zero is known."""
    return other if price is None else price


def _exact(price: float | None) -> Decimal:
    """Return a number as it was written, not as a float keeps it."""
    return Decimal(str(price or 0))
