"""What a pool's spec wishes and this version does not act on. What equals its default was not wished."""

from pydantic.alias_generators import to_camel

from voicefleet.api.providerpool import ProviderPoolSpec
from voicefleet.api.providerpool.connections import Trunk

# Trunks are used as they stand on the LiveKit server: by their id, to dial a person.
_OF_TRUNKS = (
    "address",
    "transport",
    "media_encryption",
    "auth",
    "numbers",
    "allowed_addresses",
    "max_concurrent_calls",
    "calls_per_second",
    "countries",
    "attestation",
)


def gaps_in(spec: ProviderPoolSpec) -> tuple[str, ...]:
    """Name the fields that do nothing."""
    return tuple(field for trunk in spec.trunks for field in _chosen(trunk, f"spec.trunks[{trunk.name}]"))


def _chosen(trunk: Trunk, at: str) -> tuple[str, ...]:
    fields = Trunk.model_fields
    return tuple(f"{at}.{to_camel(name)}" for name in _OF_TRUNKS if getattr(trunk, name) != fields[name].default)
