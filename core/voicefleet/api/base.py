"""How a kind is written down: one model from which the server's schema and our own checks both follow.

A field carries its sentence, bounds and default. What no single field can say is a `Rule`: a CEL expression
for the server beside the same predicate for us, under one message. A property test holds the two together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError

from voicefleet.api.cel import field_path

Reason = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A law over several fields of one object, for the server as CEL and for us as a predicate."""

    cel: str
    check: Callable[[Any], bool]
    message: str
    reason: Reason = "FieldValueInvalid"


@dataclass(frozen=True, slots=True)
class Transition:
    """A law over an object before and after an update; the server holds it, and `check_update` foretells it."""

    cel: str
    check: Callable[[Any, Any], bool]
    message: str


class ApiModel(BaseModel):
    """An object inside a resource: frozen, strict about types, lenient about fields newer than this code."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="ignore",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    RULES: ClassVar[tuple[Rule, ...]] = ()
    TRANSITIONS: ClassVar[tuple[Transition, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Write the rules where the server looks for them."""
        written = handler.resolve_ref_schema(handler(schema))
        rules = [{"rule": r.cel, "message": r.message, "reason": r.reason} for r in cls.RULES]
        rules += [{"rule": t.cel, "message": t.message} for t in cls.TRANSITIONS]
        if rules:
            written["x-kubernetes-validations"] = rules
        return written

    @model_validator(mode="before")
    @classmethod
    def _take_null_for_absence(cls, data: Any) -> Any:  # noqa: ANN401
        """Drop nulls where the server prunes them: as values of known fields and of maps, but not inside lists."""
        if not isinstance(data, Mapping):
            return data
        is_map = _is_map_by_alias(cls)
        return {
            name: _without_nulls(value) if is_map.get(name) else value
            for name, value in data.items()
            if value is not None or name not in is_map
        }

    @model_validator(mode="after")
    def _keep_the_rules(self) -> Self:
        for rule in self.RULES:
            if not rule.check(self):
                raise PydanticCustomError("rule", "{message}", {"message": rule.message, "reason": rule.reason})
        return self


# Each object of each resource asks, and to write an annotation out takes longer than to read the object.
@cache
def _is_map_by_alias(model: type[ApiModel]) -> dict[str | None, bool]:
    return {field.alias: "dict[" in str(field.annotation) for field in model.model_fields.values()}


def _without_nulls(value: Any) -> Any:  # noqa: ANN401
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else value


def is_set(model: ApiModel, name: str) -> bool:
    """Whether the server would see the field, as CEL's `has()` asks: written down, or given a default."""
    return name in model.model_fields_set or type(model).model_fields[name].default not in (None, ())


def _as_seen(value: Any) -> Any:  # noqa: ANN401
    """Return a value as the server compares it: an empty list that is written down differs from none."""
    match value:
        case ApiModel():
            names = (name for name in type(value).model_fields if is_set(value, name))
            return {name: _as_seen(getattr(value, name)) for name in names}
        case tuple():
            return tuple(_as_seen(entry) for entry in value)
        case _:
            return value


def exactly_one_of(*names: str, message: str | None = None) -> Rule:
    """Hold a union that names its kind by the one field that is present."""
    listed = ", ".join(to_camel(name) for name in names)
    present = ", ".join(f"has({field_path(name)})" for name in names)
    return Rule(
        cel=f"[{present}].filter(x, x).size() == 1",
        check=lambda model: sum(is_set(model, name) for name in names) == 1,
        message=message or f"set exactly one of {listed}",
    )


def at_most_one_of(*names: str, message: str | None = None) -> Rule:
    """Keep fields apart that contradict each other."""
    listed = ", ".join(to_camel(name) for name in names)
    present = ", ".join(f"has({field_path(name)})" for name in names)
    return Rule(
        cel=f"[{present}].filter(x, x).size() <= 1",
        check=lambda model: sum(is_set(model, name) for name in names) <= 1,
        message=message or f"set at most one of {listed}",
    )


def at_least_one_of(*names: str, message: str | None = None) -> Rule:
    """Refuse an object that says nothing."""
    listed = ", ".join(to_camel(name) for name in names)
    return Rule(
        cel=" || ".join(f"has({field_path(name)})" for name in names),
        check=lambda model: any(is_set(model, name) for name in names),
        message=message or f"set at least one of {listed}",
    )


def ordered(low: str, high: str, *, message: str) -> Rule:
    """Hold a lower bound at or below its upper bound; either may be left out."""

    def check(model: ApiModel) -> bool:
        first, second = getattr(model, low), getattr(model, high)
        return first is None or second is None or bool(first <= second)

    first, second = field_path(low), field_path(high)
    return Rule(cel=f"!has({first}) || !has({second}) || {first} <= {second}", check=check, message=message)


def requires(name: str, needed: str, *, message: str) -> Rule:
    """Refuse a field that makes no sense without another."""
    return Rule(
        cel=f"!has({field_path(name)}) || has({field_path(needed)})",
        check=lambda model: not is_set(model, name) or is_set(model, needed),
        message=message,
    )


def required_when(name: str, equals: str, needed: str, *, message: str) -> Rule:
    """Ask for the field that one value of a choice needs."""
    return Rule(
        cel=f"!has({field_path(name)}) || {field_path(name)} != '{equals}' || has({field_path(needed)})",
        check=lambda model: getattr(model, name) != equals or is_set(model, needed),
        message=message,
    )


def immutable(name: str, *, message: str) -> Transition:
    """Keep a field at the value, or the absence, that it was created with."""
    now = field_path(name)
    before = now.replace("self.", "oldSelf.", 1)
    return Transition(
        cel=f"has({now}) == has({before}) && (!has({now}) || {now} == {before})",
        check=lambda old, new: _as_seen(getattr(old, name)) == _as_seen(getattr(new, name)),
        message=message,
    )
