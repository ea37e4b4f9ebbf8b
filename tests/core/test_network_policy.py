"""Whom workers may hear and reach."""

from typing import Any

import pytest

from voicefleet.api import VoiceAgent
from voicefleet.manifests.network import build_network_policy

METADATA = "169.254.169.254/32"


def agent(**egress: object) -> VoiceAgent:
    spec = {
        "providerPoolRef": {"name": "default"},
        "agents": [{"name": "front-desk", "instructions": "You answer the phone."}],
        "worker": {"egress": egress},
    }
    metadata = {"name": "receptionist", "namespace": "voice", "uid": "uid-1"}
    return VoiceAgent.model_validate(
        {"apiVersion": "voicefleet.dev/v1alpha1", "kind": "VoiceAgent", "metadata": metadata, "spec": spec}
    )


def policy(**egress: object) -> dict[str, Any]:
    built = build_network_policy(agent(**egress), operator_namespace="voicefleet-system")
    assert built is not None
    return built


def ranges(**egress: object) -> list[dict[str, Any]]:
    """Return the address ranges of the rule that is not about DNS."""
    _, rule = policy(**egress)["spec"]["egress"]
    assert "ports" not in rule
    return [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]


def test_it_belongs_to_the_agent_and_holds_for_its_workers_alone() -> None:
    built = policy()

    assert built["metadata"]["name"] == "receptionist-worker"
    assert built["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    workers = {"app.kubernetes.io/managed-by": "voicefleet", "voicefleet.dev/agent": "receptionist"}
    assert built["spec"]["podSelector"] == {"matchLabels": workers}
    assert built["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_only_the_operator_and_labelled_scrapers_reach_the_control_port() -> None:
    (rule,) = policy()["spec"]["ingress"]

    assert rule["ports"] == [{"protocol": "TCP", "port": 8081}]
    operator, scrapers = rule["from"]
    assert operator == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "voicefleet-system"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "voicefleet-operator"}},
    }
    assert scrapers == {"namespaceSelector": {"matchLabels": {"voicefleet.dev/scrapes-workers": "true"}}}


def test_open_is_all_but_the_metadata_address() -> None:
    _, rule = policy(mode="Open")["spec"]["egress"]

    assert rule["to"] == [
        {"namespaceSelector": {}},
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": [METADATA]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fd00:ec2::254/128"]}},
    ]


@pytest.mark.parametrize(
    ("cidr", "excepted"),
    [
        ("203.0.113.0/24", None),
        ("169.254.169.253/32", None),
        ("169.254.169.252/30", [METADATA]),
        ("169.254.169.254/31", [METADATA]),
        ("169.254.169.254/32", None),
        ("0.0.0.0/0", [METADATA]),
        ("fd00:ec2::/32", ["fd00:ec2::254/128"]),
        ("2001:db8::/32", None),
        ("10.0.0.1/8", None),
        ("999.0.0.0/99", None),
    ],
    ids=[
        "a range elsewhere",
        "its neighbour",
        "a range with it in the middle",
        "a range that begins with it",
        "the address itself, which somebody means",
        "everything",
        "its like in the newer protocol",
        "a newer range elsewhere",
        "a range with a host in it",
        "nonsense, which the apiserver refuses in words",
    ],
)
def test_a_listed_range_is_kept_without_the_metadata_address(cidr: str, excepted: list[str] | None) -> None:
    expected = {"cidr": cidr, "except": excepted} if excepted else {"cidr": cidr}

    assert ranges(mode="Restricted", cidrs=[cidr]) == [expected]


def test_restricted_is_the_listed_ranges_and_no_pod() -> None:
    _, rule = policy(mode="Restricted", cidrs=["203.0.113.0/24", "2001:db8::/32"])["spec"]["egress"]

    assert rule == {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}, {"ipBlock": {"cidr": "2001:db8::/32"}}]}


@pytest.mark.parametrize("egress", [{"mode": "Open"}, {"mode": "Restricted", "cidrs": ["203.0.113.0/24"]}])
def test_names_are_looked_up_whatever_the_mode(egress: dict[str, object]) -> None:
    dns, _ = policy(**egress)["spec"]["egress"]

    assert set(dns) == {"ports"}
    assert {(rule["protocol"], rule["port"]) for rule in dns["ports"]} == {
        ("UDP", 53),
        ("TCP", 53),
        ("UDP", 5353),
        ("TCP", 5353),
    }


def test_unmanaged_is_no_policy() -> None:
    assert build_network_policy(agent(mode="Unmanaged"), operator_namespace="voicefleet-system") is None


@pytest.mark.parametrize(
    ("store", "reached"),
    [
        pytest.param({"provider": "S3"}, {"169.254.170.23/32", "fd00:ec2::23/128"}, id="a pod that is somebody at AWS"),
        pytest.param({"provider": "GCS"}, {METADATA, "169.254.169.252/32"}, id="a pod that is somebody at Google"),
        pytest.param({"provider": "GCS", "credentials": {"name": "s", "key": "k"}}, set(), id="a store with a key"),
    ],
)
def test_the_identity_of_a_pod_is_handed_out_where_a_store_needs_it(store: dict[str, Any], reached: set[str]) -> None:
    kept = {"enabled": True, "store": {"objectStore": {"bucket": "calls", **store}}}
    one = agent(mode="Restricted", cidrs=["192.0.2.0/24"])
    recording = one.spec.recording.model_validate(kept)
    recorded = one.model_copy(update={"spec": one.spec.model_copy(update={"recording": recording})})
    built = build_network_policy(recorded, operator_namespace="voicefleet-system")

    assert built is not None
    _, rule = built["spec"]["egress"]
    assert {peer["ipBlock"]["cidr"] for peer in rule["to"]} == {"192.0.2.0/24", *reached}
