"""What all agents of a pool share: the LiveKit server, Redis, and the trunks to the telephone network."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel, at_least_one_of, exactly_one_of, requires
from voicefleet.api.markers import Between, ListMap, ListSet
from voicefleet.api.references import SecretKeyRef
from voicefleet.api.types import CountryCode, Items, Label, PhoneNumber, RedisUrl, ShortText, WebSocketUrl


class LiveKit(ApiModel):
    """The LiveKit server that calls are held on."""

    url: WebSocketUrl
    """Address that workers connect to."""
    api_key: SecretKeyRef
    """API key."""
    api_secret: SecretKeyRef
    """API secret."""
    target_load: Annotated[float, Between(0.01, 1)] = 0.7
    """The server's own agents.target_load; workers to be spared report a little less, if it clamps loads."""


class Redis(ApiModel):
    """The Redis that holds breakers, quotas and campaigns."""

    RULES: ClassVar = (
        exactly_one_of("url", "url_from"),
        requires("password", "url", message="password needs url; urlFrom already holds its password"),
    )

    url: RedisUrl | None = None
    """Address without user or password."""
    url_from: SecretKeyRef | None = None
    """Secret with the whole address, user and password included."""
    password: SecretKeyRef | None = None
    """Password for the address."""
    ca_certificate: SecretKeyRef | None = None
    """Certificate authority that the server is trusted by."""


class TrunkAuth(ApiModel):
    """How a trunk is signed in to."""

    username: ShortText
    """User name."""
    password: SecretKeyRef
    """Password."""
    realm: ShortText | None = None
    """Realm, where the carrier wants one."""


class Trunk(ApiModel):
    """One SIP trunk."""

    RULES: ClassVar = (at_least_one_of("address", "trunk_id", "numbers"),)

    name: Label
    """Name of the trunk, which agents and campaigns use."""
    direction: Literal["Inbound", "Outbound", "Both"] = "Both"
    """Which way calls go."""
    address: Annotated[str, StringConstraints(max_length=253, pattern=r"^[A-Za-z0-9.:-]+$")] | None = None
    """Host of the carrier, for outbound calls."""
    trunk_id: Annotated[str, StringConstraints(max_length=64, pattern=r"^ST_[A-Za-z0-9]+$")] | None = None
    """Trunk that exists on the LiveKit server and is used as it is."""
    transport: Literal["Auto", "Udp", "Tcp", "Tls"] = "Auto"
    """Transport of signalling."""
    media_encryption: Literal["Disable", "Allow", "Require"] = "Allow"
    """Whether media is encrypted."""
    auth: TrunkAuth | None = None
    """How the trunk is signed in to."""
    numbers: Annotated[Items[PhoneNumber], Field(max_length=1000), ListSet()] = ()
    """Numbers of the trunk, in E.164."""
    allowed_addresses: Annotated[
        Items[Annotated[str, StringConstraints(max_length=43, pattern=r"^[0-9a-fA-F:.]+(/[0-9]{1,3})?$")]],
        Field(max_length=64),
        ListSet(),
    ] = ()
    """Addresses from which calls are taken."""
    max_concurrent_calls: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Channels of the trunk; absent means no limit that we know of."""
    calls_per_second: Annotated[float, Between(0.001, 1000)] = 1.0
    """Calls that the carrier lets us begin per second."""
    countries: Annotated[Items[CountryCode], Field(max_length=250), ListSet()] = ()
    """Countries that may be called; absent allows all."""
    attestation: Literal["A", "B", "C", "Unknown"] = "Unknown"
    """STIR/SHAKEN level that the carrier signs our numbers with."""


Trunks = Annotated[Items[Trunk], Field(max_length=32), ListMap("name")]
