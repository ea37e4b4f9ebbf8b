"""What a type annotation says to server and model at once: unique keys, sizes, fractions, free objects."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from voicefleet.api.cel import quoted

MAX_PLAIN_QUANTITY = 2_000_000_000
MAX_QUANTITY_LENGTH = 20


def _first_repetition(values: Sequence[Any]) -> int | None:
    return next((index for index, value in enumerate(values) if value in values[:index]), None)


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
        values = [getattr(entry, self.key) for entry in entries]
        index = _first_repetition(values)
        if index is not None:
            context = {"key": self.key, "value": str(values[index]), "index": index}
            raise PydanticCustomError("duplicate", "{key} '{value}' is used twice", context)
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
        index = _first_repetition(entries)
        if index is not None:
            context = {"value": str(entries[index]), "index": index}
            raise PydanticCustomError("duplicate", "'{value}' is listed twice", context)
        return entries


@dataclass(frozen=True, slots=True)
class IntOrString:
    """Kubernetes writes sizes as 4 or as '500m'; the schema has its own word for that."""

    pattern: str

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Check both forms at once, so that one complaint is about both."""
        return core_schema.no_info_plain_validator_function(self._sized)

    def _sized(self, value: object) -> int | str:
        match value:
            case bool():
                pass
            case int() if 0 <= value <= MAX_PLAIN_QUANTITY:
                return value
            case str() if len(value) <= MAX_QUANTITY_LENGTH and re.fullmatch(self.pattern, value, re.ASCII):
                return value
        raise PydanticCustomError("size", "must be a size such as 4, 500m or 8Gi")

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the one form of `anyOf` that a structural schema may carry."""
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": self.pattern,
            "maxLength": MAX_QUANTITY_LENGTH,
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
class Unrepeated:
    """Text of one shape that a refusal must not repeat, such as an address in which a password may stand.

    The server repeats what does not match a pattern, but not what a rule forbids.
    """

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Check the shape."""
        return core_schema.no_info_after_validator_function(self._matching, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell the server."""
        rule = f"self.matches({quoted(self.pattern)})"
        validation = {"rule": rule, "message": self.message, "reason": "FieldValueForbidden"}
        return {**handler(schema), "x-kubernetes-validations": [validation]}

    def _matching(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value, re.ASCII):
            raise PydanticCustomError("rule", "{message}", {"message": self.message})
        return value


@dataclass(frozen=True, slots=True)
class FreeForm:
    """An object whose fields are not ours to know, such as a JSON schema."""

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Keep every field."""
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
