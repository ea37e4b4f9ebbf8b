"""Manifests for tests: the smallest of each kind, and random ones made from the models' own schemas.

Random ones lean to boundaries: the largest number and the one above, text of exactly the allowed length, an empty
list. Where a schema's rules allow one member of a union, mostly one is drawn, or hardly any would be accepted.
"""

import copy
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from voicefleet.api import API_VERSION
from voicefleet.api.kinds import KINDS
from voicefleet.api.providerpool.providers import PLUGINS_BY_ROLE
from voicefleet.api.schema import Schema, structural_schema

Manifest = dict[str, Any]
Place = tuple[str | int, ...]

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"

_MINIMAL_SPECS: dict[str, Manifest] = {
    "VoiceAgent": {"providerPoolRef": {"name": "pool"}, "agents": [{"name": "desk", "instructions": "Be kind."}]},
    "ProviderPool": {
        "livekit": {
            "url": "wss://livekit.example.com",
            "apiKey": {"name": "livekit", "key": "api-key"},
            "apiSecret": {"name": "livekit", "key": "api-secret"},
        },
        "providers": [{"name": "all", "role": "Realtime", "plugin": "openai"}],
    },
    "CallCampaign": {
        "agentRef": {"name": "desk"},
        "contacts": {"configMap": {"name": "contacts", "key": "contacts.csv"}},
        "trunk": "carrier",
        "callerIds": {"numbers": ["+49301234567"]},
    },
}


def minimal(kind: str) -> Manifest:
    """Return the smallest manifest of a kind that is accepted."""
    spec = copy.deepcopy(_MINIMAL_SPECS[kind])
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "smallest"}, "spec": spec}


def sample(name: str) -> Manifest:
    """Return one of the samples, by the name of its file."""
    manifest: Manifest = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text())
    return manifest


def with_value(manifest: Manifest, place: Place, value: object) -> Manifest:
    """Return a copy with one value put in place, mappings on the way there made as needed."""
    changed = copy.deepcopy(manifest)
    inner: Any = changed
    for part in place[:-1]:
        inner = inner.setdefault(part, {}) if isinstance(inner, dict) else inner[part]
    inner[place[-1]] = value
    return changed


def value_at(manifest: Any, place: Place) -> Any:
    """Return what stands at a place."""
    return functools.reduce(lambda inner, part: inner[part], place, manifest)


@functools.cache
def samples(kind: str) -> list[Manifest]:
    """Return the samples of a kind that people start from."""
    read = [yaml.safe_load(path.read_text()) for path in sorted(SAMPLES.glob("*.yaml"))]
    return [manifest for manifest in read if manifest["kind"] == kind]


@functools.cache
def spec_schema(kind: str) -> Schema:
    """Return the structural schema of a kind's spec."""
    schema: Schema = structural_schema(KINDS[kind])["properties"]["spec"]
    return schema


# Random manifests.

_UNION = re.compile(r"^\[(has\(self\.\w+\)(?:, has\(self\.\w+\))*)\]\.filter\(x, x\)\.size\(\) (==|<=) 1$")
_ANY = re.compile(r"^has\(self\.\w+\)(?: \|\| has\(self\.\w+\))*$")
_MEMBER = re.compile(r"has\(self\.(?:__)?(\w+?)(?:__)?\)")
# Fields that name something, or whose entries do.
_REFERENCES = {"name", "agent", "entryAgent", "fallbackAgent", "tools", "knowledge", "providers"}
# Few names, so that references among them often meet.
_NAMES = ("a", "b", "desk")
_INSTANTS = ("2026-12-01T08:00:00Z", "2028-02-29T23:59:59Z", "2026-02-29T00:00:00Z")
_ODD_TEXTS = (
    "", " ", "é", "名前", "\U0001f600", "a\n", "\n", "a\u2028b", "a\u0000b", "\u202e", "sk-1", "Bearer x", "eyJ0",
    "xSk-1", "bearer x", "٣", "\u017f", "\u212a", "{{name}}", "true", "1", "a.b", "a..b", "-a", "a-", "A", "_", "00:00",
    "24:00",
    "https://u:p@h", "https://h/p?q=a@b", "http://[::1]:80/", "+4930123456", "٠٩:٣٠", "en-US\n", "2026-02-30T00:00:00Z",
)  # fmt: skip
_ODD_VALUES: tuple[object, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    0.5,
    1e30,
    2**63,
    "",
    "a",
    "1",
    [],
    {},
    [None],
    {"a": None},
)


