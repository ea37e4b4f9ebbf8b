"""A page for each kind with every field, its type, default and sentence."""

from collections.abc import Iterator, Mapping
from typing import Any

from voicefleet.api.resource import Resource
from voicefleet.api.schema import Schema, structural_schema


def build_reference(kind: type[Resource]) -> str:
    """Return the page as Markdown."""
    name = kind.__name__
    schema = structural_schema(kind)
    lines = [
        f"# Fields of {name}",
        "",
        f"Generated from the model; `kubectl explain {kind.INFO.short_name}` says the same.",
        "",
    ]
    for part in ("spec", "status"):
        lines += [f"## {part}", "", "| field | type | default | meaning |", "|---|---|---|---|"]
        lines += list(_rows(schema["properties"][part], ""))
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def _rows(schema: Schema, prefix: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        star = " *(required)*" if name in required else ""
        yield f"| `{path}`{star} | {_type(child)} | {_default(child)} | {_meaning(child)} |"
        inner = child.get("items", child) if child.get("type") == "array" else child
        yield from _rows(inner, f"{path}[]." if child.get("type") == "array" else f"{path}.")


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"map to {_type(schema['additionalProperties'])}"
    if "x-kubernetes-int-or-string" in schema:
        return "size"
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join([str(schema["type"]), *bounds])


def _default(schema: Schema) -> str:
    default: Any = schema.get("default")
    if default is None or isinstance(default, Mapping) or default == "":
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _meaning(schema: Schema) -> str:
    return str(schema.get("description", "")).replace("|", "\\|")
