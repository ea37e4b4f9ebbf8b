"""The envelope of a kind, and what the server is told about it besides its fields."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from voicefleet.api.base import ApiModel, Rule
from voicefleet.api.metadata import ObjectMeta

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


class Resource(ApiModel):
    """A whole object as it is applied."""

    INFO: ClassVar[KindInfo]

    metadata: ObjectMeta
    """Name, namespace, labels."""


def plain_name(max_characters: int, *, because: str = "") -> Rule:
    """Keep an object's name short and without dots, so that other names can be made of it."""
    message = f"metadata.name must have at most {max_characters} characters and no dots"
    return Rule(
        cel=f"self.metadata.name.size() <= {max_characters} && !self.metadata.name.contains('.')",
        check=lambda resource: len(resource.metadata.name) <= max_characters and "." not in resource.metadata.name,
        message=f"{message}: {because}" if because else message,
    )
