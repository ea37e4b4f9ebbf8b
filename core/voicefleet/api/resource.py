"""The envelope of a kind, and what the server is told about it besides its fields."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from voicefleet.api.base import ApiModel
from voicefleet.api.types import DNS_SUBDOMAIN, Items, JsonObject

GROUP = "voicefleet.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

ColumnType = Literal["string", "integer", "number", "boolean", "date"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; wide ones need `-o wide`."""

    name: str
    path: str
    description: str
    type: ColumnType = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the scale subresource finds its numbers."""

    spec: str = ".spec.replicas"
    status: str = ".status.replicas"
    selector: str = ".status.selector"


@dataclass(frozen=True, slots=True)
class KindInfo:
    """What the server is told about a kind."""

    plural: str
    short_name: str
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    scale: ScalePaths | None = None
    categories: tuple[str, ...] = field(default=("voicefleet",))


QualifiedName = Annotated[
    str,
    StringConstraints(
        max_length=316,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
    ),
]
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]


class ObjectMeta(ApiModel):
    """The part of metadata that people write; the server knows the rest."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
    """Name of the object."""
    namespace: (
        Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
        | None
    ) = None
    """Namespace of the object."""
    labels: dict[QualifiedName, LabelValue] | None = None
    """Labels of the object."""
    annotations: dict[str, str] | None = None
    """Annotations of the object."""
    generate_name: Annotated[str, StringConstraints(max_length=248)] | None = None
    """Beginning of a name that the server completes."""
    owner_references: Items[JsonObject] = ()
    """Objects with which this one goes."""
    managed_fields: Items[JsonObject] = ()
    """Who wrote which field."""
    self_link: str | None = None
    """Obsolete."""
    deletion_grace_period_seconds: int | None = None
    """How long deletion may take."""
    finalizers: Items[str] = ()
    """Who must agree before the object goes."""
    generation: int | None = None
    """Number of the spec's version."""
    uid: str | None = None
    """Identity of the object."""
    resource_version: str | None = None
    """Version of the object."""
    creation_timestamp: str | None = None
    """When the object was created."""
    deletion_timestamp: str | None = None
    """When the object was asked to go."""


class Resource(ApiModel):
    """A whole object as it is applied."""

    INFO: ClassVar[KindInfo]

    metadata: ObjectMeta
    """Name, namespace, labels."""
