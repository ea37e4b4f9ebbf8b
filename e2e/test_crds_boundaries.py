"""Every bound of every field, on both sides: what random objects meet only by luck, these visit one by one.

For each field of the schemas a small object is built that holds it and is accepted. Then the field takes each value at
the edge of what it may be, and server and model must agree.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.test_crds_property import Server
from e2e.test_crds_property import server as server  # noqa: PLC0414 - a fixture
from tests.support.manifests import (
    Manifest,
    Place,
    Spot,
    edge_values,
    minimal,
    pattern_of,
    repaired,
    spec_schema,
    union_members,
    value_at,
    with_value,
)
from voicefleet.api.kinds import KINDS
from voicefleet.api.schema import Schema
from voicefleet.validation import check_manifest

_EXAMPLES = (
    *("desk", "a_b", "abc", "+4930123456", "https://h/", "wss://h", "redis://h", "09:00", "2026-12-25"),
    *("2026-12-01T08:00:00Z", "DE", "EUR", "10.0.0.0/8", "ST_a", "30 8 * * 1-5", ",", "1", "a", "A", "en", "de"),
)
# Fields whose smallest value depends on their neighbours.
_BY_NAME: dict[str, object] = {"end": "17:00", "scaleToZero": True, "idempotent": True, "method": "POST", "mode": None}


def _smallest(schema: Schema, towards: tuple[str, ...], name: str = "", number: int = 0) -> object:
    """Return a small value that holds the field that lies in a direction."""
    if _BY_NAME.get(name) is not None and not towards:
        return _BY_NAME[name]
    if isinstance(schema.get("default"), str | int | float):
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    match schema.get("type"):
        case "object":
            return _smallest_mapping(schema, towards, number)
        case "array":
            count = max(1 if towards else 0, schema.get("minItems", 0))
            return [_smallest(schema["items"], towards[1:] if not index else (), "", index) for index in range(count)]
        case "string" | None:
            return [text for text in _EXAMPLES if _fits(text, schema)][number]
        case other:
            return {"boolean": True, "integer": schema.get("minimum"), "number": 0.6}[other]


def _fits(text: str, schema: Schema) -> bool:
    return len(text) <= schema.get("maxLength", 20) and re.fullmatch(pattern_of(schema) or ".*", text) is not None


def _smallest_mapping(schema: Schema, towards: tuple[str, ...], number: int) -> Manifest:
    if "additionalProperties" in schema:
        return {"a": _smallest(schema["additionalProperties"], towards[1:])} if towards else {}
    chosen = {*schema.get("required", ()), *towards[:1]} if "properties" in schema else set()
    for names in union_members(schema):
        if not chosen & set(names):
            chosen.add(names[0])
    properties = schema.get("properties", {})
    return {
        name: _smallest(properties[name], towards[1:] if towards[:1] == (name,) else (), name, number)
        for name in properties
        if name in chosen
    }


def _directions(schema: Schema, behind: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Schema]]:
    for name, inner in schema.get("properties", {}).items():
        yield (*behind, name), inner
        yield from _directions(inner, (*behind, name))
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield (*behind, "*"), schema[word]
            yield from _directions(schema[word], (*behind, "*"))


def _spots(kind: str) -> Iterator[tuple[Manifest, Spot]]:
    """Yield each field once, in an object that the model accepts; the same schema under the same name counts as one."""
    seen: set[str] = set()
    for direction, schema in _directions(spec_schema(kind)):
        known = f"{direction[-2:]} {schema}"
        if known in seen:
            continue
        manifest = repaired(with_value(minimal(kind), ("spec", direction[0]), _towards(kind, direction)))
        place = _follow(manifest, direction)
        if place and check_manifest(manifest) == ():
            seen.add(known)
            yield manifest, Spot(place, value_at(manifest, place), schema)


def _towards(kind: str, direction: tuple[str, ...]) -> object:
    return _smallest(spec_schema(kind)["properties"][direction[0]], direction[1:], direction[0])


def _follow(manifest: Manifest, direction: tuple[str, ...]) -> Place:
    """Return where a direction leads, or nothing if what lies there was repaired away."""
    place: list[str | int] = ["spec"]
    inner: Any = manifest["spec"]
    for name in direction:
        part: str | int = name if name != "*" else 0 if isinstance(inner, list) else "a"
        if isinstance(part, str) and part not in inner:
            return ()
        place.append(part)
        inner = inner[part]
    return tuple(place)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_server_and_model_draw_every_bound_in_the_same_place(kind: str, server: Server) -> None:
    distinct = {f"{direction[-2:]} {schema}" for direction, schema in _directions(spec_schema(kind))}
    visited, verdicts = 0, {True: 0, False: 0}
    for manifest, spot in _spots(kind):
        visited += 1
        for value in edge_values(spot):
            changed = with_value(manifest, spot.place, value)
            problems = check_manifest(changed)
            status, message = server.try_to_create(kind, changed)
            verdicts[status == 201] += 1
            shown = f"{spot.place} = {value!r:.80}: the server says {status} {message}, the model {problems}"
            assert (status == 201) == (not problems), shown
    assert visited >= 0.9 * len(distinct), f"{visited} of {len(distinct)} fields"
    assert min(verdicts.values()) > 100
