"""No wish is dropped in silence: some code reads each field of a spec, or a condition names it as not acted on.

Reading is told by the text: `.field` of something that is called after the model that has it, or after a variable, a
field or a function whose annotation names that model. So a reader may be missed, and the field must be listed here;
and a field that is read and comes to nothing is not found out.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from tests.core.test_dialogue import planned
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.base import ApiModel
from voicefleet.api.providerpool import ProviderPoolSpec
from voicefleet.api.voiceagent import VoiceAgentSpec
from voicefleet.api.voiceagent.worker import EnvValueFrom, EnvVar, Toleration
from voicefleet.providers.gaps import gaps_in
from voicefleet_cli.documents import read_documents

ROOT = Path(__file__).resolve().parents[2]
API = ROOT / "core" / "voicefleet" / "api"
FOLDERS = ("core/voicefleet", "worker/voicefleet_worker", "operator/voicefleet_operator")
SAMPLES = ROOT / "manifests" / "samples"

# Kubernetes is given these as they stand.
HANDED_ON_WHOLE = (Toleration, EnvVar, EnvValueFrom)
UNREAD_AND_KEPT = {
    "spec.variables.declared[].description": "for people who read the spec",
    "spec.providers[].probe.maxCostPerDay": "a probe costs nothing",
}


@dataclass(frozen=True)
class Field:
    """One field of a spec."""

    model: type[BaseModel]
    """The one that declares it."""
    name: str
    path: str
    """Where it stands, such as `spec.agents[].name`."""


def fields_of(model: type[ApiModel], at: str = "spec") -> Iterator[Field]:
    for name, info in model.model_fields.items():
        parts = list(parts_of(info.annotation))
        inner = [part for part in parts if isinstance(part, type) and issubclass(part, ApiModel)]
        path = f"{at}.{info.alias}" + ("[]" if inner and any(get_origin(part) is tuple for part in parts) else "")
        HOLDERS[model].add(plain(model.__name__))
        for each in inner:
            HOLDERS[each].add(plain(name))
            yield from fields_of(each, path)
        yield Field(next(each for each in reversed(model.__mro__) if name in vars_of(each)), name, path)


def vars_of(model: type) -> dict[str, Any]:
    return dict(getattr(model, "__annotations__", {})) if issubclass(model, ApiModel) else {}


def parts_of(annotation: Any) -> Iterator[Any]:
    yield annotation
    for each in get_args(annotation):
        yield from parts_of(each)


def plain(name: str) -> str:
    """Return a name as classes, variables and lists of them have it in common."""
    return re.sub("_", "", name.lower()).removesuffix("s")


Names = defaultdict[str, set[str]]


class Reads(ast.NodeVisitor):
    """What one module reads of what, and what else it calls that."""

    def __init__(self, shared: Names) -> None:
        self.shared = shared
        """What fields and functions are annotated with; other modules know them by the same names."""
        self._reads: set[tuple[str, str]] = set()
        self._names: Names = defaultdict(set)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._reads |= {(owner, node.attr) for owner in called(node.value)}
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._bind(target, node.value)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._bind(node.target, node.value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._bind(node.target, node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._bind(node.target, node.iter)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.shared[ast.unparse(node.target)] |= set(called(node.annotation))
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.shared[node.name] |= set(called(node.returns)) if node.returns else set()
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for each in node.names:
            self._names[each.asname or each.name].add(each.name)

    def visit_arg(self, node: ast.arg) -> None:
        self._names[node.arg] |= set(called(node.annotation)) if node.annotation else set()

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            self._bind(*node.args)
        self.generic_visit(node)

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        for attribute, pattern in zip(node.kwd_attrs, node.kwd_patterns, strict=True):
            if isinstance(pattern, ast.MatchAs) and pattern.name:
                self._names[pattern.name].add(attribute)
        self.generic_visit(node)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        match target, value:
            case ast.Tuple(elts=targets), ast.Tuple(elts=values):
                for one, its in zip(targets, values, strict=False):
                    self._bind(one, its)
            case ((ast.Name(id=name) | ast.Attribute(attr=name)), _):
                self._names[name] |= set(called(value))

    def found(self) -> Iterator[tuple[str, str]]:
        for owner, name in self._reads:
            known, more = set[str](), {owner}
            while more:
                known |= more
                more = {other for each in more for other in self._names[each] | self.shared[each]} - known
            yield from ((plain(each), name) for each in known)


def called(node: ast.expr) -> Iterator[str]:
    """Return the last names in an expression: variables, fields, functions and what they are given, annotations."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            yield name
        case ast.Call() | ast.Subscript() | ast.GeneratorExp() | ast.ListComp() | ast.Starred() | ast.Await():
            for child in ast.iter_child_nodes(node):
                yield from called(child) if isinstance(child, ast.expr) else ()
        case ast.BinOp() | ast.BoolOp() | ast.IfExp() | ast.Tuple():
            for child in ast.iter_child_nodes(node):
                yield from called(child) if isinstance(child, ast.expr) else ()
        case _:
            pass


