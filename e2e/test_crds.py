"""The three kinds on a real apiserver: what kubectl shows of them, what may change, and what is filled in."""

import json
from typing import Any, NamedTuple

import pytest
import yaml

from e2e.bench import Bench
from tests.support.manifests import SAMPLES, Manifest, minimal, with_value
from voicefleet.api import API_VERSION
from voicefleet.api.kinds import KINDS
from voicefleet.validation import check_manifest, check_update

pytestmark = pytest.mark.usefixtures("crds")


def _get(bench: Bench, *arguments: str) -> Any:  # noqa: ANN401 - JSON has no type
    return json.loads(bench.kubectl("get", *arguments, "-o", "json").stdout)


def _create(bench: Bench, namespace: str, manifest: Manifest, *flags: str) -> Any:  # noqa: ANN401 - JSON has no type
    command = ("create", "-n", namespace, "--validate=strict", "-o", "json", "-f", "-", *flags)
    return json.loads(bench.kubectl(*command, stdin=json.dumps(manifest)).stdout)


def _named(kind: str, name: str) -> Manifest:
    return with_value(minimal(kind), ("metadata", "name"), name)


def test_the_server_finds_nothing_wrong_with_the_schemas(bench: Bench) -> None:
    for info in (kind.INFO for kind in KINDS.values()):
        crd = _get(bench, "crd", f"{info.plural}.voicefleet.dev")
        conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
        assert conditions == {"Established": "True", "NamesAccepted": "True"}


def test_the_samples_are_accepted_and_found_under_every_name(bench: Bench, namespace: str) -> None:
    bench.kubectl("create", "-n", namespace, "--validate=strict", "-f", str(SAMPLES))
    everything = bench.kubectl("get", "voicefleet", "-n", namespace, "-o", "name").stdout.split()
    assert sorted(everything) == [
        "callcampaign.voicefleet.dev/checkup-reminders",
        "providerpool.voicefleet.dev/default",
        "providerpool.voicefleet.dev/full",
        "voiceagent.voicefleet.dev/appointment-desk",
        "voiceagent.voicefleet.dev/concierge",
        "voiceagent.voicefleet.dev/dispatcher",
        "voiceagent.voicefleet.dev/receptionist",
        "voiceagent.voicefleet.dev/service-team",
    ]
    for short, expected in (("va", 5), ("pp", 2), ("cc", 1)):
        assert len(_get(bench, short, "-n", namespace)["items"]) == expected


