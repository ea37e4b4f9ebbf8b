"""kubectl's YAML, which is nobody else's. `e2e/test_crds_yaml.py` asks kubectl itself about the same tables."""

from typing import NamedTuple

import pytest

from voicefleet_cli.documents import Document, read_documents
from voicefleet_cli.yaml_text import Unreadable

# What a plain scalar means to kubectl.
SCALARS: dict[str, object] = {
    "y": True, "Y": True, "yes": True, "Yes": True, "YES": True, "yEs": "yEs", "on": True, "On": True, "ON": True,
    "n": False, "N": False, "no": False, "No": False, "NO": False, "off": False, "Off": False, "OFF": False,
    "true": True, "True": True, "TRUE": True, "tRue": "tRue", "false": False, "False": False, "FALSE": False,
    "~": None, "null": None, "Null": None, "NULL": None, "nULL": "nULL", "": None,
    "0": 0, "00": 0, "-1": -1, "+1": 1, "-0": 0, "12": 12, "010": 8, "-010": -8, "08": 8, "0o17": 15, "0O17": 15,
    "0o8": "0o8", "0x1F": 31, "0X1f": 31, "0xg": "0xg", "0x": "0x", "0b101": 5, "-0b101": -5, "0B1": 1, "0b2": "0b2",
    "1_000": 1000, "1__0": 10, "1_": 1, "_1": "_1", "0_7": 7, "0x_1F": 31, "1,000": "1,000", "+-1": "+-1", "1e": "1e",
    "17:00": "17:00", "09:30": "09:30", "1:2": "1:2", "1.2.3": "1.2.3", "1e3x": "1e3x", "\u0661": "\u0661",
    ".5": 0.5, "-.5": -0.5, "+.5": 0.5, "5.": 5, "1.0": 1, "1.5": 1.5, "1e3": 1000, "1E3": 1000, "1e+3": 1000,
    "1e-3": 0.001, "5.e3": 5000, ".e3": ".e3", ".": ".", "1_0.5": 10.5, "1e400": "1e400", "-1e400": "-1e400",
    "1e-400": 0, "NaN": "NaN", "inf": "inf", "Infinity": "Infinity", ".iNF": ".iNF", "9223372036854775807": 2**63 - 1,
    "0xFFFFFFFFFFFFFFFFFF": "0xFFFFFFFFFFFFFFFFFF", "123456789012345678901234567890": 123456789012345678901234567890.0,
    "2026-12-01": "2026-12-01", "2026-12-01T08:00:00Z": "2026-12-01T08:00:00Z", "=": "=", "<<": "<<",
    "'5'": "5", '"5"': "5", "'yes'": "yes", "'~'": "~", "''": "", "!!str 5": "5", "!!str yes": "yes", "!!str": "",
    "&here 5": 5, "|\n    5": "5\n", ">-\n    yes": "yes", '"\\x41\\u00e9\\U0001F600"': "Aé😀", "a#b": "a#b",
    "a #b": "a",
    "http://h:80/p?q=1": "http://h:80/p?q=1", "{a: 1, b: yes}": {"a": 1, "b": True},
}  # fmt: skip

# What neither kubectl nor we read, with what we say.
UNREADABLE: dict[str, str] = {
    ".inf": ".inf is not a number that JSON knows",
    "-.Inf": "-.Inf is not a number that JSON knows",
    ".NaN": ".NaN is not a number that JSON knows",
    "- a": "not YAML: block sequence entries are not allowed in this context",
    "@a": "not YAML: indent with spaces, not tabs; put text that begins with @, % or ` in quotes "
    "(found character that cannot start any token)",
    "a: b": "not YAML: put text that holds ': ' in quotes, or correct the indentation "
    "(mapping values are not allowed in this context)",
    "[a, b": "not YAML: close the [ above, and separate entries by commas (did not find expected ',' or ']')",
    "{a: 1": "not YAML: close the { above, and separate fields by commas (did not find expected ',' or '}')",
    "'a": "not YAML: close the quotation mark (found unexpected end of stream)",
    "*nobody": "an alias names an anchor that is not above it",
    '"\\ud83d"': "not YAML: while parsing a quoted scalar found invalid Unicode character escape code",
    '"\\q"': "not YAML: while parsing a quoted scalar found unknown escape character",
    "[Hello?]": "put text that holds '?' in quotes: inside [ ] and { } kubectl stops reading at it",
    "{u: http://h/p?q=1}": "put text that holds '?' in quotes: inside [ ] and { } kubectl stops reading at it",
    "{<<: 5}": "'<<' takes a mapping, such as an alias of one",
    "{<<: [[a]]}": "'<<' takes a mapping, such as an alias of one",
    "{~: 1}": "a field's name must be text",
    "{[a]: 1}": "a field's name must be text",
    "a\u0001": "not YAML: character U+0001 is not allowed",
    "a\u007f": "not YAML: character U+007F is not allowed",
    "a\ufffe": "not YAML: character U+FFFE is not allowed",
}

