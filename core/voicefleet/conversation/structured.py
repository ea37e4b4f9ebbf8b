"""Answers that are JSON objects: what of them is spoken, known as soon as it is written. Pure.

A model that is asked for an object writes it piece by piece; a caller who waited for its end would wait for seconds. So
the object is read as far as it goes. What begins with no brace is taken for speech: a model may forget what it was
asked for, and the caller is to hear an answer all the same. For the same reason an object may stand in a fence, as in a
document, and a text in it may hold escapes that JSON does not know.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from voicefleet.api.types import JsonObject
from voicefleet.api.voiceagent.agents import StructuredOutput

_DECODER = json.JSONDecoder(strict=False)
_GAPS = " \t\r\n,:"
_FENCE = "```"
_PLAIN = re.compile(r'[^"\\]*')
# A character beyond the first 65,536 is written as two.
_CODE = re.compile(r"u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|u([0-9a-f]{4})", re.IGNORECASE)
# What may be the beginning of one, at the end of all that is written so far.
_CODE_BEGINS = re.compile(r"(u(d[89ab][0-9a-f]{2}(\\(ud?[c-f]?[0-9a-f]?)?)?|[0-9a-f]{0,3}))?\Z", re.IGNORECASE)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATES = range(0xD800, 0xE000)
_NO_CHARACTER = "\ufffd"


@dataclass(frozen=True, slots=True)
class Written:
    """An answer as far as it is written."""

    spoken: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Other texts of the object, each of which is whole."""


def read_answer(text: str, speech_field: str) -> Written:
    """Read an answer as far as it goes."""
    start = _without_fence(text.lstrip())
    if start and not start.startswith("{"):
        return Written(spoken=text)
    fields: dict[str, str] = {}
    at = 1
    while True:
        key, at = _next_value(start, at)
        if not isinstance(key, str) or at < 0:
            break
        value, after = _next_value(start, at)
        if isinstance(value, str) and (after >= 0 or key == speech_field):
            fields[key] = value
        if after < 0:
            break
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


def _without_fence(start: str) -> str:
    """Return an object that stands in a fence, or nothing as long as only the fence is there."""
    if not start or not (start.startswith(_FENCE) or _FENCE.startswith(start)):
        return start
    _, brace, rest = start.partition("{")
    return brace + rest


def _next_value(text: str, at: int) -> tuple[object, int]:
    """Return the next value and where it ends, or a negative end if it is not whole: a text as far as it is written."""
    begin = at + len(text[at:]) - len(text[at:].lstrip(_GAPS))
    if text.startswith('"', begin):
        return _read_text(text, begin + 1)
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except ValueError:
        return None, -1
    # A number at the very end may go on.
    return (None, -1) if end == len(text) and not isinstance(value, dict | list) else (value, end)


def _read_text(text: str, at: int) -> tuple[str, int]:
    """Return a text and where it ends, or a negative end if it is not whole; an escape at the end may go on."""
    pieces: list[str] = []
    while True:
        plain = _PLAIN.match(text, at)
        at = plain.end() if plain else at
        pieces.append(plain[0] if plain else "")
        if at == len(text):
            return "".join(pieces), -1
        if text[at] == '"':
            return "".join(pieces), at + 1
        if _CODE_BEGINS.match(text, at + 1):
            return "".join(pieces), -1
        character, at = _unescape(text, at + 1)
        pieces.append(character)


def _unescape(text: str, at: int) -> tuple[str, int]:
    """Return the character that is meant by what follows a backslash, and where that ends."""
    code = _CODE.match(text, at)
    if code is None:
        return _ESCAPED.get(text[at], text[at]), at + 1
    if code[3] is None:
        return bytes.fromhex(code[1] + code[2]).decode("utf-16-be"), code.end()
    # Half a character can be neither sent nor spoken.
    number = int(code[3], 16)
    return _NO_CHARACTER if number in _SURROGATES else chr(number), code.end()
