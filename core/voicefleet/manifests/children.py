"""The objects beside the pods: configuration, identity, and the guard over pods that hold calls."""

import hmac

from voicefleet.api import API_VERSION, VoiceAgent
from voicefleet.api.metadata import ObjectMeta
from voicefleet.manifests import Manifest
from voicefleet.names import (
    CONTROL_TOKEN_KEY,
    LABEL_AGENT,
    LABEL_BUSY,
    LABEL_MANAGED_BY,
    MANAGED_BY,
    control_secret_name,
    service_account_name,
)

_MORE_THAN_THERE_ARE = 1_000_000
_KEY_ID_LENGTH = 8


def build_service_account(agent: VoiceAgent) -> Manifest:
    """Return the identity of the workers, which may do nothing and gets no token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": build_metadata(agent.metadata, service_account_name(agent.metadata.name)),
        "automountServiceAccountToken": False,
    }


def build_busy_guard(owner: ObjectMeta) -> Manifest:
    """Return the budget that refuses to evict a pod with calls; idle pods may always go."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": build_metadata(owner, f"{owner.name}-busy"),
        "spec": {
            # Not maxUnavailable: 0, for which the controller asks our scale for replicas that need not be set.
            "minAvailable": _MORE_THAN_THERE_ARE,
            "selector": {"matchLabels": {**select_agent(owner), LABEL_BUSY: "true"}},
            "unhealthyPodEvictionPolicy": "IfHealthyBudget",
        },
    }


def build_control_secret(agent: VoiceAgent, operator_key: bytes) -> Manifest:
    """Return the Secret with the token of the control ports.

    The token follows from the operator's key, so that the operator knows it without ever reading a Secret. So does its
    name: where a key was lost, new workers would be given the old token again, which nobody may write over.
    """
    name = control_secret_name(agent.metadata.name, control_key_id(operator_key))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": build_metadata(agent.metadata, name),
        "type": "Opaque",
        "immutable": True,
        "stringData": {
            CONTROL_TOKEN_KEY: control_token(operator_key, agent.metadata.namespace or "", agent.metadata.name)
        },
    }


def control_token(operator_key: bytes, namespace: str, name: str) -> str:
    """Return the bearer token of one agent's control ports."""
    return hmac.new(operator_key, f"{namespace}/{name}".encode(), "sha256").hexdigest()


def control_key_id(operator_key: bytes) -> str:
    """Return what tells one control key from another, and from which it is not found."""
    return hmac.new(operator_key, b"id", "sha256").hexdigest()[:_KEY_ID_LENGTH]


def build_metadata(owner: ObjectMeta, name: str) -> Manifest:
    """Return the metadata that all children share: labels, and the VoiceAgent as their owner."""
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": select_agent(owner),
        "ownerReferences": [build_owner(owner)],
    }


def build_owner(owner: ObjectMeta) -> Manifest:
    """Return the reference by which a child belongs to its VoiceAgent and goes with it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "VoiceAgent",
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def select_agent(owner: ObjectMeta) -> dict[str, str]:
    """Return the labels by which an agent's children are found."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_AGENT: owner.name}
