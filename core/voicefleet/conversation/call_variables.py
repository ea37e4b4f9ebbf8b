"""Values that differ from call to call: how a dispatch brings them and how they fill a prompt's double braces."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from voicefleet.api.voiceagent.agents import Variable

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Missing:
    """Variables that a call must bring and does not; such a call is refused."""

    names: tuple[str, ...]


def read_call_variables(metadata: str) -> dict[str, str]:
    """Read `{"variables": {...}}` from a dispatch's metadata; metadata of any other shape brings none.

    Dispatches of people who do not use variables carry what they like, so that is no error.
    """
    try:
        body = json.loads(metadata)
    except (ValueError, RecursionError):
        return {}
    return as_variables(body.get("variables")) if isinstance(body, dict) else {}


def as_variables(given: object) -> dict[str, str]:
    """Read an object of texts, numbers and truth values; anything else in it, or in its place, is left out."""
    if not isinstance(given, dict):
        return {}
    return {name: _as_text(value) for name, value in given.items() if isinstance(value, str | int | float)}


def resolve_variables(declared: Iterable[Variable], given: Mapping[str, str]) -> dict[str, str] | Missing:
    """Take each declared variable from the call, else its default; what nobody declared stays out."""
    values = {v.name: given.get(v.name, v.default) for v in declared}
    missing = tuple(name for name, value in values.items() if value is None)
    if missing:
        return Missing(missing)
    return {name: value for name, value in values.items() if value is not None}


def shareable(declared: Iterable[Variable], values: Mapping[str, str]) -> dict[str, str]:
    """Return the values that others may keep: those that are no personal data."""
    personal = {variable.name for variable in declared if variable.personal}
    return {name: value for name, value in values.items() if name not in personal}


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fill the double braces; one without a value leaves nothing behind that could be read aloud.

    Filled text is not filled again: a caller named `{{account_id}}` learns nothing.
    """
    return PLACEHOLDER.sub(lambda found: values.get(found[1], ""), template)


def whole(text: str) -> str:
    """Return a text that can be sent: JSON may hold half of a character, and no request could be made with that."""
    return text.encode(errors="replace").decode()


def _as_text(value: str | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return whole(str(value))