def manifests(kind: str) -> SearchStrategy[Manifest]:
    """Return manifests of a kind, most of them good; the rest break rules that no schema can say."""
    return _manifests(kind).map(_REPAIRS[kind])


@st.composite
def _manifests(draw: DrawFn, kind: str) -> Manifest:
    manifest = minimal(kind)
    schema = spec_schema(kind)
    optional = [name for name in schema["properties"] if name not in manifest["spec"]]
    for name in draw(st.lists(st.sampled_from([*optional, *manifest["spec"]]), max_size=4, unique=True)):
        manifest["spec"][name] = draw(_values(schema["properties"][name]))
    return manifest


def _values(schema: Schema) -> SearchStrategy[Any]:
    return _cached_values(_Frozen(schema))


class _Frozen:
    """A schema as a key: the schemas live as long as the kinds."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and other.schema is self.schema


@functools.cache
def _cached_values(key: _Frozen) -> SearchStrategy[Any]:
    schema = key.schema
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        sizes = ("4", "500m", "8Gi", "0", "1.5Gi", "1.2345", "8GB", "-1", "4\n", "999999999Ti", "1000000000Ti", "")
        return st.sampled_from([0, 1, 4, 2_000_000_000, 2_000_000_001, -1, *sizes])
    make = {"object": _mappings, "array": _lists, "string": _texts, "integer": _integers, "number": _numbers}
    return st.booleans() if schema["type"] == "boolean" else make[schema["type"]](schema)


def _mappings(schema: Schema) -> SearchStrategy[Any]:
    if schema.get("properties", {}).keys() == {"name", "key"}:
        good: SearchStrategy[Any] = st.builds(
            dict, name=st.sampled_from(_NAMES), key=st.sampled_from(("a", "api-key", "_A.b"))
        )
        return good | good | good | _objects(schema)
    if "properties" in schema:
        return _objects(schema)
    if "additionalProperties" in schema:
        keys = st.sampled_from(["a", "b", "X-Key", "voicefleet.dev/a", "a/b", "é", ""])
        return st.dictionaries(keys, _values(schema["additionalProperties"]), max_size=3)
    return st.sampled_from([{}, {"type": "object"}, {"a": None}, {"a": [1.5, {"b": []}]}])


def _integers(schema: Schema) -> SearchStrategy[int]:
    return st.sampled_from(_boundaries(schema)) | st.integers(schema["minimum"], schema["maximum"])


def _numbers(schema: Schema) -> SearchStrategy[float]:
    low, high = _bounds(schema)
    return st.sampled_from([low, high]) | st.floats(low, high) | st.sampled_from([0, 0.03, 0.5, 1, 2])


@st.composite
def _objects(draw: DrawFn, schema: Schema) -> Manifest:
    properties = schema["properties"]
    chosen = set(schema.get("required", ()))
    members: set[str] = set()
    for rule in schema.get("x-kubernetes-validations", ()):
        union = _UNION.match(rule["rule"])
        if union or _ANY.match(rule["rule"]):
            names = _MEMBER.findall(rule["rule"])
            chosen.add(draw(st.sampled_from(names)))
            members.update(names if union else ())
    free = [name for name in properties if name not in chosen and name not in members]
    if free:
        chosen.update(draw(st.lists(st.sampled_from(free), max_size=2, unique=True)))
    if members and draw(st.integers(0, 19)) == 0:
        chosen ^= {draw(st.sampled_from(sorted(members)))}
    return {name: draw(_values(properties[name])) for name in properties if name in chosen}


@st.composite
def _lists(draw: DrawFn, schema: Schema) -> list[Any]:
    items = _values(schema["items"])
    least = schema.get("minItems", 0)
    match schema.get("x-kubernetes-list-type"):
        case "map":
            (key,) = schema["x-kubernetes-list-map-keys"]
            unique = st.lists(items, min_size=least, max_size=least + 2, unique_by=lambda entry: repr(entry.get(key)))
        case "set":
            unique = st.lists(items, min_size=least, max_size=least + 2, unique=True)
        case _:
            unique = st.lists(items, min_size=least, max_size=least + 2)
    return list(draw(unique))


def _bounds(schema: Schema) -> tuple[float, float]:
    (rule,) = schema["x-kubernetes-validations"]
    low, high = re.findall(r"(?<=[<>]= )[0-9.]+", rule["rule"])
    return float(low), float(high)


def _boundaries(schema: Schema) -> list[int]:
    low, high = schema["minimum"], schema["maximum"]
    return [low, low + 1, high - 1, high]


def _texts(schema: Schema) -> SearchStrategy[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 300)
    pattern = pattern_of(schema)
    if pattern is None:
        edge = st.sampled_from(["x" * most, "é" * most, "\U0001f600" * most]) if most <= 4096 else st.nothing()
        plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=least, max_size=min(most, 20))
        known = st.sampled_from([name for name in _NAMES if len(name) <= most])
        return known | known | known | known | plain | edge
    made = st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True, alphabet=st.characters(max_codepoint=126))
    fitting = [text for text in (*_NAMES, *_INSTANTS, *_long_texts(most)) if re.fullmatch(pattern, text, re.ASCII)]
    known = st.sampled_from(fitting) if fitting else st.nothing()
    return known | known | made.filter(lambda text: least <= len(text) <= most and "\n" not in text)


def pattern_of(schema: Schema) -> str | None:
    """Return what text must match, whether a pattern or a rule says it."""
    rules = [rule["rule"] for rule in schema.get("x-kubernetes-validations", ())]
    found = [re.fullmatch(r"self\.matches\(r'(.*)'\)", rule) for rule in rules]
    return schema.get("pattern") or next((match[1] for match in found if match), None)


def union_members(schema: Schema) -> Iterator[list[str]]:
    """Yield the fields of which an object needs one."""
    for rule in schema.get("x-kubernetes-validations", ()):
        union = _UNION.match(rule["rule"])
        if (union and union[2] == "==") or _ANY.match(rule["rule"]):
            yield _MEMBER.findall(rule["rule"])


def _long_texts(length: int) -> Iterator[str]:
    for start in ("", "+1", "https://", "wss://", "https://h/", "A", "en-"):
        for letter in ("a", "1"):
            yield (start + letter * length)[:length]


def _with_known_names(manifest: Manifest) -> Manifest:
    """Let most references of a VoiceAgent point at something, which random names hardly ever do."""
    spec = manifest["spec"]
    agents = [agent["name"] for agent in spec["agents"]]
    for agent in spec["agents"]:
        for field in ("tools", "knowledge"):
            known = {entry["name"] for entry in spec.get(field, ())}
            if known and field in agent:
                agent[field] = [name for name in agent[field] if name in known] or sorted(known)[:1]
            elif agent.get(field):
                del agent[field]
        if "handoffs" in agent and len(agents) == 1:
            del agent["handoffs"]
    if spec.get("entryAgent") not in (None, *agents):
        spec["entryAgent"] = agents[0]
    for intent in spec.get("routing", {}).get("intents", ()):
        intent["agent"] = agents[-1]
    spec.get("routing", {}).pop("fallbackAgent", None)
    if "replicas" in spec:
        spec.setdefault("scaling", {})["mode"] = "External"
    return manifest


def _with_fitting_plugins(manifest: Manifest) -> Manifest:
    """Let most providers of a ProviderPool use a plugin that does their job."""
    for provider in manifest["spec"]["providers"]:
        if "weight" not in provider:
            provider["plugin"] = PLUGINS_BY_ROLE[provider["role"]][0]
        if provider["role"] == "Llm":
            provider.pop("voice", None)
    manifest["spec"]["providers"].append({"name": "spare", "role": "Realtime", "plugin": "google"})
    return manifest


_REPAIRS: dict[str, Callable[[Manifest], Manifest]] = {
    "VoiceAgent": _with_known_names,
    "ProviderPool": _with_fitting_plugins,
    "CallCampaign": lambda manifest: manifest,
}


def repaired(manifest: Manifest) -> Manifest:
    """Let references of a manifest point at something, and providers use a plugin that does their job."""
    return _REPAIRS[manifest["kind"]](manifest)


# Damage.


class Spot(NamedTuple):
    """A value inside a manifest that its schema knows."""

    place: Place
    value: Any
    schema: Schema


def spots(value: Any, schema: Schema, place: Place = ("spec",)) -> Iterator[Spot]:
    """Yield every value inside, with the schema that describes it."""
    yield Spot(place, value, schema)
    if isinstance(value, dict):
        for name, inner in value.items():
            known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if known:
                yield from spots(inner, known, (*place, name))
    elif isinstance(value, list) and "items" in schema:
        for number, inner in enumerate(value):
            yield from spots(inner, schema["items"], (*place, number))


@st.composite
def damaged(draw: DrawFn, kind: str) -> Manifest:
    """Return manifests of a kind with one to three things done to them that may or may not hurt."""
    manifest = draw(manifests(kind) | st.sampled_from(samples(kind)))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
        aim = draw(st.integers(0, 5))
        if aim == 0:
            manifest = draw(_damaged_envelopes(manifest))
            continue
        if not isinstance(manifest.get("spec"), dict):
            return manifest
        found = list(spots(manifest["spec"], spec_schema(kind)))
        names = [spot for spot in found if isinstance(spot.value, str) and _REFERENCES & {*spot.place[-2:]}]
        if aim == 1 and names:
            spot = draw(st.sampled_from(names))
            manifest = with_value(manifest, spot.place, draw(st.sampled_from(_NAMES)))
            continue
        manifest = draw(_damages(manifest, draw(st.sampled_from(found))))
    return manifest


def _damages(manifest: Manifest, spot: Spot) -> SearchStrategy[Manifest]:
    edges = st.sampled_from(edge_values(spot)).map(lambda value: with_value(manifest, spot.place, value))
    odd = st.sampled_from(_ODD_VALUES).map(lambda value: with_value(manifest, spot.place, value))
    gone = st.just(manifest).map(lambda whole: _without(whole, spot.place))
    inside = _inside(manifest, spot)
    return inside | inside | inside | edges | edges | gone | odd


def _inside(manifest: Manifest, spot: Spot) -> SearchStrategy[Manifest]:
    """Change what a mapping or a list holds."""
    place, value, schema = spot
    match value:
        case dict() if schema.get("properties"):
            known = st.sampled_from(sorted(schema["properties"]))
            added = known.flatmap(lambda name: _values(schema["properties"][name]).map(lambda made: (name, made)))
            strange = st.sampled_from([("unknown", 1), ("unknown", None), ("", 1), ("Name", "a"), ("name ", "a")])
            return (added | added | strange).map(lambda pair: with_value(manifest, (*place, pair[0]), pair[1]))
        case dict():
            pairs = st.tuples(st.sampled_from(["k", "é", "", "voicefleet.dev/k"]), st.sampled_from(_ODD_VALUES))
            return pairs.map(lambda pair: with_value(manifest, (*place, pair[0]), pair[1]))
        case list() if value:
            most = schema.get("maxItems", 3)
            longer = st.sampled_from(
                [[*value, value[-1]], [*value, None], value[:-1], (value * most)[:most], value * 2]
            )
            return longer.map(lambda entries: with_value(manifest, place, copy.deepcopy(entries)))
        case _:
            return st.sampled_from(_ODD_TEXTS).map(lambda text: with_value(manifest, place, text))


def edge_values(spot: Spot) -> list[object]:
    """Return what a field may hold at the edges of its schema, and what it may just not hold."""
    _, value, schema = spot
    edges: list[object] = [value]
    for bound in ("minimum", "maximum"):
        if bound in schema:
            edges += [schema[bound] - 1, schema[bound], schema[bound] + 1]
    for choice in schema.get("enum", ()):
        edges += [choice, str(choice).lower(), f"{choice} "]
    for rule in schema.get("x-kubernetes-validations", ()):
        for bound in re.findall(r"(?<= )[0-9]+\.[0-9]+", rule["rule"]):
            edges += [float(bound) - 1e-7, float(bound), float(bound) + 1e-7]
    if isinstance(value, str) and schema.get("maxLength", 4097) <= 4096:
        most = schema["maxLength"]
        edges += [
            (value + "a" * most)[:most],
            (value + "a" * most)[: most + 1],
            f"{value}\n",
            f"{value}é",
            value.upper(),
        ]
    return edges


def _without(manifest: Manifest, place: Place) -> Manifest:
    changed = copy.deepcopy(manifest)
    inner: Any = changed
    for part in place[:-1]:
        inner = inner[part]
    del inner[place[-1]]
    return changed


_DATE = "2026-12-01T08:00:00Z"
# Random choices lean to what comes first, so the harmless does.
_ENVELOPES: tuple[tuple[Place, tuple[object, ...]], ...] = (
    (("metadata", "name"), ("a.b", "A", "a" * 40, "a" * 41, "a" * 63, "a" * 64, "é", "a\n", "", None, 5, "-a", "1")),
    (("metadata", "generateName"), ("a-", "A", "a.", "a" * 34, "a" * 36, "a" * 57, "a" * 59, "a" * 249, "", None, 5)),
    (("metadata", "labels"), ({}, {"a": "b"}, {"a": "é"}, {"a b": "c"}, {"a/b": ""}, {"a": None}, {"a": 1}, None, [],
                              {"a": "b" * 63}, {"a": "b" * 64}, {"a" * 64: "b"}, {"A/b": "c"}, {"a/b/c": "d"},
                              {"a": "b\n"},
                              {"a" * 254 + "/b": "c"}, {"a..b/c": "d"}, {"": ""})),
    (("metadata", "annotations"), ({}, {"a": "é"}, {"a b": "c"}, {"a": None}, {"a": 1}, {"A/b": "c"}, None, "x",
                                   {"a": "b" * 262_140}, {"a": "b" * 262_144})),
    (("metadata", "finalizers"), ([], ["a/b"], ["a"], ["é"], [None], None, "a", ["a b"])),
    (("metadata", "ownerReferences"), ([], [{}], [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}], [None],
                                       [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "x": 1}], None)),
    (("metadata", "creationTimestamp"), (None, _DATE, "yesterday", 5)),
    (("metadata", "deletionTimestamp"), (None, _DATE, "yesterday")),
    (("metadata", "generation"), (None, 1, -1, "1", 1.5)),
    (("metadata", "resourceVersion"), (None, "", "5", 5)),
    (("metadata", "uid"), (None, "", "x", 5)),
    (("metadata", "selfLink"), (None, "x", 5)),
    (("metadata", "deletionGracePeriodSeconds"), (None, 1, "1")),
    (("metadata", "managedFields"), ([], None, "x")),
    (("metadata", "clusterName"), (None, "x")),
    (("metadata", "unknown"), (None, "x")),
    (("metadata",), (None, [], "x", {}, {"name": "a"})),
    (("spec",), (None, [], {}, "x")),
    (("status",), (None, {}, [], "x", {"conditions": 5}, {"unknown": 1}, {"calls": -1})),
    (("unknown",), (None, 1)),
    (("metadata", "namespace"), (None, "default", 5, "")),
    (("apiVersion",), ("voicefleet.dev/v1alpha1", "v1", "voicefleet.dev/v1", "voicefleet.dev/v1alpha1 ", "", None, 1)),
    (("kind",), ("VoiceAgent", "ProviderPool", "CallCampaign", "voiceagent", "Pod", "", None, [])),
)  # fmt: skip


def _damaged_envelopes(manifest: Manifest) -> SearchStrategy[Manifest]:
    changes = [(place, value) for place, values in _ENVELOPES for value in values]
    if not isinstance(manifest.get("metadata"), dict):
        return st.just(manifest)
    return st.sampled_from(changes).map(lambda change: with_value(manifest, *change))


# Wrong manifests, each of which says what its author reads.

WRONG = Path(__file__).parents[1] / "wrong"


class Wrong(NamedTuple):
    """One file of tests/wrong with what is said about it offline and by the server."""

    name: str
    path: Path
    offline: tuple[str, ...]
    server: str


@functools.cache
def read_wrong() -> tuple[Wrong, ...]:
    """Return all wrong manifests."""
    return tuple(_read_wrong(path) for path in sorted(WRONG.glob("*.yaml")))


def _read_wrong(path: Path) -> Wrong:
    lines = path.read_text().splitlines()
    (server,) = (line.removeprefix("# server: ") for line in lines if line.startswith("# server: "))
    offline = tuple(line.removeprefix("# offline: ") for line in lines if line.startswith("# offline: "))
    return Wrong(path.stem, path, offline, server)


def rules_of(schema: Schema) -> set[str]:
    """Return the messages of all rules inside a schema that look at one object and not at its past."""
    rules = schema.get("x-kubernetes-validations", ())
    messages = {str(rule["message"]) for rule in rules if "oldSelf" not in rule["rule"]}
    within = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return messages.union(*(rules_of(inner) for inner in within if inner))
