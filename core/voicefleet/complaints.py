"""Saying what is wrong with a field in words that tell its author what to write instead."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from voicefleet.api.base import ApiModel
from voicefleet.api.references import PASTED, looks_like_a_secret
from voicefleet.api.types import MEANING_OF_PATTERN

_TEXT, _NUMBER, _WHOLE_NUMBER, _BOOLEAN = "text", "a number", "a whole number", "true or false"
_NAMES_OF_TYPES = {
    "string_type": _TEXT,
    "int_type": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "float_type": _NUMBER,
    "bool_type": _BOOLEAN,
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
# Text that is allowed no more than this has a shape of its own, which says more than its length.
_LONGEST_SHAPE = 40
_CREDENTIALS = re.compile(r"//[^/]*@")
_QUOTES = "; put it in quotes if you mean text"
UNKNOWN = "unknown field"


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
        return _about_type(_NAMES_OF_TYPES[error], value)
    if error in _COMPARISONS:
        name, words = _COMPARISONS[error]
        return f"{words} {context[name]}, was {value}"
    pattern = _pattern_at(kind, path) if error == "string_too_long" else None
    if pattern in MEANING_OF_PATTERN and context["max_length"] <= _LONGEST_SHAPE:
        return f"must be {MEANING_OF_PATTERN[pattern]}; was {_shown(str(value))}"
    return _about_content(error, value, context, detail["msg"])


def _about_content(error: str, value: object, context: Mapping[str, Any], otherwise: str) -> str:
    match error:
        case "literal_error":
            return _about_choice(str(context["expected"]), value)
        case "string_pattern_mismatch":
            meaning = MEANING_OF_PATTERN.get(context["pattern"], f"text that matches {context['pattern']}")
            return f"must be {meaning}; was {_shown(str(value))}"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters, has {len(str(value))}"
        case "string_too_short":
            return "must not be empty"
        case "too_long":
            return f"must have at most {_entries(context['max_length'])}, has {context.get('actual_length', 'more')}"
        case "too_short":
            return f"must have at least {_entries(context['min_length'])}, has {context['actual_length']}"
        case "size":
            return f"{otherwise}; was {_shown(value)}" if isinstance(value, str) else otherwise
        case _:
            return otherwise[:1].lower() + otherwise[1:] if otherwise[:2].istitle() else otherwise


def _about_unknown_field(name: str, value: object, *, known: Sequence[str]) -> str:
    if isinstance(value, str) and looks_like_a_secret(value):
        return f"{UNKNOWN}, and {PASTED}"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    if close:
        return f"{UNKNOWN}; did you mean {close[0]}?"
    if any(word in name.lower() for word in _SECRET_FIELDS):
        return f"{UNKNOWN}; secrets are never written down here, refer to a Secret by name and key"
    return f"{UNKNOWN}; known are {', '.join(known)}" if known else UNKNOWN


def _about_choice(expected: str, value: object) -> str:
    choices = [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
    if choices == ["True"]:
        return "must be true, or left out"
    listed = f"must be {'one of ' if len(choices) > 1 else ''}{', '.join(choices)}"
    if not isinstance(value, str):
        return f"{listed}, was {_named(value)}{_QUOTES if isinstance(value, bool | int | float) else ''}"
    close = [choice for choice in choices if choice.lower() == value.lower()]
    close = close or difflib.get_close_matches(value, choices, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{listed}, was {_shown(value)}{hint}"


def _known_fields(kind: type[ApiModel], path: Sequence[str | int]) -> list[str]:
    model = _model_at(kind, path)
    return [] if model is None else [str(field.alias) for field in model.model_fields.values()]


def _model_at(kind: type[ApiModel], path: Sequence[str | int]) -> type[ApiModel] | None:
    model: type[ApiModel] | None = kind
    for part in path:
        if isinstance(part, int) or model is None:
            continue
        fields = {field.alias: field for field in model.model_fields.values()}
        model = model_within(fields[part].annotation) if part in fields else None
    return model


def _pattern_at(kind: type[ApiModel], path: Sequence[str | int]) -> str | None:
    """Find the pattern that text at a path must match, through lists and options."""
    names = [part for part in path if isinstance(part, str)]
    model = _model_at(kind, names[:-1])
    fields = {} if model is None else {field.alias: field for field in model.model_fields.values()}
    found = fields.get(names[-1])
    return None if found is None else _pattern_within([*found.metadata, found.annotation])


def _pattern_within(annotations: Sequence[Any]) -> str | None:
    for annotation in annotations:
        inner = [*getattr(annotation, "__metadata__", ()), *getattr(annotation, "__args__", ())]
        pattern = getattr(annotation, "pattern", None) or _pattern_within(
            [*getattr(annotation, "metadata", ()), *inner]
        )
        if isinstance(pattern, str):
            return pattern
    return None


def model_within(annotation: Any) -> type[ApiModel] | None:  # noqa: ANN401
    """Return the model that an annotation holds, however wrapped."""
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return annotation
    found = (model_within(inner) for inner in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)


def _about_type(expected: str, value: object) -> str:
    """Say what a value must be and what it is; what is no mapping may be a pasted key, and is not repeated."""
    if isinstance(value, str) and expected in (_WHOLE_NUMBER, _NUMBER, _BOOLEAN):
        unquoted = "; write it without quotes" if _is_quoted(value, expected) else ""
        return f"must be {expected}, was the text {_shown(value)}{unquoted}"
    if isinstance(value, float) and expected == _WHOLE_NUMBER:
        return f"must be {expected}, was {value}"
    quotes = _QUOTES if expected == _TEXT and isinstance(value, bool | int | float) else ""
    return f"must be {expected}, was {_named(value)}{quotes}"


def _is_quoted(value: str, expected: str) -> bool:
    plain = value.removeprefix("-").replace(".", "", 0 if expected == _WHOLE_NUMBER else 1)
    return value.lower() in ("true", "false") if expected == _BOOLEAN else plain.isdecimal() and plain.isascii()


def _named(value: object) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "a mapping"
        case _:
            return "a list"


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _shown(value: str) -> str:
    """Show a text without what a terminal would obey, and never a whole prompt nor a password in an address."""
    text = _CREDENTIALS.sub("//", value)
    shown = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    return "'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown) + "'"
