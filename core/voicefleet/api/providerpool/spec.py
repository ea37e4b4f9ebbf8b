"""ProviderPool: everything outside the cluster that agents depend on, and who may use it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel, Rule, at_least_one_of
from voicefleet.api.markers import ListMap, ListSet
from voicefleet.api.providerpool.connections import LiveKit, Redis, Trunks
from voicefleet.api.providerpool.providers import Provider
from voicefleet.api.providerpool.status import ProviderPoolStatus
from voicefleet.api.resource import Column, KindInfo, Resource, plain_name
from voicefleet.api.types import Items, Label


class RoutingPolicy(ApiModel):
    """How a provider is chosen among those that are well and have room."""

    by: Literal["Priority", "Weight", "Latency", "Cost", "Quality"] = "Priority"
    """What decides."""
    sticky: bool = True
    """Whether a call stays with the provider that it began with as long as it is well."""


class RoutingByRole(ApiModel):
    """How a provider is chosen, for each job."""

    stt: RoutingPolicy | None = None
    """For hearing."""
    llm: RoutingPolicy | None = None
    """For thinking."""
    tts: RoutingPolicy | None = None
    """For speaking."""
    realtime: RoutingPolicy | None = None
    """For models that do it all."""


class Routing(RoutingPolicy):
    """How providers are chosen."""

    roles: RoutingByRole | None = None
    """Where a job is decided differently."""


class NamespaceGrant(ApiModel):
    """Namespaces that may use the pool."""

    RULES: ClassVar = (at_least_one_of("names", "match_labels", "all"),)

    names: Annotated[Items[Label], Field(max_length=256), ListSet()] = ()
    """Namespaces by name."""
    match_labels: (
        Annotated[dict[str, Annotated[str, StringConstraints(max_length=63)]], Field(max_length=16)] | None
    ) = None
    """Labels that a namespace must have."""
    all: Literal[True] | None = None
    """Every namespace."""


def _every_job_has_a_provider(spec: "ProviderPoolSpec") -> bool:
    roles = {provider.role for provider in spec.providers}
    return "Realtime" in roles or {"Stt", "Llm", "Tts"} <= roles


class ProviderPoolSpec(ApiModel):
    """Everything outside the cluster that agents depend on."""

    RULES: ClassVar = (
        Rule(
            cel="self.providers.exists(p, p.role == 'Realtime') || "
            "['Stt', 'Llm', 'Tts'].all(r, self.providers.exists(p, p.role == r))",
            check=_every_job_has_a_provider,
            message="providers must hold at least one each of role Stt, Llm and Tts, or one of role Realtime",
        ),
    )

    livekit: LiveKit
    """The LiveKit server that calls are held on."""
    providers: Annotated[Items[Provider], Field(min_length=1, max_length=64), ListMap("name")]
    """Providers of speech and language."""
    routing: Routing = Routing()
    """How providers are chosen."""
    redis: Redis | None = None
    """The Redis that breakers, quotas and campaigns are kept in; without one each worker keeps its own."""
    trunks: Trunks = ()
    """SIP trunks."""
    currency: Annotated[str, StringConstraints(max_length=3, pattern=r"^[A-Z]{3}$")] = "USD"
    """Currency of all prices."""
    allowed_namespaces: NamespaceGrant | None = None
    """Other namespaces that may use the pool; absent keeps it to its own."""


class ProviderPool(Resource):
    """Everything outside the cluster that agents depend on, and who may use it."""

    INFO: ClassVar = KindInfo(
        plural="providerpools",
        short_name="pp",
        columns=(
            Column(
                "Ready",
                '.status.conditions[?(@.type=="Ready")].status',
                "Whether every job has a provider that is well.",
            ),
            Column("Healthy", ".status.healthy", "Providers that are well, of all."),
            Column("Agents", ".status.agents", "VoiceAgents that use the pool.", "integer"),
            Column("Status", ".status.summary", "State in one line."),
            Column("Age", ".metadata.creationTimestamp", "When it was created.", "date"),
            Column("LiveKit", ".spec.livekit.url", "The LiveKit server.", wide=True),
            Column(
                "Reason",
                '.status.conditions[?(@.type=="Ready")].reason',
                "Why it is ready or not.",
                wide=True,
            ),
        ),
    )
    RULES: ClassVar = (plain_name(63),)

    api_version: Literal["voicefleet.dev/v1alpha1"] = "voicefleet.dev/v1alpha1"
    """Version of this schema."""
    kind: Literal["ProviderPool"] = "ProviderPool"
    """ProviderPool."""
    spec: ProviderPoolSpec
    """What is wanted."""
    status: ProviderPoolStatus | None = None
    """What is."""
