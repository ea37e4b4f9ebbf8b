"""Taking YAML apart where kubectl's parser does, and refusing what it refuses.

It knows text and nodes, not what they mean: scalars are still as they were written.
"""

import re
from collections.abc import Iterator

import yaml

# No honest manifest comes near this. libyaml composes by recursion in C: a text of brackets would end the process.
MAX_DEPTH = 200

_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
# What a person can do about it, for what people do most.
_ADVICE = {
    "found character that cannot start any token": "indent with spaces, not tabs; put text that begins with @, % or ` "
    "in quotes",
    "mapping values are not allowed in this context": "put text that holds ': ' in quotes, or correct the indentation",
    "did not find expected key": "align the line with its neighbours; put text that begins with { or [ in quotes",
    "did not find expected '-' indicator": "align the line with the entries of its list",
    "did not find expected ',' or ']'": "close the [ above, and separate entries by commas",
    "did not find expected ',' or '}'": "close the { above, and separate fields by commas",
    "did not find expected <document start>": "separate manifests by a line of ---",
    "could not find expected ':'": "write a colon after the field's name, or correct the indentation",
    "found unexpected end of stream": "close the quotation mark",
}
STR_TAG = "tag:yaml.org,2002:str"
# Nobody said what the scalar is, so it is what it looks like.
UNTAGGED = "untagged"


class Unreadable(Exception):  # noqa: N818
    """A document that kubectl could not read either."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def split(text: str) -> Iterator[tuple[int, str]]:
    """Cut a text where kubectl does, before it is YAML: at each line of `---` and nothing but a comment."""
    gathered: list[str] = []
    lines_before = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.startswith("---"):
            gathered.append(line)
            continue
        beside = line.removeprefix("---").strip()
        if beside and not beside.startswith("#"):
            raise Unreadable(number, "nothing may follow --- on its line: begin the manifest on the next")
        yield lines_before, "\n".join(gathered)
        gathered, lines_before = [], number
    yield lines_before, "\n".join(gathered)


class _Loader(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
    """Keeps apart what was tagged as text and what only looks like something."""

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Name the tag of a node that carries none."""
        untagged = kind is yaml.ScalarNode and implicit[0]
        return UNTAGGED if untagged else str(super().resolve(kind, value, implicit))


def _check_events(text: str) -> None:
    """Refuse what our parser takes but composing would not survive, or kubectl's parser would not take."""
    flows: list[bool] = []
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            flows.append(bool(event.flow_style))
        elif isinstance(event, yaml.CollectionEndEvent):
            flows.pop()
        elif isinstance(event, yaml.ScalarEvent) and flows and flows[-1] and event.implicit[0] and "?" in event.value:
            raise Unreadable(line, "put text that holds '?' in quotes: inside [ ] and { } kubectl stops reading at it")
        if len(flows) > MAX_DEPTH:
            raise Unreadable(line, f"nested more than {MAX_DEPTH} deep")


def compose(text: str) -> list[yaml.Node]:
    """Parse one part of a text into nodes; every complaint carries its line."""
    text = _without_surrogates(text.removeprefix("\ufeff"))
    try:
        _check_events(text)
        return list(yaml.compose_all(text, Loader=_Loader))
    except yaml.composer.ComposerError as error:
        raise Unreadable(_line_of(error), _about_anchor(error)) from error
    except yaml.MarkedYAMLError as error:
        raise Unreadable(_line_of(error), f"not YAML: {_advice_on(error)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(line, f"not YAML: character {_code_point(error.character)} is not allowed") from error
    except yaml.YAMLError as error:
        raise Unreadable(1, f"not YAML: {' '.join(str(error).split())}") from error


def _line_of(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _advice_on(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem)
    words = " ".join(part for part in (error.context, problem) if part)
    return f"{_ADVICE[problem]} ({problem})" if problem in _ADVICE else words


def _about_anchor(error: yaml.MarkedYAMLError) -> str:
    if "duplicate" in str(error.context):
        return "two anchors have the same name: rename one"
    return "an alias names an anchor that is not above it"


def _code_point(character: object) -> str:
    code = character if isinstance(character, int) else ord(str(character)[:1])
    return f"U+{code:04X}"


def _without_surrogates(text: str) -> str:
    r"""Write JSON's pairs of escapes, such as \ud83d\ude00, as YAML wants them."""
    if not text.lstrip().startswith("{"):
        return text

    def as_one(pair: re.Match[str]) -> str:
        high, low = int(pair[2], 16), int(pair[3], 16)
        return f"{pair[1]}\\U{0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00):08X}"

    return _SURROGATES.sub(as_one, text)
