"""From a pydantic model to the structural schema of a CustomResourceDefinition.

Pydantic writes JSON Schema with references, unions with null and defaults spelled out; a structural schema wants
everything inline, absence instead of null, and the smallest default that lets the server fill in the rest.
"""

import re
from collections.abc import Mapping
from typing import Any

from voicefleet.api.base import ApiModel

Schema = dict[str, Any]

_DROPPED = frozenset({"$defs", "title", "discriminator"})
_FIELD_READ = re.compile(r"\bself\.([A-Za-z]+(?:\.[A-Za-z]+)*)")
_OBJECT_WORDS = ("description", "default")


def structural_schema(model: type[ApiModel]) -> Schema:
    """Return the model's schema as an apiserver takes it."""
    source = model.model_json_schema(by_alias=True, mode="validation")
    return _converted(source, source.get("$defs", {}))


def _converted(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    if "$ref" in node:
        return _inlined(node, definitions)
    if "anyOf" in node and "x-kubernetes-int-or-string" not in node:
        return _without_null(node, definitions)
    schema = {word: value for word, value in node.items() if word not in _DROPPED}
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    for bound in ("exclusiveMinimum", "exclusiveMaximum"):
        if bound in schema:
            schema[bound.replace("exclusiveM", "m")] = schema.pop(bound)
            schema[bound] = True
    if "properties" in schema:
        schema["properties"] = {name: _converted(child, definitions) for name, child in schema["properties"].items()}
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), Mapping):
            schema[word] = _converted(schema[word], definitions)
    return _tidied(schema)


def _inlined(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    target = definitions[node["$ref"].removeprefix("#/$defs/")]
    beside = {word: node[word] for word in _OBJECT_WORDS if word in node}
    return _tidied({**_converted(target, definitions), **beside})


def _without_null(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """Turn `T or null` into a `T` that may be left out."""
    kept = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
    if len(kept) != 1:
        raise ValueError(f"a structural schema has no unions; write optional fields and a rule instead: {node}")
    beside = {word: value for word, value in node.items() if word not in ("anyOf", "title")}
    return _tidied({**_converted(kept[0], definitions), **beside})


def _tidied(schema: Schema) -> Schema:
    if schema.get("default", ...) is None or schema.get("default") == []:
        del schema["default"]
    elif isinstance(schema.get("default"), Mapping):
        schema["default"] = _smallest_default(schema)
    elif isinstance(schema.get("default"), tuple):
        schema["default"] = list(schema["default"])
    if schema.get("type") == "object" and not schema.get("required", True):
        del schema["required"]
    if schema.get("type") == "integer":
        schema["format"] = "int64"
    if "description" in schema:
        # A sentence may be wrapped in the source.
        schema["description"] = " ".join(str(schema["description"]).split())
    return schema


def _smallest_default(schema: Schema, looked_at: frozenset[str] = frozenset()) -> Schema:
    """Leave the fields' own defaults to say themselves, except where a rule looks.

    The server checks a default against the rules before it fills in the defaults inside. `looked_at` holds what
    the rules of outer objects read, as dotted paths from here.
    """
    rules = " ".join(rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
    paths = looked_at | frozenset(_FIELD_READ.findall(rules))
    default = {}
    for name, value in schema["default"].items():
        child = schema["properties"][name]
        inner = frozenset(path.removeprefix(f"{name}.") for path in paths if path.startswith(f"{name}."))
        if "default" in child and (name in paths or inner):
            default[name] = _smallest_default({**child, "default": value}, inner) if "properties" in child else value
    return default
