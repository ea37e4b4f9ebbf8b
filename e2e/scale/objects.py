"""What a run creates: pools, agents, and Deployments whose pods are the very same."""

import json
from pathlib import Path
from typing import Any

import yaml

SAMPLES = Path(__file__).resolve().parents[2] / "manifests" / "samples"
AGENTS_PATH = "/apis/voicefleet.dev/v1alpha1/namespaces/{namespace}/voiceagents"
POOLS_PATH = "/apis/voicefleet.dev/v1alpha1/namespaces/{namespace}/providerpools"
DEPLOYMENTS_PATH = "/apis/apps/v1/namespaces/{namespace}/deployments"
PODS_PATH = "/api/v1/namespaces/{namespace}/pods"
ALL_PODS_PATH = "/api/v1/pods"
TEMPLATE = "template"
Manifest = dict[str, Any]


def pool(namespace: str) -> Manifest:
    """Return the sample's pool, without the quotas by which it would bound a fleet."""
    document: Manifest = yaml.safe_load((SAMPLES / "providerpool.yaml").read_text())
    document["metadata"]["namespace"] = namespace
    for provider in document["spec"]["providers"]:
        provider.pop("quota", None)
    return document


def agent(namespace: str, name: str, *, workers: int, at_most: int | None = None) -> Manifest:
    """Return the sample's agent with so many workers."""
    document: Manifest = yaml.safe_load((SAMPLES / "voiceagent.yaml").read_text())
    document["metadata"] = {"name": name, "namespace": namespace}
    document["spec"]["scaling"] = {"min": workers, "max": at_most or max(workers, 20), "warmFloorSlots": 0}
    return document


def deployment(namespace: str, name: str, *, pod: Manifest, replicas: int) -> Manifest:
    """Return a Deployment of pods like one that the operator made, but for what only the operator provides."""
    left_out = ("nodeName", "serviceAccountName", "serviceAccount")
    spec = {key: value for key, value in pod["spec"].items() if key not in left_out}
    metadata = {part: pod["metadata"][part] for part in ("labels", "annotations")}
    # The same labels by other names: these pods are none of the operator's business.
    text = json.dumps({"metadata": metadata, "spec": spec}).replace("voicefleet", "somebody-else")
    template = json.loads(text.replace(f'"{TEMPLATE}"', f'"{name}"'))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"somebody-else.dev/agent": name}},
            "template": template,
        },
    }
