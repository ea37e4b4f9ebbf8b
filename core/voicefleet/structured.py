"""Answers that are JSON objects: what of them is spoken, known as soon as it is written. Pure.

A model that is asked for an object writes it piece by piece; a caller who waited for its end would wait for seconds. So
the object is read as far as it goes. What begins with no brace is taken for speech: a model may forget what it was
asked for, and the caller is to hear an answer all the same.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from voicefleet.api.types import JsonObject
from voicefleet.api.voiceagent.agents import StructuredOutput

_DECODER = json.JSONDecoder(strict=False)
_GAPS = " \t\r\n,:"
_ESCAPE_CHARACTERS = 6
_HIGH_SURROGATES = range(0xD800, 0xDC00)


@dataclass(frozen=True, slots=True)
class Written:
    """An answer as far as it is written."""

    spoken: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Other texts of the object, each of which is whole."""


def read_answer(text: str, speech_field: str) -> Written:
    """Read an answer as far as it goes."""
    start = text.lstrip()
    if start and not start.startswith("{"):
        return Written(spoken=text)
    fields: dict[str, str] = {}
    at = 1
    while True:
        key, at = _next_value(start, at)
        if not isinstance(key, str):
            break
        value, after = _next_value(start, at)
        if value is None and after < 0:
            fields |= {key: _text_so_far(start, at)} if key == speech_field else {}
            break
        if isinstance(value, str):
            fields[key] = value
        at = after
    return Written(fields.pop(speech_field, ""), fields)


def wishes_of(structured: StructuredOutput, written: Written) -> dict[str, str]:
    """Return how the answer is to be said, by the names that plugins have for it."""
    names = {"emotion": structured.emotion_field, "instructions": structured.style_field}
    return {wish: written.fields[name] for wish, name in names.items() if name and written.fields.get(name)}


def response_format(structured: StructuredOutput) -> JsonObject:
    """Return the wish for such an object as OpenAI's protocol has it."""
    schema = {"name": "answer", "schema": _speech_last(structured), "strict": False}
    return {"type": "json_schema", "json_schema": schema}


def ask_for(structured: StructuredOutput) -> str:
    """Return the sentence that asks a model for such an object."""
    schema = json.dumps(_speech_last(structured), ensure_ascii=False)
    return (
        f"Answer with one JSON object and nothing round it, its fields in this order: {schema}. "
        f"Only {structured.speech_field} is spoken."
    )


def missing_field(structured: StructuredOutput) -> str | None:
    """Return a field that is to be used and that the schema does not have."""
    names = (structured.speech_field, structured.emotion_field, structured.style_field)
    known = structured.parameters.get("properties")
    return next((name for name in names if name and not (isinstance(known, Mapping) and name in known)), None)


def _speech_last(structured: StructuredOutput) -> JsonObject:
    """Return the schema with the spoken field at its end: how it is said must be known before it is said."""
    properties = dict(structured.parameters["properties"])
    spoken = properties.pop(structured.speech_field)
    return {**structured.parameters, "properties": {**properties, structured.speech_field: spoken}}


def _next_value(text: str, at: int) -> tuple[object, int]:
    """Return the next whole value and where it ends, or a negative end if it is not whole yet."""
    begin = at + len(text[at:]) - len(text[at:].lstrip(_GAPS))
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except ValueError:
        return None, -1
    # A number at the very end may go on.
    return (None, -1) if end == len(text) and not isinstance(value, str | dict | list) else (value, end)


def _text_so_far(text: str, at: int) -> str:
    """Return a text that is still being written, but for an escape that is."""
    begin = text.find('"', at)
    if begin < 0 or text[at:begin].strip(_GAPS):
        return ""
    body = text[begin + 1 :]
    return str(json.loads(f'"{body[: _whole_until(body)]}"', strict=False))


def _whole_until(body: str) -> int:
    at = 0
    while at < len(body):
        length = _escape_length(body, at) if body[at] == "\\" else 1
        if at + length > len(body):
            return at
        at += length
    return at


def _escape_length(body: str, at: int) -> int:
    if body[at + 1 : at + 2] != "u":
        return 2
    code = body[at + 2 : at + _ESCAPE_CHARACTERS]
    if len(code) == _ESCAPE_CHARACTERS - 2 and int(code, 16) in _HIGH_SURROGATES:
        return 2 * _ESCAPE_CHARACTERS
    return _ESCAPE_CHARACTERS
