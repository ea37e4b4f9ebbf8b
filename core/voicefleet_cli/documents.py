"""Reading manifests as kubectl does, and remembering on which line each field stands.

kubectl reads YAML by rules of its own (1.1, without sexagesimal numbers, with `y` for true), turns it into JSON and
sends that. A reader with other rules would give other verdicts, so texts are split and scalars resolved here. Where
kubectl quietly drops something, such as the first of two equal keys, this complains instead.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from voicefleet.validation import Path
from voicefleet_cli.yaml_text import MAX_DEPTH, STR_TAG, UNTAGGED, Unreadable, compose, split

# An apiserver takes no request above 3 MiB, and etcd no object above 1.5 MiB.
MAX_DOCUMENT_BYTES = 1_572_864
MAX_FILE_BYTES = 33_554_432
# Aliases make small files large; no honest manifest comes near this.
MAX_COPIES = 100_000

_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_NOT_A_NUMBER = re.compile(r"^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")
_LIST = re.compile(r"""^[\s{]*["']?kind["']?:\s*["']?[A-Za-z]*List\b""", re.MULTILINE)

Lines = dict[Path, int]


@dataclass(frozen=True, slots=True)
class Document:
    """One manifest of a file, with the line of each of its fields."""

    value: object
    line: int
    lines: Lines = field(repr=False)

    def line_of(self, path: Path) -> int:
        """Return the line of a field, or of the nearest thing around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


def read_documents(text: str) -> Iterator[Document]:
    """Yield each manifest of a text, the items of a List one by one."""
    if len(text.encode(errors="surrogatepass")) > MAX_FILE_BYTES:
        raise Unreadable(1, f"the file is larger than {MAX_FILE_BYTES // 1_048_576} MiB: split it")
    for lines_before, part in split(text):
        try:
            yield from _read_part(part, lines_before)
        except Unreadable as error:
            raise Unreadable(error.line + lines_before, error.message) from error


def _read_part(text: str, lines_before: int) -> Iterator[Document]:
    # Reading takes seconds from here on, so what no server would take is not read. A list is sent in pieces.
    if len(text) > 2 * MAX_DOCUMENT_BYTES and not _LIST.search(text):
        raise Unreadable(1, _too_large(len(text)))
    for node in compose(text):
        builder = _Builder(lines_before)
        value = builder.build(node, ())
        if value is None:
            continue
        for document in _items(Document(value, builder.lines[()], builder.lines)):
            _check_size(document, lines_before)
            yield document


def _check_size(document: Document, lines_before: int) -> None:
    size = len(json.dumps(document.value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_DOCUMENT_BYTES:
        raise Unreadable(document.line - lines_before, _too_large(size))


def _too_large(size: int) -> str:
    limit = MAX_DOCUMENT_BYTES / 1_048_576
    return (
        f"the manifest has {size / 1_048_576:.1f} MiB; a cluster stores {limit} at most: move long texts to ConfigMaps"
    )


def _items(document: Document) -> Iterator[Document]:
    """Take a list apart as kubectl does, whatever it is a list of."""
    value = document.value
    if not (
        isinstance(value, dict) and str(value.get("kind")).endswith("List") and isinstance(value.get("items"), list)
    ):
        yield document
        return
    inside: list[Lines] = [{} for _ in value["items"]]
    for path, line in document.lines.items():
        if len(path) > 1 and path[0] == "items":
            inside[int(path[1])][path[2:]] = line
    for item, lines in zip(value["items"], inside, strict=True):
        yield Document(item, lines.get((), document.line), lines)


class _Builder:
    """Turns nodes into values, and notes their lines."""

    def __init__(self, lines_before: int) -> None:
        self.lines: Lines = {}
        self._lines_before = lines_before
        self._seen: set[int] = set()
        self._copies = 0
        self._open: set[int] = set()

    def build(self, node: yaml.Node, path: Path) -> object:
        """Return the value of a node, aliases followed."""
        line = node.start_mark.line + 1
        self._copies += id(node) in self._seen
        self._seen.add(id(node))
        if self._copies > MAX_COPIES:
            raise Unreadable(line, "aliases make the document too large: write out what they stand for")
        if len(path) > MAX_DEPTH:
            raise Unreadable(line, f"aliases nest more than {MAX_DEPTH} deep")
        if id(node) in self._open:
            raise Unreadable(line, "an alias contains itself")
        self.lines.setdefault(path, line + self._lines_before)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(child, (*path, number)) for number, child in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, object]:
        built: dict[str, object] = {}
        written: set[str] = set()
        for key, child in node.value:
            line = key.start_mark.line + 1
            if key.value == "<<" and key.tag == UNTAGGED:
                built |= self._merged(child, path)
                continue
            name = _field_name(key)
            if name in written:
                raise Unreadable(line, f"'{name}' is written twice")
            written.add(name)
            self.lines[(*path, name)] = line + self._lines_before
            built[name] = self.build(child, (*path, name))
        return built

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, object]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, object] = {}
        for source in reversed(sources):
            value = self.build(source, path)
            if not isinstance(value, dict):
                raise Unreadable(node.start_mark.line + 1, "'<<' takes a mapping, such as an alias of one")
            merged |= value
        return merged


def _field_name(node: yaml.Node) -> str:
    """Return a key as JSON has it, where `on: 1` is the field "true"."""
    value = _scalar(node) if isinstance(node, yaml.ScalarNode) else None
    match value:
        case None:
            raise Unreadable(node.start_mark.line + 1, "a field's name must be text")
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _scalar(node: yaml.ScalarNode) -> object:
    text = str(node.value)
    if node.tag == STR_TAG:
        return text
    if node.tag != UNTAGGED:
        raise Unreadable(node.start_mark.line + 1, "write the value without its tag, and in quotes if it is text")
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _NOT_A_NUMBER.match(text):
        raise Unreadable(node.start_mark.line + 1, f"{text} is not a number that JSON knows")
    number = _number(text) if text.isascii() and text[0] in "+-.0123456789" else None
    return text if number is None else number


def _number(text: str) -> float | None:
    plain = text.replace("_", "")
    octal = re.match(r"^([-+]?)0([0-7]+)$", plain)
    try:
        whole = int(octal[1] + octal[2], 8) if octal else int(plain, 0)
    except ValueError:
        whole = None
    # A number that 64 bits do not hold is no whole number any more.
    if whole is not None and -(2**63) <= whole < 2**64:
        return whole
    number = float(plain) if _FLOAT.match(plain) else math.nan
    if not math.isfinite(number):
        return None
    # On the wire 3.0 is 3.
    return int(number) if number.is_integer() and abs(number) < 1e21 else number
