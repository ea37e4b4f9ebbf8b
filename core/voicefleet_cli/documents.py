"""Reading manifests as kubectl does, and remembering on which line each field stands.

kubectl reads YAML by rules of its own (1.1, without sexagesimal numbers, with `y` for true), turns it into JSON and
sends that. A reader with other rules would give other verdicts, so scalars are resolved here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from voicefleet.validation import Path

# An apiserver takes no request above 3 MiB, and etcd no object above 1.5 MiB.
MAX_DOCUMENT_BYTES = 1_572_864
MAX_FILE_BYTES = 33_554_432
# Aliases make small files large; no honest manifest comes near this.
MAX_NODES = 1_000_000

_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_NOT_A_NUMBER = re.compile(r"^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")
_STR_TAG = "tag:yaml.org,2002:str"

Lines = dict[Path, int]


class Unreadable(Exception):  # noqa: N818
    """A document that kubectl could not read either."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


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
    for node in _composed(text):
        builder = _Builder()
        value = builder.build(node, ())
        document = Document(value, node.start_mark.line + 1, builder.lines)
        if value is None:
            continue
        size = node.end_mark.index - node.start_mark.index
        if size > MAX_DOCUMENT_BYTES:
            limit = MAX_DOCUMENT_BYTES / 1_048_576
            words = f"the manifest has {size / 1_048_576:.1f} MiB; a cluster stores {limit} at most"
            raise Unreadable(document.line, words)
        yield from _items(document)


def _items(document: Document) -> Iterator[Document]:
    value = document.value
    if not (isinstance(value, dict) and value.get("kind") == "List" and isinstance(value.get("items"), list)):
        yield document
        return
    for number, item in enumerate(value["items"]):
        prefix: Path = ("items", number)
        inside = {path[2:]: line for path, line in document.lines.items() if path[:2] == prefix}
        yield Document(item, inside.get((), document.line), inside)


def _composed(text: str) -> list[yaml.Node]:
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return list(yaml.compose_all(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.context, error.problem) if part)
        raise Unreadable(mark.line + 1 if mark else 1, f"not YAML: {words}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(line, f"not YAML: character {_code_point(error.character)} is not allowed") from error
    except yaml.YAMLError as error:
        raise Unreadable(1, f"not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise Unreadable(1, "nested too deeply") from error


def _code_point(character: object) -> str:
    code = character if isinstance(character, int) else ord(str(character)[:1])
    return f"U+{code:04X}"


class _Builder:
    """Turns nodes into values, and notes their lines."""

    def __init__(self) -> None:
        self.lines: Lines = {}
        self._count = 0
        self._open: set[int] = set()

    def build(self, node: yaml.Node, path: Path) -> object:
        """Return the value of a node, aliases followed."""
        self._count += 1
        line = node.start_mark.line + 1
        if self._count > MAX_NODES:
            raise Unreadable(line, "aliases make the document too large")
        if id(node) in self._open:
            raise Unreadable(line, "an alias contains itself")
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(child, (*path, number)) for number, child in enumerate(node.value)]
            return self._mapping(node, path)
        except RecursionError as error:
            raise Unreadable(line, "nested too deeply") from error
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, object]:
        built: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key, child in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise Unreadable(line, "a field's name must be text")
            if key.value == "<<" and not key.style:
                merged |= self._merged(child, path)
                continue
            if key.value in built:
                raise Unreadable(line, f"'{key.value}' is written twice")
            self.lines[(*path, key.value)] = line
            built[key.value] = self.build(child, (*path, key.value))
        return merged | built

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, object]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, object] = {}
        for source in reversed(sources):
            value = self.build(source, path)
            if not isinstance(value, dict):
                raise Unreadable(node.start_mark.line + 1, "'<<' takes a mapping")
            merged |= value
        return merged


def _scalar(node: yaml.ScalarNode) -> object:
    text = str(node.value)
    if node.style or node.tag == "!":
        return text
    if node.tag != _STR_TAG:
        raise Unreadable(node.start_mark.line + 1, f"the tag {node.tag} has no meaning in a manifest")
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return _number(node, text)


def _number(node: yaml.ScalarNode, text: str) -> object:
    plain = text.replace("_", "")
    if re.match(r"^[-+]?[0-9]", plain):
        octal = re.match(r"^([-+]?)0([0-7]+)$", plain)
        try:
            return int(octal[1] + octal[2], 8) if octal else int(plain, 0)
        except ValueError:
            pass
    if _NOT_A_NUMBER.match(text):
        raise Unreadable(node.start_mark.line + 1, f"{text} is not a number that JSON knows")
    if _FLOAT.match(plain):
        number = float(plain)
        # On the wire 3.0 is 3.
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return text
