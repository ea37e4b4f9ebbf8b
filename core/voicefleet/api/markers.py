"""What a type annotation says to server and model at once: unique keys, sizes, fractions, free objects."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MAX_PLAIN_QUANTITY = 2_000_000_000


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
    """Kubernetes writes sizes as 4 or as '500m'; the schema has its own word for that."""

    pattern: str

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the one form of `anyOf` that a structural schema may carry."""
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": self.pattern,
            "maxLength": 20,
            "x-kubernetes-validations": [
                {
                    "rule": f"type(self) == string || self >= 0 && self <= {MAX_PLAIN_QUANTITY}",
                    "message": f"must be between 0 and {MAX_PLAIN_QUANTITY}, or a size such as 500m or 8Gi",
                }
            ],
        }


def _plain(number: float) -> str:
    """Write a bound as a person would: 0.000001, not 1e-06."""
    return f"{number:.9f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Between:
    """Bounds of a fraction, as a rule: the server rounds the bounds of plain schemas in its messages."""

    low: float
    high: float

    @property
    def message(self) -> str:
        """Say the bounds as they are."""
        return f"must be between {_plain(self.low)} and {_plain(self.high)}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Check the bounds."""
        return core_schema.no_info_after_validator_function(self._within, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell the server."""
        rule = f"self >= {self.low:.12f} && self <= {self.high:.12f}"
        return {**handler(schema), "x-kubernetes-validations": [{"rule": rule, "message": self.message}]}

    def _within(self, value: float) -> float:
        if not self.low <= value <= self.high:
            raise PydanticCustomError("rule", "{message}", {"message": self.message})
        return value


@dataclass(frozen=True, slots=True)
class FreeForm:
    """An object whose fields are not ours to know, such as a JSON schema."""

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Keep every field."""
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
