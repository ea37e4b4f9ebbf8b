"""The part of an object that is the same for every kind, checked as the server itself checks it.

None of this reaches our schemas: the server lets a CustomResourceDefinition say nothing about metadata.
"""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from voicefleet.api.base import ApiModel
from voicefleet.api.types import DNS_LABEL, DNS_SUBDOMAIN, Items, JsonObject

MAX_ANNOTATION_BYTES = 262_144
_NAME = "letters, digits, '-', '_' and '.', at most 63, beginning and ending with a letter or digit"

_subdomain = re.compile(DNS_SUBDOMAIN, re.ASCII)
_name_part = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$", re.ASCII)
_instant = re.compile(
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$", re.ASCII
)


def _is_qualified(name: str) -> bool:
    prefix, slash, rest = name.rpartition("/")
    known_prefix = not slash or (len(prefix) <= 253 and _subdomain.fullmatch(prefix) is not None)
    return known_prefix and _name_part.fullmatch(rest) is not None


def _qualified(name: str) -> str:
    if not _is_qualified(name):
        raise PydanticCustomError("name", f"must be a name of {_NAME}, or such a name after a domain and '/'")
    return name


def _qualified_in_any_case(name: str) -> str:
    _qualified(name.lower())
    return name


def _small_enough(annotations: dict[str, str]) -> dict[str, str]:
    size = sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items())
    if size > MAX_ANNOTATION_BYTES:
        message = "annotations must have at most {most} bytes together, have {size}"
        raise PydanticCustomError("size", message, {"most": MAX_ANNOTATION_BYTES, "size": size})
    return annotations


def _begins_a_name(text: str) -> str:
    # The server checks what comes before the hyphen that such a beginning ends with.
    masked = text[:-2] + "a" if len(text) > 1 and text.endswith("-") else text
    if text and not _subdomain.fullmatch(masked):
        raise PydanticCustomError("name", "must be lower-case letters, digits, '-' and '.', such as desk-")
    return text


def _instant_of_any_zone(text: str) -> str:
    try:
        known = _instant.fullmatch(text) is not None and bool(datetime.fromisoformat(text))
    except ValueError:
        known = False
    if not known:
        raise PydanticCustomError("date", "must be an instant such as 2026-12-01T08:00:00Z, or left out")
    return text


def _one_controller(owners: tuple["OwnerReference", ...]) -> tuple["OwnerReference", ...]:
    if sum(bool(owner.controller) for owner in owners) > 1:
        raise PydanticCustomError("owner", "only one of the owners may have controller: true")
    return owners


Whole64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Instant = Annotated[str, AfterValidator(_instant_of_any_zone)]
Filled = Annotated[str, StringConstraints(min_length=1)]
QualifiedName = Annotated[str, AfterValidator(_qualified)]
AnnotationName = Annotated[str, AfterValidator(_qualified_in_any_case)]
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]


class OwnerReference(ApiModel):
    """An object with which this one goes."""

    api_version: Filled
    """Version of the owner's schema."""
    kind: Filled
    """Kind of the owner."""
    name: Filled
    """Name of the owner."""
    uid: Filled
    """Identity of the owner."""
    controller: bool | None = None
    """Whether the owner manages this object."""
    block_owner_deletion: bool | None = None
    """Whether the owner waits for this object to go."""


class ObjectMeta(ApiModel):
    """Everything that metadata may hold."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
    """Name of the object."""
    namespace: Annotated[str, StringConstraints(max_length=63, pattern=rf"^({DNS_LABEL[1:-1]})?$")] | None = None
    """Namespace of the object."""
    labels: dict[QualifiedName, LabelValue] | None = None
    """Labels of the object."""
    annotations: Annotated[dict[AnnotationName, str], AfterValidator(_small_enough)] | None = None
    """Annotations of the object."""
    generate_name: Annotated[str, StringConstraints(max_length=253), AfterValidator(_begins_a_name)] | None = None
    """Beginning of a name that the server completes."""
    owner_references: Annotated[Items[OwnerReference], AfterValidator(_one_controller)] = ()
    """Objects with which this one goes."""
    managed_fields: Items[JsonObject] = ()
    """Who wrote which field."""
    self_link: str | None = None
    """Obsolete."""
    deletion_grace_period_seconds: Whole64 | None = None
    """How long deletion may take."""
    finalizers: Items[QualifiedName] = ()
    """Who must agree before the object goes."""
    generation: Whole64 | None = None
    """Number of the spec's version."""
    uid: str | None = None
    """Identity of the object."""
    resource_version: str | None = None
    """Version of the object."""
    creation_timestamp: Instant | None = None
    """When the object was created."""
    deletion_timestamp: Instant | None = None
    """When the object was asked to go."""
