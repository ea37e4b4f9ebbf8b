"""Saying what is wrong with a field in words that tell its author what to write instead."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from voicefleet.api.base import ApiModel
from voicefleet.api.references import PASTED, looks_like_a_secret
from voicefleet.api.types import MEANING_OF_PATTERN

_NAMES_OF_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}
_COMPARISONS = {
    "greater_than_equal": ("ge", "must be at least"),
    "less_than_equal": ("le", "must be at most"),
    "greater_than": ("gt", "must be above"),
    "less_than": ("lt", "must be below"),
}
# Names that people give to keys when they paste them.
_SECRET_FIELDS = ("key", "secret", "token", "password", "credential")
_LONGEST_SHOWN = 40


def complaint_about(detail: ErrorDetails, path: Sequence[str | int], kind: type[ApiModel]) -> str:
    """Turn one of pydantic's findings into a sentence for the author of a manifest."""
    error, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if error == "missing":
        return "is required"
    if error == "extra_forbidden":
        return _about_unknown_field(str(path[-1]), value, known=_known_fields(kind, path[:-1]))
    if isinstance(value, str) and looks_like_a_secret(value) and error != "rule":
        return PASTED
    if error in _NAMES_OF_TYPES:
        return f"must be {_NAMES_OF_TYPES[error]}, was {_described(value)}"
    if error in _COMPARISONS:
        name, words = _COMPARISONS[error]
        return f"{words} {context[name]}, was {value}"
    return _about_content(error, value, context, detail["msg"])


def _about_content(error: str, value: object, context: Mapping[str, Any], otherwise: str) -> str:
    match error:
        case "literal_error":
            return _about_choice(str(context["expected"]), value)
        case "string_pattern_mismatch":
            meaning = MEANING_OF_PATTERN.get(context["pattern"], f"text that matches {context['pattern']}")
            return f"must be {meaning}; was {_shown(value)}"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters, has {len(str(value))}"
        case "string_too_short":
            return "must not be empty"
        case "too_long":
            return f"must have at most {context['max_length']} entries, has {context.get('actual_length', 'more')}"
        case "too_short":
            return f"must have at least {context['min_length']} entries, has {context['actual_length']}"
        case _:
            return otherwise[:1].lower() + otherwise[1:] if otherwise[:2].istitle() else otherwise


def _about_unknown_field(name: str, value: object, *, known: Sequence[str]) -> str:
    if isinstance(value, str) and looks_like_a_secret(value):
        return f"unknown field, and {PASTED}"
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"unknown field; did you mean {close[0]}?"
    if any(word in name.lower() for word in _SECRET_FIELDS):
        return "unknown field; secrets are never written down here, refer to a Secret by name and key"
    return f"unknown field; known are {', '.join(known)}" if known else "unknown field"


def _about_choice(expected: str, value: object) -> str:
    choices = [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
    close = [choice for choice in choices if choice.lower() == str(value).lower()]
    close = close or difflib.get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"must be {'one of ' if len(choices) > 1 else ''}{', '.join(choices)}, was {_shown(value)}{hint}"


def _known_fields(kind: type[ApiModel], path: Sequence[str | int]) -> list[str]:
    model: type[ApiModel] | None = kind
    for part in path:
        if isinstance(part, int) or model is None:
            continue
        fields = {field.alias: field for field in model.model_fields.values()}
        model = _model_within(fields[part].annotation) if part in fields else None
    return [] if model is None else [str(field.alias) for field in model.model_fields.values()]


def _model_within(annotation: Any) -> type[ApiModel] | None:  # noqa: ANN401
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return annotation
    found = (_model_within(inner) for inner in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)


def _described(value: object) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return f"{str(value).lower()}; put it in quotes if you mean text"
        case int() | float():
            return f"the number {value}; put it in quotes if you mean text"
        case str():
            return f"the text {_shown(value)}"
        case Mapping():
            return "a mapping"
        case _:
            return "a list"


def _shown(value: object) -> str:
    """Show a value without what a terminal would obey, and never a whole prompt."""
    text = str(value)
    shown = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    return "'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown) + "'"
