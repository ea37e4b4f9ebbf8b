"""What the operator says about a ProviderPool."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel
from voicefleet.api.conditions import CommonStatus
from voicefleet.api.markers import ListMap
from voicefleet.api.types import Count, Fraction, Items, Label, Milliseconds, Timestamp


class ProviderStatus(ApiModel):
    """How one provider is."""

    name: Label
    """Name of the provider."""
    state: Literal[
        "Unknown", "Closed", "Open", "HalfOpen", "Disabled", "PluginMissing", "CredentialsRefused", "Unreachable"
    ] = "Unknown"
    """State of its breaker, or why it has none; Closed is the good one."""
    in_use: Count = 0
    """Streams or requests at this moment."""
    quota: Count | None = None
    """Streams or requests that it may have at once."""
    p50_milliseconds: Milliseconds | None = None
    """Half of all requests of the last minutes were answered within this time."""
    p95_milliseconds: Milliseconds | None = None
    """Nineteen in twenty requests of the last minutes were answered within this time."""
    error_fraction: Fraction | None = None
    """Share of requests that failed lately."""
    last_error: Annotated[str, StringConstraints(max_length=512)] = ""
    """The last failure and when it began, without any secret."""
    since: Timestamp | None = None
    """When the state last changed."""


class TrunkStatus(ApiModel):
    """How one trunk is."""

    name: Label
    """Name of the trunk."""
    trunk_id: Annotated[str, StringConstraints(max_length=64)] = ""
    """Its id on the LiveKit server."""
    state: Literal["Unknown", "Ready", "Throttled", "Failed"] = "Unknown"
    """How it is."""
    calls: Count = 0
    """Calls at this moment."""
    message: Annotated[str, StringConstraints(max_length=512)] = ""
    """Why, in words."""


class ProviderPoolStatus(CommonStatus):
    """What the operator says about a ProviderPool."""

    summary: Annotated[str, StringConstraints(max_length=256)] = ""
    """State in one line."""
    healthy: Annotated[str, StringConstraints(max_length=16)] = ""
    """Providers that are well, of all, such as 5/6."""
    agents: Count = 0
    """VoiceAgents that use the pool."""
    providers: Annotated[Items[ProviderStatus], Field(max_length=64), ListMap("name")] = ()
    """How each provider is."""
    trunks: Annotated[Items[TrunkStatus], Field(max_length=32), ListMap("name")] = ()
    """How each trunk is."""
