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
    cached_input_tokens: _Amount = 0
    output_tokens: _Amount = 0
    characters: _Amount = 0
    """Characters spoken."""
    audio_seconds: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """Audio heard or spoken."""

    def plus(self, other: "Usage") -> "Usage":
        """Return both together."""
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


def cost_of(usage: Usage, price: PriceBook) -> Decimal:
    """Return what usage costs, to a millionth of the pool's currency; what has no price costs nothing."""
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    # A book that knows no price for cached tokens asks the full one for them.
    cached_price = price.per_million_input_tokens
    if price.per_million_cached_input_tokens is not None:
        cached_price = price.per_million_cached_input_tokens
    parts = (
        _exact(usage.audio_seconds) / _MINUTE_SECONDS * _exact(price.per_audio_minute),
        Decimal(usage.input_tokens - cached) / _MILLION * _exact(price.per_million_input_tokens),
        Decimal(cached) / _MILLION * _exact(cached_price),
        Decimal(usage.output_tokens) / _MILLION * _exact(price.per_million_output_tokens),
        Decimal(usage.characters) / _MILLION * _exact(price.per_million_characters),
        Decimal(usage.requests) * _exact(price.per_request),
    )
    return sum(parts, Decimal(0)).quantize(_SMALLEST, ROUND_HALF_UP)


def _exact(price: float | None) -> Decimal:
    """Return a number as it was written, not as a float keeps it."""
    return Decimal(str(price or 0))
