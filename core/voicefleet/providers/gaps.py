"""What a pool's spec wishes and this version does not act on. What equals its default was not wished."""

from pydantic.alias_generators import to_camel

from voicefleet.api.base import ApiModel
from voicefleet.api.providerpool import ProviderPoolSpec

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
    trunks = [field for trunk in spec.trunks for field in _chosen(trunk, _OF_TRUNKS, f"spec.trunks[{trunk.name}]")]
    # Workers report loads that are below any threshold.
    return (*_chosen(spec.livekit, ("target_load",), "spec.livekit"), *trunks)


def _chosen(model: ApiModel, names: tuple[str, ...], at: str) -> tuple[str, ...]:
    fields = type(model).model_fields
    return tuple(f"{at}.{to_camel(name)}" for name in names if getattr(model, name) != fields[name].default)
