"""Writing field names in CEL, whose reserved words must be escaped."""

from pydantic.alias_generators import to_camel

# https://kubernetes.io/docs/reference/using-api/cel/#escaping
RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)


def field_path(name: str) -> str:
    """Return `self.<camelCase>` for a field's Python name, dotted names included."""
    parts = (to_camel(part) for part in name.split("."))
    return ".".join(["self", *(f"__{part}__" if part in RESERVED else part for part in parts)])


def quoted(text: str) -> str:
    """Return a CEL raw string literal; our patterns hold no single quotes."""
    return f"r'{text}'"