def reads_of_the_product() -> set[tuple[str, str]]:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if API not in path.parents]
    shared: Names = defaultdict(set)
    modules = [Reads(shared) for _ in paths]
    for module, path in zip(modules, paths, strict=True):
        module.visit(ast.parse(path.read_text()))
    return {read for module in modules for read in module.found()}


HOLDERS: dict[type[BaseModel], set[str]] = defaultdict(set)
"""What the fields are called that hold a model, beside its own name."""
FIELDS = [*fields_of(VoiceAgentSpec), *fields_of(ProviderPoolSpec)]
HOLDERS[VoiceAgentSpec].add("spec")
HOLDERS[ProviderPoolSpec].add("spec")


def is_read(field: Field, reads: set[tuple[str, str]]) -> bool:
    owners = (owner for model in HOLDERS if issubclass(model, field.model) for owner in HOLDERS[model])
    return field.model in HANDED_ON_WHOLE or any((owner, field.name) in reads for owner in owners)


def sample(name: str) -> dict[str, Any]:
    (document,) = read_documents((SAMPLES / name).read_text())
    assert isinstance(document.value, dict)
    return document.value


def named_gaps() -> set[str]:
    """Return what conditions name of an agent and a pool that wish for everything."""
    body, pool = sample("voiceagent-complete.yaml"), sample("providerpool-complete.yaml")
    spec = body["spec"]
    number, transcript = spec["telephony"]["inbound"]["numbers"], {"retentionDays": 30}
    phone = {"outbound": {"trunk": "carrier", "callerIds": number}, "headersToAttributes": {"X-Order": "order"}}
    sounds = {**spec["conversation"]["backgroundAudio"], "hold": {"clip": "HoldMusic"}}
    wishes = {
        "telephony": {**spec["telephony"], **phone},
        "conversation": {**spec["conversation"], "backgroundAudio": sounds},
        "transcript": {**spec["transcript"], **transcript},
        "dataProtection": {**spec["dataProtection"], "logPersonalData": True, **transcript},
    }
    trunk = {"mediaEncryption": "Require", "allowedAddresses": ["192.0.2.1"]}
    pool["spec"]["trunks"] = [{**each, **trunk} for each in pool["spec"]["trunks"]]
    of = ProviderPool.model_validate(pool)
    agent = VoiceAgent.model_validate({**body, "spec": {**spec, **wishes}})
    named = (re.sub(r"\[[^]]*\]", "[]", field) for field in (*planned(agent, of).not_yet, *gaps_in(of.spec)))
    # A tool that nothing can do says nothing of all tools.
    return {field for field in named if not field.endswith("[]")}


def is_named(path: str, gaps: set[str]) -> bool:
    return any(path == gap or path.startswith((f"{gap}.", f"{gap}[]")) for gap in gaps)


def test_each_field_of_a_spec_is_read_or_named_as_not_acted_on() -> None:
    reads, gaps = reads_of_the_product(), named_gaps()

    silent = {field.path for field in FIELDS if not is_read(field, reads) and not is_named(field.path, gaps)}
    assert silent == set(UNREAD_AND_KEPT)


@pytest.mark.parametrize(
    ("code", "is_a_reader"),
    [
        ("def speak(tool: Tool) -> bool:\n    return tool.interruptible", True),
        ("def speak(spec: VoiceAgentSpec) -> bool:\n    return all(each.interruptible for each in spec.tools)", True),
        ("def speak(it: Tool | None) -> bool:\n    return it is None or it.interruptible", True),
        ("from tools import Tool as Wish\ndef speak(it: Wish) -> bool:\n    return it.interruptible", True),
        ("def speak(greeting: Greeting) -> bool:\n    return greeting.interruptible", False),
        ("def speak(*, interruptible: bool) -> bool:\n    return interruptible", False),
        ("# tool.interruptible has no reader", False),
    ],
    ids=["by its name", "in a list", "by an annotation", "by another name", "of another model", "an argument", "words"],
)
def test_a_reader_is_told_from_one_of_another_model(code: str, *, is_a_reader: bool) -> None:
    module = Reads(defaultdict(set))
    module.visit(ast.parse(code))
    field = next(each for each in FIELDS if each.path == "spec.tools[].interruptible")

    assert is_read(field, set(module.found())) is is_a_reader
