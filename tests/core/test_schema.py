"""Laws that the generated CustomResourceDefinitions keep, whatever the models hold."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from tools.generate import generated_files
from tools.writing import ROOT
from voicefleet.api.base import ApiModel
from voicefleet.api.crd import build_crd
from voicefleet.api.kinds import KINDS
from voicefleet.api.schema import Schema, structural_schema
from voicefleet.complaints import model_within

# Ends a sentence: a full stop, not one of an abbreviation.
_SENTENCE = re.compile(r"^[A-Z0-9][^.]*((\.(?=\S)|(?<=such as \d)\.)[^.]*)*\.$")


def _nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _nodes(inner, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from _nodes(schema[word], f"{path}[]")


def _all_nodes() -> list[tuple[str, Schema]]:
    found: list[tuple[str, Schema]] = []
    for name, kind in KINDS.items():
        (version,) = build_crd(kind)["spec"]["versions"]
        found += _nodes(version["schema"]["openAPIV3Schema"], name)
    return found


NODES = _all_nodes()
FIELDS = [(path, node) for path, node in NODES if not path.endswith("[]") and not path.endswith(".metadata")]
SPECS = [(path, node) for path, node in NODES if re.match(r"\w+\.(spec|status)\b", path)]


def test_every_field_is_described_in_one_sentence() -> None:
    wrong = [path for path, node in FIELDS if not _SENTENCE.match(node.get("description", ""))]
    assert len(FIELDS) > 800
    assert not wrong


def test_nothing_is_left_that_a_structural_schema_may_not_hold() -> None:
    forbidden = {
        "$ref",
        "$defs",
        "title",
        "oneOf",
        "allOf",
        "not",
        "discriminator",
        "const",
        "prefixItems",
        "uniqueItems",
    }
    for path, node in NODES:
        assert not forbidden & node.keys(), path
        if "anyOf" in node:
            assert node["x-kubernetes-int-or-string"] is True, path
            assert node["anyOf"] == [{"type": "integer"}, {"type": "string"}], path
        else:
            assert isinstance(node["type"], str), path
            assert node["type"] != "null", path


def test_everything_has_an_upper_bound_so_that_the_cost_of_rules_is_known() -> None:
    for path, node in SPECS:
        match node.get("type"):
            case "array":
                assert "maxItems" in node, path
            case "string":
                assert "maxLength" in node or "enum" in node, path
            case "object" if "additionalProperties" in node:
                assert "maxProperties" in node, path
            case "integer":
                assert "minimum" in node, path
                assert "maximum" in node or path.endswith("observedGeneration"), path


def test_an_object_says_either_its_fields_or_that_they_are_free() -> None:
    for path, node in SPECS:
        if node.get("type") == "object":
            ways = [
                word
                for word in ("properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields")
                if word in node
            ]
            assert len(ways) == 1, path


def test_entries_of_a_list_are_told_apart_by_a_field_that_they_must_have() -> None:
    maps = [(path, node) for path, node in NODES if node.get("x-kubernetes-list-type") == "map"]
    assert len(maps) > 20
    for path, node in maps:
        for key in node["x-kubernetes-list-map-keys"]:
            assert key in node["items"]["required"], path
            assert node["items"]["properties"][key]["type"] == "string", path


def test_a_set_holds_plain_values() -> None:
    for path, node in NODES:
        if node.get("x-kubernetes-list-type") == "set":
            assert node["items"]["type"] == "string", path


def test_no_required_field_has_a_default_as_it_would_never_be_missing() -> None:
    for path, node in NODES:
        for name in node.get("required", ()):
            assert "default" not in node["properties"][name], f"{path}.{name}"


def test_every_rule_says_what_is_wrong() -> None:
    for path, node in NODES:
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule["message"], path
            assert "\n" not in rule["message"], path
            assert not rule["message"].endswith("."), path


def test_a_rule_reads_only_fields_that_exist() -> None:
    read = 0
    for path, node in NODES:
        for rule in node.get("x-kubernetes-validations", ()):
            for dotted in re.findall(r"\b(?:self|oldSelf)\.((?:[A-Za-z_]\w*\.?)+)(?!\()", rule["rule"]):
                inner: Schema = node
                for name in dotted.strip(".").split("."):
                    if "properties" not in inner or (path in KINDS and name == "metadata"):
                        break
                    known = name.removeprefix("__").removesuffix("__")
                    assert known in inner["properties"], f"{path}: {rule['rule']}"
                    inner = inner["properties"][known]
                    read += 1
    assert read > 100


def _models(kind: type[ApiModel]) -> Iterator[type[ApiModel]]:
    yield kind
    for field in kind.model_fields.values():
        inner = model_within(field.annotation)
        if inner is not None:
            yield from _models(inner)


def test_every_default_is_one_that_could_have_been_written() -> None:
    checked = 0
    for model in {inner for kind in KINDS.values() for inner in _models(kind)}:
        for name, field in model.model_fields.items():
            if field.is_required() or field.default is None:
                continue
            adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
            written = adapter.dump_python(field.default, mode="json", by_alias=True)
            assert adapter.validate_python(written) == field.default, f"{model.__name__}.{name}"
            checked += 1
    assert checked > 200


def test_a_default_of_the_schema_keeps_the_schemas_own_bounds() -> None:
    checked = 0
    for path, node in NODES:
        if "default" not in node or node.get("x-kubernetes-int-or-string"):
            continue
        checked += 1
        value = node["default"]
        assert value in node.get("enum", [value]), path
        if isinstance(value, str):
            assert node.get("minLength", 0) <= len(value) <= node.get("maxLength", len(value)), path
            assert re.search(node.get("pattern", ""), value), path
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert node.get("minimum", value) <= value <= node.get("maximum", value), path
        if isinstance(value, list):
            assert node.get("minItems", 0) <= len(value) <= node["maxItems"], path
    assert checked > 200


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.__name__)
def test_the_models_docstrings_reach_kubectl_explain(kind: type[ApiModel]) -> None:
    schema = structural_schema(kind)
    assert schema["description"] == " ".join((kind.__doc__ or "").split())


def test_what_lies_in_the_repository_is_what_the_models_say() -> None:
    stale = [path.relative_to(ROOT) for path, text in generated_files() if path.read_text() != text]
    assert not stale, "run `make gen`"
