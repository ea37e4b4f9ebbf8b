"""The objects beside the pods: configuration, identity, and the guard over pods that hold calls."""

import hmac
import json

from voicefleet.api import API_VERSION, ProviderPool, VoiceAgent
from voicefleet.manifests import Manifest
from voicefleet.names import (
    AGENT_FILE,
    CONTROL_TOKEN_KEY,
    LABEL_AGENT,
    LABEL_BUSY,
    LABEL_MANAGED_BY,
    MANAGED_BY,
    POOL_FILE,
    config_map_name,
    control_secret_name,
    service_account_name,
)

# What says how many workers there are and not what they do; a change of it touches no worker.
_FLEET_FIELDS = {"scaling", "rollout", "replicas", "suspend", "deletion_policy"}
_POOL_FIELDS = {"allowed_namespaces"}


def build_children(agent: VoiceAgent, pool: ProviderPool) -> tuple[Manifest, ...]:
    """Return everything that is applied beside the pods."""
    return (build_service_account(agent), build_config_map(agent, pool), build_busy_guard(agent))


def build_config_map(agent: VoiceAgent, pool: ProviderPool) -> Manifest:
    """Return the ConfigMap from which workers read what they are; no secret value is in it, since no spec holds one."""
    files = {AGENT_FILE: _file(agent, _FLEET_FIELDS), POOL_FILE: _file(pool, _POOL_FIELDS)}
    metadata = build_metadata(agent, config_map_name(agent.metadata.name))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files}


def _file(resource: VoiceAgent | ProviderPool, left_out: set[str]) -> str:
    # What was not written down is the reader's default, which a newer worker may know better.
    spec = resource.spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=left_out)
    metadata = {"name": resource.metadata.name, "namespace": resource.metadata.namespace}
    document = {"apiVersion": API_VERSION, "kind": type(resource).__name__, "metadata": metadata, "spec": spec}
    return json.dumps(document, sort_keys=True, ensure_ascii=False, indent=1)


def build_service_account(agent: VoiceAgent) -> Manifest:
    """Return the identity of the workers, which may do nothing and gets no token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": build_metadata(agent, service_account_name(agent.metadata.name)),
        "automountServiceAccountToken": False,
    }


def build_busy_guard(agent: VoiceAgent) -> Manifest:
    """Return the budget that refuses to evict a pod with calls; idle pods may always go."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": build_metadata(agent, f"{agent.metadata.name}-busy"),
        "spec": {
            "maxUnavailable": 0,
            "selector": {"matchLabels": {**select_agent(agent), LABEL_BUSY: "true"}},
            "unhealthyPodEvictionPolicy": "IfHealthyBudget",
        },
    }


def build_control_secret(agent: VoiceAgent, operator_key: bytes) -> Manifest:
    """Return the Secret with the token of the control ports.

    The token follows from the operator's key, so that the operator knows it without ever reading a Secret.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": build_metadata(agent, control_secret_name(agent.metadata.name)),
        "type": "Opaque",
        "immutable": True,
        "stringData": {
            CONTROL_TOKEN_KEY: control_token(operator_key, agent.metadata.namespace or "", agent.metadata.name)
        },
    }


def control_token(operator_key: bytes, namespace: str, name: str) -> str:
    """Return the bearer token of one agent's control ports."""
    return hmac.new(operator_key, f"{namespace}/{name}".encode(), "sha256").hexdigest()


def build_metadata(agent: VoiceAgent, name: str) -> Manifest:
    """Return the metadata that all children share: labels, and the VoiceAgent as their owner."""
    return {
        "name": name,
        "namespace": agent.metadata.namespace,
        "labels": select_agent(agent),
        "ownerReferences": [build_owner(agent)],
    }


def build_owner(agent: VoiceAgent) -> Manifest:
    """Return the reference by which a child belongs to its VoiceAgent and goes with it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "VoiceAgent",
        "name": agent.metadata.name,
        "uid": agent.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def select_agent(agent: VoiceAgent) -> dict[str, str]:
    """Return the labels by which an agent's children are found."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_AGENT: agent.metadata.name}
