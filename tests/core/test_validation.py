"""`check_manifest` by itself: differences from the server that were found once and must not come back."""

from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.manifests import Manifest, damaged, manifests, minimal, with_value
from voicefleet.api.kinds import KINDS
from voicefleet.validation import Problem, check_manifest, check_update, is_ours


class Case(NamedTuple):
    """A value put into the smallest VoiceAgent, and the fields that it is refused for."""

    id: str
    place: tuple[str | int, ...]
    value: object
    refused: tuple[str, ...] = ()


CPU = ("spec", "worker", "resources", "cpu")
CASES = [
    Case("an agent with an empty list of tools", ("spec", "agents", 0, "tools"), []),
    Case("an agent with an empty list of knowledge", ("spec", "agents", 0, "knowledge"), []),
    Case("a size", CPU, "500m"),
    Case("a size with a line end", CPU, "4\n", (".".join(CPU),)),
    Case("the largest plain size", CPU, 2_000_000_000),
    Case("a size above it", CPU, 2_000_000_001, (".".join(CPU),)),
    Case("a boolean is no size", CPU, True, (".".join(CPU),)),
    Case("a null is no size either, but absent", CPU, None),
    Case("a beginning of a name", ("metadata",), {"generateName": "desk-"}),
    Case("a beginning that no name can have", ("metadata",), {"generateName": "desk."}, ("metadata.generateName",)),
    Case("a beginning beside a name is checked too", ("metadata", "generateName"), "D", ("metadata.generateName",)),
    Case("a name that is completed stays short", ("metadata",), {"generateName": "a" * 35}),
    Case("a name that is completed becomes too long", ("metadata",), {"generateName": "a" * 36}, ("",)),
    Case("no namespace", ("metadata", "namespace"), ""),
    Case("a label with a domain", ("metadata", "labels"), {"example.com/a": "b"}),
    Case("a label with a broken domain", ("metadata", "labels"), {"a..b/c": "d"}, ("metadata.labels.a..b/c",)),
    Case("a label without a value", ("metadata", "labels"), {"a": None}),
    Case("annotations of just the allowed size", ("metadata", "annotations"), {"a": "b" * 262_143}),
    Case("annotations above it", ("metadata", "annotations"), {"a": "b" * 262_144}, ("metadata.annotations",)),
    Case("an annotation in capitals", ("metadata", "annotations"), {"Example.com/A": "b"}),
    Case("a finalizer", ("metadata", "finalizers"), ["example.com/a"]),
    Case("a finalizer that is no name", ("metadata", "finalizers"), ["a b"], ("metadata.finalizers[0]",)),
    Case("an owner without a uid", ("metadata", "ownerReferences"), [{"apiVersion": "v1", "kind": "Pod", "name": "p"}],
         ("metadata.ownerReferences[0].uid",)),
    Case("an instant of another zone", ("metadata", "creationTimestamp"), "2026-12-01T08:00:00+01:00"),
    Case("a day is no instant", ("metadata", "creationTimestamp"), "2026-12-01", ("metadata.creationTimestamp",)),
    Case("a generation of 64 bits", ("metadata", "generation"), 2**63 - 1),
    Case("a generation of more", ("metadata", "generation"), 2**63, ("metadata.generation",)),
    Case("a status of nonsense is dropped", ("status",), {"calls": "many"}),
    Case("a status with an unknown field is not", ("status",), {"callz": 1}, ("status.callz",)),
    Case("a field named like one of pydantic's branches", ("spec", "int"), 1, ("spec.int",)),
    Case("a field with brackets in its name", ("spec", "a[b]"), 1, ("spec.a[b]",)),
    Case("a label named like one", ("metadata", "labels"), {"str": 1}, ("metadata.labels.str",)),
    Case("a field named like a key", ("spec", "sk-THISISTHESECRETVALUE"), 1, ("spec.<secret>",)),
    Case("a prompt in any script", ("spec", "agents", 0, "instructions"), "Sei freundlich. 優しく。🙂\u2028\u0000"),
    Case("a prompt of exactly the allowed length", ("spec", "agents", 0, "instructions"), "🙂" * 65_536),
    Case("a prompt above it", ("spec", "agents", 0, "instructions"), "🙂" * 65_537, ("spec.agents[0].instructions",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_verdict_is_the_servers(case: Case) -> None:
    problems = check_manifest(with_value(minimal("VoiceAgent"), case.place, case.value))
    assert tuple(problem.field for problem in problems) == case.refused


@pytest.mark.parametrize("key", ["api-key\n", "\n", "a b", ""])
def test_a_reference_is_matched_to_its_last_character(key: str) -> None:
    pool = with_value(minimal("ProviderPool"), ("spec", "livekit", "apiKey", "key"), key)
    assert len(check_manifest(pool)) == 1


@pytest.mark.parametrize(
    ("document", "ours"),
    [
        ({"apiVersion": "voicefleet.dev/v1alpha1", "kind": "VoiceAgent"}, True),
        ({"apiVersion": "voicefleet.dev/v9", "kind": "Unheard"}, True),
        ({"apiVersion": "voicefleet.io/v1alpha1", "kind": "VoiceAgent"}, True),
        ({"apiVersion": "v1", "kind": "CallCampaign"}, True),
        ({"apiVersion": 1, "kind": "CallCampaign"}, True),
        ({"kind": "VoiceAgent"}, True),
        ({"apiVersion": "example.com/v1", "kind": "VoiceAgent"}, False),
        ({"apiVersion": "v1", "kind": "Pod"}, False),
        ({"apiVersion": "v1", "kind": ["VoiceAgent"]}, False),
        (["VoiceAgent"], False),
        (None, False),
    ],
)
def test_what_was_meant_to_be_ours_is_not_passed_over(document: object, ours: bool) -> None:
    assert is_ours(document) is ours


@pytest.mark.parametrize(
    ("value", "changed"),
    [
        ({"format": "Csv"}, False),
        ({"columns": {}}, False),
        ({"columns": {"variables": []}}, True),
        ({"label": "a"}, True),
    ],
    ids=["a default written out", "an empty object of defaults", "an empty list", "another value"],
)  # fmt: skip
def test_a_list_of_contacts_is_changed_by_what_the_server_would_see_change(value: Manifest, *, changed: bool) -> None:
    kind = KINDS["CallCampaign"]
    old = minimal("CallCampaign")
    new = with_value(old, ("spec", "contacts"), {**old["spec"]["contacts"], **value})
    problems = check_update(kind.model_validate(old), kind.model_validate(new))
    message = "contacts cannot be changed: create another campaign for another list"
    assert problems == ((Problem(("spec",), message),) if changed else ())


_LAW = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("kind", KINDS)
@_LAW
@given(data=st.data())
def test_every_problem_names_a_field_and_tells_what_is_wrong(kind: str, data: st.DataObject) -> None:
    for problem in check_manifest(data.draw(damaged(kind))):
        assert problem.message
        assert "pydantic" not in problem.message.lower()
        assert not problem.message.startswith(("Value error", "Input should", "input should"))


@pytest.mark.parametrize("kind", KINDS)
@_LAW
@given(data=st.data())
def test_what_is_accepted_is_accepted_again_with_its_defaults_written_out(kind: str, data: st.DataObject) -> None:
    manifest = data.draw(manifests(kind))
    if check_manifest(manifest):
        return
    model = KINDS[kind].model_validate(manifest)
    written = model.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    assert check_manifest(written) == ()
    assert KINDS[kind].model_validate(written) == model
