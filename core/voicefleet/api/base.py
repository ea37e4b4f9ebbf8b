"""How a kind is written down: one model from which the server's schema and our own checks both follow.

A field carries its sentence, bounds and default. What no single field can say is a `Rule`: a CEL expression
for the server beside the same predicate for us, under one message. A property test holds the two together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, PydanticUndefined

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
    def _treat_null_as_the_server_does(cls, data: Any) -> Any:  # noqa: ANN401
        """Drop a null where a default stands ready, and refuse it elsewhere."""
        if not isinstance(data, Mapping) or None not in data.values():
            return data
        fields = {field.alias: field for field in cls.model_fields.values()}
        kept = dict(data)
        for name, value in data.items():
            field = fields.get(name)
            if value is not None or field is None:
                continue
            if field.default in (None, PydanticUndefined) or field.default == ():
                raise PydanticCustomError(
                    "null", "'{name}' is empty: write a value or leave the line out", {"name": name}
                )
            del kept[name]
        return kept

    @model_validator(mode="after")
    def _keep_the_rules(self) -> Self:
        for rule in self.RULES:
            if not rule.check(self):
                raise PydanticCustomError("rule", "{message}", {"message": rule.message, "reason": rule.reason})
        return self


def is_set(model: ApiModel, name: str) -> bool:
    """Whether the server would see the field, as CEL's `has()` asks: written down, or given a default."""
    return name in model.model_fields_set or type(model).model_fields[name].default not in (None, ())


def exactly_one_of(*names: str, message: str | None = None) -> Rule:
    """Of several optional fields just one is set: a union that names its kind by its presence."""
    listed = ", ".join(to_camel(name) for name in names)
    present = ", ".join(f"has({field_path(name)})" for name in names)
    return Rule(
        cel=f"[{present}].filter(x, x).size() == 1",
        check=lambda model: sum(is_set(model, name) for name in names) == 1,
        message=message or f"set exactly one of {listed}",
    )


def at_most_one_of(*names: str, message: str | None = None) -> Rule:
    """Fields that contradict each other are not set together."""
    listed = ", ".join(to_camel(name) for name in names)
    present = ", ".join(f"has({field_path(name)})" for name in names)
    return Rule(
        cel=f"[{present}].filter(x, x).size() <= 1",
        check=lambda model: sum(is_set(model, name) for name in names) <= 1,
        message=message or f"set at most one of {listed}",
    )


def at_least_one_of(*names: str, message: str | None = None) -> Rule:
    """An object that says nothing is a mistake."""
    listed = ", ".join(to_camel(name) for name in names)
    return Rule(
        cel=" || ".join(f"has({field_path(name)})" for name in names),
        check=lambda model: any(is_set(model, name) for name in names),
        message=message or f"set at least one of {listed}",
    )


def ordered(low: str, high: str, *, message: str) -> Rule:
    """A lower bound does not exceed its upper bound; either may be left out."""

    def check(model: ApiModel) -> bool:
        first, second = getattr(model, low), getattr(model, high)
        return first is None or second is None or bool(first <= second)

    first, second = field_path(low), field_path(high)
    return Rule(cel=f"!has({first}) || !has({second}) || {first} <= {second}", check=check, message=message)


def requires(name: str, needed: str, *, message: str) -> Rule:
    """One field makes no sense without another."""
    return Rule(
        cel=f"!has({field_path(name)}) || has({field_path(needed)})",
        check=lambda model: not is_set(model, name) or is_set(model, needed),
        message=message,
    )


def required_when(name: str, equals: str, needed: str, *, message: str) -> Rule:
    """One value of a choice needs another field."""
    return Rule(
        cel=f"!has({field_path(name)}) || {field_path(name)} != '{equals}' || has({field_path(needed)})",
        check=lambda model: getattr(model, name) != equals or is_set(model, needed),
        message=message,
    )


def immutable(name: str, *, message: str) -> Transition:
    """A field keeps the value, or the absence, that it was created with."""
    now = field_path(name)
    before = now.replace("self.", "oldSelf.", 1)
    return Transition(
        cel=f"has({now}) == has({before}) && (!has({now}) || {now} == {before})",
        check=lambda old, new: getattr(old, name) == getattr(new, name),
        message=message,
    )
