"""The words and numbers that fields are made of. A name says its unit; every size has an upper bound.

Bounds are not taste: the server estimates what a rule may cost from the largest value it could meet.
"""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    StringConstraints,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

T = TypeVar("T")

# Lists arrive as JSON arrays and are kept as tuples, so that a frozen model is frozen all the way down.
Items = Annotated[tuple[T, ...], Strict(strict=False)]


@dataclass(frozen=True, slots=True)
class ListMap:
    """Entries are told apart by one key, which the server merges by and keeps unique."""

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Check that no key occurs twice."""
        return core_schema.no_info_after_validator_function(self._unique, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Say so to the server."""
        return {**handler(schema), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}

    def _unique(self, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        counts = Counter(getattr(entry, self.key) for entry in entries)
        twice = sorted(str(value) for value, count in counts.items() if count > 1)
        if twice:
            raise PydanticCustomError(
                "duplicate", "{key} '{value}' is used twice", {"key": self.key, "value": twice[0]}
            )
        return entries


@dataclass(frozen=True, slots=True)
class ListSet:
    """Entries are plain values without order or repetition."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Check that no value occurs twice."""
        return core_schema.no_info_after_validator_function(self._unique, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Say so to the server."""
        return {**handler(schema), "x-kubernetes-list-type": "set"}

    @staticmethod
    def _unique(entries: tuple[Any, ...]) -> tuple[Any, ...]:
        twice = sorted(str(value) for value, count in Counter(entries).items() if count > 1)
        if twice:
            raise PydanticCustomError("duplicate", "'{value}' is listed twice", {"value": twice[0]})
        return entries


@dataclass(frozen=True, slots=True)
class IntOrString:
    """Kubernetes writes sizes as 4 or as \"500m\"; the schema has its own word for that."""

    pattern: str

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the one form of `anyOf` that a structural schema may carry."""
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": self.pattern,
            "maxLength": 20,
        }


@dataclass(frozen=True, slots=True)
class FreeForm:
    """An object whose fields are not ours to know, such as a JSON schema."""

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Keep every field."""
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _matches(pattern: str) -> AfterValidator:
    compiled = re.compile(pattern, re.ASCII)

    def check(value: int | str) -> int | str:
        if isinstance(value, str) and not compiled.search(value):
            raise PydanticCustomError(
                "pattern", "'{value}' is not a size such as 4, 500m or 8Gi", {"value": value[:40]}
            )
        return value

    return AfterValidator(check)


QUANTITY_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
Quantity = Annotated[
    Annotated[int, Field(ge=0, le=2_000_000_000)] | Annotated[str, StringConstraints(max_length=20)],
    _matches(QUANTITY_PATTERN),
    IntOrString(QUANTITY_PATTERN),
]
JsonObject = Annotated[dict[str, Any], FreeForm()]

Count = Annotated[int, Field(ge=0, le=1_000_000)]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Percent = Annotated[int, Field(ge=0, le=100)]
Priority = Annotated[int, Field(ge=0, le=1000)]
WorkerCount = Annotated[int, Field(ge=0, le=10_000)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Price = Annotated[float, Field(ge=0, le=1_000_000)]
Milliseconds = Annotated[int, Field(ge=0, le=600_000)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]
Days = Annotated[int, Field(ge=1, le=3650)]

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

Label = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_LABEL)]
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
# Names that a model reads as a function's name: letters, digits and underscores.
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Text = Annotated[str, StringConstraints(max_length=2048)]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=65_536)]
Image = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._/:@-]*$")]
PhoneNumber = Annotated[str, StringConstraints(max_length=16, pattern=r"^\+[1-9][0-9]{6,14}$")]
CountryCode = Annotated[str, StringConstraints(max_length=2, pattern=r"^[A-Z]{2}$")]
Language = Annotated[str, StringConstraints(max_length=35, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
TimeZone = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$")]
ClockTime = Annotated[str, StringConstraints(max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
DtmfDigits = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[0-9*#A-Dw]+$")]
Cron = Annotated[str, StringConstraints(max_length=100, pattern=r"^[0-9*,/A-Za-z-]+( [0-9*,/A-Za-z-]+){4}$")]
# A user or password in a URL would end up in every copy of the spec, so no '@' stands in host or path.
# Classes are spelled out: the server's and our regular expressions disagree about \s beyond ASCII.
_HOST_AND_PATH = r"[A-Za-z0-9._:\[\]-]+(/[!-?A-~]*)?$"
HttpUrl = Annotated[str, StringConstraints(max_length=2048, pattern=rf"^https?://{_HOST_AND_PATH}")]
WebSocketUrl = Annotated[str, StringConstraints(max_length=2048, pattern=rf"^wss?://{_HOST_AND_PATH}")]


def _real_instant(value: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError as error:
        raise PydanticCustomError("date", "'{value}' is not a date that exists", {"value": value}) from error
    return value


Timestamp = Annotated[
    str,
    StringConstraints(
        max_length=20,
        pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$",
    ),
    AfterValidator(_real_instant),
    Field(json_schema_extra={"format": "date-time"}),
]