# What kubectl takes and nobody should write.
STRICTER: dict[str, str] = {
    "!!int 5": "write the value without its tag, and in quotes if it is text",
    "!!bool 'yes'": "write the value without its tag, and in quotes if it is text",
    "!include x": "write the value without its tag, and in quotes if it is text",
    "{a: 1, a: 2}": "'a' is written twice",
    "{1: a, '1': b}": "'1' is written twice",
    "[&a 1, &a 2]": "two anchors have the same name: rename one",
    "[" * 250 + "]" * 250: "nested more than 200 deep",
}


def as_manifest(value: str) -> str:
    """Put a value into a manifest; it stands on line 5."""
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\nspec:\n  value: {value}\n"


def _read(text: str) -> list[Document]:
    return list(read_documents(text))


@pytest.mark.parametrize(("written", "meant"), SCALARS.items())
def test_a_value_means_what_kubectl_sends(written: str, meant: object) -> None:
    (document,) = _read(as_manifest(written))
    assert isinstance(document.value, dict)
    value = document.value["spec"]["value"]
    assert value == meant
    assert type(value) is type(meant) or isinstance(meant, float)


@pytest.mark.parametrize(("written", "said"), {**UNREADABLE, **STRICTER}.items())
def test_what_cannot_be_read_is_said_with_its_line(written: str, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        _read(as_manifest(written))
    assert caught.value.message == said
    assert caught.value.line in (5, 6)


class Case(NamedTuple):
    """A text, and the names of the objects in it with the lines where these begin."""

    id: str
    text: str
    found: list[tuple[str, int]]


def _named(name: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"


TEXTS = [
    Case("one document", _named("a"), [("a", 1)]),
    Case("two documents", _named("a") + "---\n" + _named("b"), [("a", 1), ("b", 5)]),
    Case("a separator with a comment", _named("a") + "--- # next\n" + _named("b"), [("a", 1), ("b", 5)]),
    Case("a separator with spaces", _named("a") + "---  \n" + _named("b"), [("a", 1), ("b", 5)]),
    Case("Windows' line ends", (_named("a") + "---\n" + _named("b")).replace("\n", "\r\n"), [("a", 1), ("b", 5)]),
    Case("separators around nothing", "---\n---\n" + _named("a") + "---\n---\n", [("a", 3)]),
    Case("comments before a separator", "# c\n---\n" + _named("a"), [("a", 3)]),
    Case("a null before it", "~\n---\n" + _named("a"), [("a", 3)]),
    Case("an end mark before a separator", _named("a") + "...\n---\n" + _named("b"), [("a", 1), ("b", 6)]),
    Case("a byte order mark", "\ufeff" + _named("a"), [("a", 1)]),
    Case("byte order marks before both", "\ufeff" + _named("a") + "---\n\ufeff" + _named("b"), [("a", 1), ("b", 5)]),
    Case("a separator inside a text", _named("a") + "data:\n  k: |\n    ---\n    v\n", [("a", 1)]),
    Case(
        "a list",
        "apiVersion: v1\nkind: List\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n",
        [("a", 4), ("b", 5)],
    ),
    Case(
        "a list of a kind of its own",
        "kind: ConfigMapList\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n",
        [("a", 4)],
    ),
    Case("a list of nothing", "apiVersion: v1\nkind: List\nitems: []\n", []),
    Case("JSON", '{"apiVersion": "v1",\n "kind": "ConfigMap",\n\t"metadata": {"name": "a"}}', [("a", 1)]),
    Case("nothing", "", []),
    Case("comments alone", "# c\n", []),
]  # fmt: skip


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.id)
def test_a_text_is_cut_where_kubectl_cuts_it(case: Case) -> None:
    found = [(document.value["metadata"]["name"], document.line) for document in _read(case.text)]  # type: ignore[index]
    assert found == case.found


def test_nothing_may_stand_beside_a_separator() -> None:
    with pytest.raises(Unreadable, match="nothing may follow ---") as caught:
        _read(_named("a") + "--- {kind: ConfigMap}\n")
    assert caught.value.line == 4


def test_a_second_document_after_an_end_mark_is_not_lost_in_silence() -> None:
    with pytest.raises(Unreadable, match="separate manifests by a line of ---") as caught:
        _read(_named("a") + "...\n" + _named("b"))
    assert caught.value.line == 5


def test_json_with_escaped_emoji_is_read_as_json() -> None:
    (document,) = _read(r'{"a": "\ud83d\ude00", "b": "\\ud83d", "c": "\\\ud83d\ude00"}')
    assert document.value == {"a": "😀", "b": r"\ud83d", "c": "\\😀"}


def test_every_field_remembers_its_line() -> None:
    (document,) = _read("a:\n  b:\n    - c: 1\n    - c: 2\n      d: 3\n  e: |\n    text\n  f: {g: 1,\n    h: 2}\n")
    lines = {("a",): 1, ("a", "b"): 2, ("a", "b", 0, "c"): 3, ("a", "b", 1): 4, ("a", "b", 1, "d"): 5, ("a", "e"): 6}
    assert {path: document.line_of(path) for path in lines} == lines
    assert document.line_of(("a", "f", "h")) == 9


def test_a_field_that_is_not_there_has_the_line_of_what_is_around_it() -> None:
    (document,) = _read("a:\n  b: 1\n")
    assert document.line_of(("a", "c", 0, "d")) == 1
    assert document.line_of(()) == 1


MERGES = [
    ("a field after the merge wins", "{<<: *b, p: 3}", {"p": 3, "q": 2}),
    ("the merge wins over a field before it", "{p: 3, <<: *b}", {"p": 1, "q": 2}),
    ("the first of several wins", "{<<: [*b, *c]}", {"p": 1, "q": 2, "r": 6}),
    ("of two merges the later wins", "{<<: *b, <<: *c}", {"p": 5, "q": 2, "r": 6}),
    ("in quotes it is a field like any other", '{"<<": 1}', {"<<": 1}),
    ("a mapping written in place", "{<<: {p: 1}}", {"p": 1}),
]


@pytest.mark.parametrize(("name", "written", "meant"), MERGES, ids=[merge[0] for merge in MERGES])
def test_mappings_are_merged_in_the_order_in_which_they_are_written(name: str, written: str, meant: object) -> None:
    (document,) = _read(f"b: &b {{p: 1, q: 2}}\nc: &c {{p: 5, r: 6}}\nm: {written}\n")
    assert isinstance(document.value, dict), name
    assert document.value["m"] == meant


KEYS = {"yes": "true", "Off": "false", "0x10": "16", "1_0": "10", "'yes'": "yes", "a b": "a b", "17:00": "17:00"}


@pytest.mark.parametrize(("written", "meant"), KEYS.items())
def test_a_fields_name_is_resolved_before_it_becomes_text(written: str, meant: str) -> None:
    (document,) = _read(f"{written}: 1\n")
    assert document.value == {meant: 1}
    assert document.line_of((meant,)) == 1


def test_an_alias_stands_for_what_its_anchor_holds() -> None:
    (document,) = _read("a: &a\n  - b: 1\nc: *a\n")
    assert document.value == {"a": [{"b": 1}], "c": [{"b": 1}]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a\n  b: *a\n", "an alias contains itself"),
        ("[" * 100_000, "nested more than 200 deep"),
        ("{a: " * 100_000, "nested more than 200 deep"),
        ("- " * 100_000, "nested more than 200 deep"),
        (
            "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 400)),
            "aliases nest more than 200 deep",
        ),
        (
            "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 100)),
            "aliases make the document too large: write out what they stand for",
        ),
    ],
    ids=["an alias of itself", "brackets", "braces", "hyphens", "a chain of aliases", "a bomb of aliases"],
)  # fmt: skip
def test_no_text_however_wicked_ends_the_process(text: str, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        _read(text)
    assert caught.value.message == said


def test_a_manifest_that_no_cluster_stores_is_refused_and_one_just_below_is_read() -> None:
    fits = "a: " + "x" * 1_572_856
    (document,) = _read(fits)
    assert document.line == 1
    with pytest.raises(Unreadable, match=r"the manifest has 1\.5 MiB; a cluster stores 1\.5 at most"):
        _read(fits + "x")


def test_a_list_may_be_larger_than_any_one_manifest() -> None:
    items = "".join(f"- a: {'x' * 1_000_000}\n" for _ in range(4))
    assert len(_read(f"kind: List\nitems:\n{items}")) == 4


def test_a_large_item_of_a_list_is_named_by_its_line() -> None:
    with pytest.raises(Unreadable) as caught:
        _read(f"---\nkind: List\nitems:\n- a: 1\n- a: {'é' * 800_000}\n")
    assert caught.value.line == 5
