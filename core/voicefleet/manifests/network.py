"""Whom an agent's workers may hear and reach, as a NetworkPolicy. Whether it is enforced is the cluster's business."""

import ipaddress
from typing import assert_never

from voicefleet.api import VoiceAgent
from voicefleet.api.voiceagent.worker import Egress
from voicefleet.manifests import Manifest
from voicefleet.manifests.children import build_metadata, select_agent
from voicefleet.manifests.keeping import identity_addresses
from voicefleet.names import CONTROL_PORT, DOMAIN

# The pods of the chart's Deployment carry it.
OPERATOR_LABELS = {"app.kubernetes.io/name": "voicefleet-operator"}
# Whoever runs Prometheus puts it on the namespace; the metrics share the control port, whose rest asks for a token.
SCRAPER_LABELS = {f"{DOMAIN}/scrapes-workers": "true"}
# There clouds hand out the credentials of the node to anybody who asks.
METADATA_ADDRESSES = ("169.254.169.254/32", "fd00:ec2::254/128")
_EVERYWHERE = ("0.0.0.0/0", "::/0")
# Rules hold for the address behind a Service: OpenShift's resolvers listen on 5353, most others on 53.
_DNS_PORTS = (53, 5353)


def network_policy_name(agent: str) -> str:
    """Return the name of the policy over an agent's workers."""
    return f"{agent}-worker"


def build_network_policy(agent: VoiceAgent, *, operator_namespace: str) -> Manifest | None:
    """Return the policy over all workers of an agent, or None if somebody else sees to that.

    Probes come from the node, which every network plugin lets in. A worker calls LiveKit and never the other way
    round, so media need no rule of their own.
    """
    egress = agent.spec.worker.egress
    if egress.mode == "Unmanaged":
        return None
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": build_metadata(agent.metadata, network_policy_name(agent.metadata.name)),
        "spec": {
            "podSelector": {"matchLabels": select_agent(agent.metadata)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": _callers(operator_namespace), "ports": [{"protocol": "TCP", "port": CONTROL_PORT}]}],
            "egress": [_dns(), {"to": [*_peers(egress), *map(_range, identity_addresses(agent))]}],
        },
    }


def _callers(operator_namespace: str) -> list[Manifest]:
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": operator_namespace}},
        "podSelector": {"matchLabels": dict(OPERATOR_LABELS)},
    }
    return [operator, {"namespaceSelector": {"matchLabels": dict(SCRAPER_LABELS)}}]


def _dns() -> Manifest:
    # To anywhere: resolvers are pods, addresses of the node or, in some clouds, the metadata address itself.
    return {"ports": [{"protocol": protocol, "port": port} for port in _DNS_PORTS for protocol in ("UDP", "TCP")]}


def _peers(egress: Egress) -> list[Manifest]:
    match egress.mode:
        case "Open":
            # Pods by name as well: some plugins hold that a range of addresses means what is outside of the cluster.
            return [{"namespaceSelector": {}}, *(_range(cidr) for cidr in _EVERYWHERE)]
        case "Restricted":
            return [_range(cidr) for cidr in egress.cidrs]
        case "Unmanaged":
            return []
        case _:
            assert_never(egress.mode)


def _range(cidr: str) -> Manifest:
    excepted = [address for address in METADATA_ADDRESSES if _contains(cidr, address)]
    return {"ipBlock": {"cidr": cidr, "except": excepted} if excepted else {"cidr": cidr}}


def _contains(cidr: str, address: str) -> bool:
    """Tell whether a range holds an address and more; one that is named by itself is meant."""
    try:
        outer = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        # The apiserver says what is wrong with it.
        return False
    inner = ipaddress.ip_network(address)
    return outer.version == inner.version and outer != inner and outer.supernet_of(inner)  # type: ignore[arg-type]