@pytest.mark.parametrize(
    ("kind", "narrow", "wide"),
    [
        ("VoiceAgent", "NAME READY CALLS FREE WORKERS STATUS AGE", "DESIRED LIMIT REVISION POOL REASON"),
        ("ProviderPool", "NAME READY HEALTHY AGENTS STATUS AGE", "LIVEKIT REASON"),
        ("CallCampaign", "NAME STATE PROGRESS DIALING TALKING LIMIT STATUS AGE", "AGENT PURPOSE NEXT REASON"),
    ],
)
def test_kubectl_shows_what_matters_and_more_on_request(
    kind: str, narrow: str, wide: str, bench: Bench, namespace: str
) -> None:
    _create(bench, namespace, minimal(kind))
    plural = KINDS[kind].INFO.plural
    shown = bench.kubectl("get", plural, "-n", namespace).stdout.splitlines()
    assert shown[0].split() == narrow.split()
    assert shown[1].split()[0] == "smallest"
    assert bench.kubectl("get", plural, "-n", namespace, "-o", "wide").stdout.split("\n")[0].split() == [
        *narrow.split(),
        *wide.split(),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_kubectl_explains_every_field(kind: str, bench: Bench) -> None:
    published = json.loads(bench.kubectl("get", "--raw", f"/openapi/v3/apis/{API_VERSION}").stdout)
    schema = published["components"]["schemas"][f"dev.voicefleet.v1alpha1.{kind}"]
    silent, spoken = [], 0
    todo = [(kind, schema)]
    while todo:
        path, node = todo.pop()
        for name, inner in node.get("properties", {}).items():
            spoken += bool(inner.get("description"))
            silent += [] if inner.get("description") else [f"{path}.{name}"]
            todo.append((f"{path}.{name}", inner))
        todo += [
            (f"{path}[]", node[word]) for word in ("items", "additionalProperties") if isinstance(node.get(word), dict)
        ]
    assert not silent
    assert spoken > 100
    assert "What is wanted." in bench.kubectl("explain", f"{KINDS[kind].INFO.plural}.spec").stdout


def test_an_autoscaler_sets_the_number_of_workers_through_the_scale_subresource(bench: Bench, namespace: str) -> None:
    agent = with_value(minimal("VoiceAgent"), ("spec", "scaling", "mode"), "External")
    _create(bench, namespace, with_value(agent, ("spec", "replicas"), 2))
    bench.kubectl("scale", "-n", namespace, "va/smallest", "--replicas=5")
    assert _get(bench, "va", "smallest", "-n", namespace)["spec"]["replicas"] == 5


def test_nobody_scales_an_agent_that_sizes_itself(bench: Bench, namespace: str) -> None:
    _create(bench, namespace, minimal("VoiceAgent"))
    done = bench.kubectl("scale", "-n", namespace, "va/smallest", "--replicas=5", check=False)
    assert done.returncode != 0
    assert "replicas needs scaling.mode: External" in done.stderr


@pytest.mark.parametrize(
    ("kind", "place", "selector"),
    [
        ("VoiceAgent", ("spec", "providerPoolRef", "name"), "spec.providerPoolRef.name=other"),
        ("CallCampaign", ("spec", "agentRef", "name"), "spec.agentRef.name=other"),
    ],
)
def test_objects_are_selected_by_what_they_refer_to(
    kind: str, place: tuple[str, ...], selector: str, bench: Bench, namespace: str
) -> None:
    _create(bench, namespace, _named(kind, "first"))
    _create(bench, namespace, with_value(_named(kind, "second"), place, "other"))
    found = _get(bench, KINDS[kind].INFO.plural, "-n", namespace, "--field-selector", selector)["items"]
    assert [item["metadata"]["name"] for item in found] == ["second"]


class Change(NamedTuple):
    """A value put into a campaign that exists, and what refuses it."""

    id: str
    place: tuple[str, ...]
    value: object
    refusal: str | None


CAMPAIGN_CHANGES = [
    Change("another agent", ("spec", "agentRef", "name"), "other", "agentRef cannot be changed"),
    Change("another list", ("spec", "contacts", "configMap", "key"), "other.csv", "contacts cannot be changed"),
    Change(
        "another meaning of columns", ("spec", "contacts", "columns", "phone"), "mobile", "contacts cannot be changed"
    ),
    Change("a default written out", ("spec", "contacts", "columns", "phone"), "phone", None),
    Change("a default written out, further up", ("spec", "contacts", "format"), "Csv", None),
    Change("a pause", ("spec", "suspend"), True, None),
    Change("another trunk", ("spec", "trunk"), "other", None),
    Change("an empty list", ("spec", "contacts", "columns", "variables"), [], "contacts cannot be changed"),
    Change("a null", ("spec", "contacts", "label"), None, None),
    Change("an unknown label", ("spec", "contacts", "label"), "spring", "contacts cannot be changed"),
]


@pytest.mark.parametrize("change", CAMPAIGN_CHANGES, ids=lambda change: change.id)
def test_what_a_campaign_began_with_stays_on_the_server_as_in_the_model(
    change: Change, bench: Bench, namespace: str
) -> None:
    old = minimal("CallCampaign")
    new = with_value(old, change.place, change.value)
    kind = KINDS["CallCampaign"]
    foretold = [problem.message for problem in check_update(kind.model_validate(old), kind.model_validate(new))]
    _create(bench, namespace, old)
    done = bench.kubectl("replace", "-n", namespace, "--validate=strict", "-f", "-", stdin=json.dumps(new), check=False)
    assert (done.returncode == 0) == (change.refusal is None) == (not foretold), done.stderr
    assert all(message in done.stderr for message in foretold)
    assert (change.refusal or "") in done.stderr


def test_conditions_of_several_writers_live_side_by_side(bench: Bench, namespace: str) -> None:
    _create(bench, namespace, minimal("VoiceAgent"))
    for kind in ("Ready", "Stalled"):
        condition = {"type": kind, "status": "True", "reason": "Tried", "lastTransitionTime": "2026-12-01T08:00:00Z"}
        status = {"apiVersion": API_VERSION, "kind": "VoiceAgent", "metadata": {"name": "smallest"}}
        body = json.dumps({**status, "status": {"conditions": [condition]}})
        flags = ("--server-side", "--subresource=status", f"--field-manager={kind.lower()}")
        bench.kubectl("apply", "-n", namespace, *flags, "-f", "-", stdin=body)
    status = _get(bench, "va", "smallest", "-n", namespace)["status"]
    assert sorted(condition["type"] for condition in status["conditions"]) == ["Ready", "Stalled"]


def _present(value: Any) -> Any:  # noqa: ANN401 - JSON has no type
    """Leave out what is absent: nulls and empty lists mean the same as nothing to server and model."""
    match value:
        case dict():
            return {name: _present(inner) for name, inner in value.items() if inner is not None and inner != []}
        case list():
            return [_present(inner) for inner in value]
        case _:
            return value


def _everything() -> list[Manifest]:
    samples = [yaml.safe_load(path.read_text()) for path in sorted(SAMPLES.glob("*.yaml"))]
    return [*samples, *(_named(kind, f"smallest-{kind.lower()}") for kind in KINDS)]


@pytest.mark.parametrize("manifest", _everything(), ids=lambda manifest: manifest["metadata"]["name"])
def test_the_server_fills_in_what_the_model_would(manifest: Manifest, bench: Bench, namespace: str) -> None:
    assert check_manifest(manifest) == ()
    stored = _create(bench, namespace, manifest, "--dry-run=server")
    model = KINDS[manifest["kind"]].model_validate(manifest)
    assert _present(stored["spec"]) == _present(model.model_dump(mode="json", by_alias=True)["spec"])


def test_an_empty_object_gets_its_own_defaults(bench: Bench, namespace: str) -> None:
    agent = minimal("VoiceAgent")
    for place in (("voice", "pipeline"), ("voice", "pipeline", "stt"), ("rollout",), ("worker", "podTemplate")):
        agent = with_value(agent, ("spec", *place), {})
    stored = _create(bench, namespace, agent, "--dry-run=server")
    model = KINDS["VoiceAgent"].model_validate(agent)
    assert _present(stored["spec"]) == _present(model.model_dump(mode="json", by_alias=True)["spec"])
