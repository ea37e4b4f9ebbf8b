"""The pod of a worker: restricted, Guaranteed, and not to be moved while it holds calls."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.voiceagent.worker import PodTemplate, Worker
from voicefleet.manifests import Manifest
from voicefleet.manifests.children import build_config_map, build_metadata, select_agent
from voicefleet.manifests.secrets import SecretKeys, secrets_of_worker
from voicefleet.names import (
    ANNOTATION_DO_NOT_DISRUPT,
    ANNOTATION_SAFE_TO_EVICT,
    CONTROL_PORT,
    CONTROL_TOKEN_DIRECTORY,
    ENV_POD_UID,
    ENV_REVISION,
    LABEL_BUSY,
    LABEL_REVISION,
    SECRETS_DIRECTORY,
    SPEC_DIRECTORY,
    WRITABLE_DIRECTORY,
    config_map_name,
    control_secret_name,
    service_account_name,
    worker_name,
)

CONTAINER = "worker"
# The user of the image; any number but 0 would do, and volumes belong to it.
USER_ID = 65532
SECRET_VOLUME_PREFIX = "secret-"
_REVISION_LENGTH = 10
_DEFAULT_SPREAD = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


@dataclass(frozen=True, slots=True)
class PodPlan:
    """How every pod of one revision looks."""

    revision: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: Manifest


def plan_pods(agent: VoiceAgent, pool: ProviderPool, *, default_image: str) -> PodPlan:
    """Return how the agent's pods should look now, under the revision that names it."""
    template = agent.spec.worker.pod_template
    labels = {**(template.labels or {}), **select_agent(agent)}
    annotations = dict(template.annotations or {})
    spec = _pod_spec(agent, secrets_of_worker(agent, pool), default_image)
    data = build_config_map(agent, pool)["data"]
    revision = _hash({"labels": labels, "annotations": annotations, "spec": spec, "data": data})
    return PodPlan(revision, labels, annotations, spec)


def _hash(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_REVISION_LENGTH]


def build_pod(agent: VoiceAgent, plan: PodPlan, number: int) -> Manifest:
    """Return one pod of a revision."""
    metadata = build_metadata(agent, worker_name(agent.metadata.name, plan.revision, number))
    metadata["labels"] = {**plan.labels, LABEL_REVISION: plan.revision, **busy_labels(busy=False)}
    metadata["annotations"] = {**plan.annotations, **busy_annotations(busy=False)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": plan.spec}


def busy_labels(*, busy: bool) -> dict[str, str]:
    """Return the label that the budget and the admission policy look at."""
    return {LABEL_BUSY: "true" if busy else "false"}


def busy_annotations(*, busy: bool) -> dict[str, str | None]:
    """Return what tells node autoscalers whether the pod may move; None takes an annotation away."""
    return {
        ANNOTATION_SAFE_TO_EVICT: "false" if busy else "true",
        ANNOTATION_DO_NOT_DISRUPT: "true" if busy else None,
    }


def _pod_spec(agent: VoiceAgent, secrets: SecretKeys, default_image: str) -> Manifest:
    worker, name = agent.spec.worker, agent.metadata.name
    spec = {
        "serviceAccountName": service_account_name(name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": worker.drain_grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "imagePullSecrets": [{"name": ref.name} for ref in worker.image_pull_secrets],
        "containers": [_container(worker, secrets, default_image)],
        "volumes": _volumes(name, secrets, worker),
    }
    spec |= _placement(worker.pod_template, select_agent(agent))
    return {key: value for key, value in spec.items() if value not in ([], None)}


def _container(worker: Worker, secrets: SecretKeys, default_image: str) -> Manifest:
    size = worker.resources
    resources = {"cpu": str(size.cpu), "memory": str(size.memory), "ephemeral-storage": str(size.ephemeral_storage)}
    container = {
        "name": CONTAINER,
        "image": worker.image or default_image,
        "imagePullPolicy": worker.image_pull_policy,
        "env": _env(worker),
        "ports": [{"name": "control", "containerPort": CONTROL_PORT}],
        "resources": {"requests": dict(resources), "limits": dict(resources)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": _mounts(secrets),
        # Two minutes to come up; then a process that is stuck for a minute is started anew.
        "startupProbe": _probe("/livez", period_seconds=2, failures=60),
        "livenessProbe": _probe("/livez", period_seconds=10, failures=6),
        "readinessProbe": _probe("/readyz", period_seconds=5, failures=3),
    }
    return {key: value for key, value in container.items() if value is not None}


def _env(worker: Worker) -> list[Manifest]:
    paths = {ENV_REVISION: f"metadata.labels['{LABEL_REVISION}']", ENV_POD_UID: "metadata.uid"}
    told = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in paths.items()]
    own = [variable.model_dump(by_alias=True, exclude_none=True) for variable in worker.pod_template.env]
    # Last, so that nobody's variable of the same name takes its place.
    return [*(v for v in own if v["name"] not in paths), *told]


def _probe(path: str, *, period_seconds: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "control"},
        "periodSeconds": period_seconds,
        "failureThreshold": failures,
        "timeoutSeconds": 3,
    }


def _volumes(agent: str, secrets: SecretKeys, worker: Worker) -> list[Manifest]:
    # Bounded, so that a full disk ends this pod and not its neighbours.
    return [
        {"name": "spec", "configMap": {"name": config_map_name(agent)}},
        {"name": "control", "secret": {"secretName": control_secret_name(agent), "defaultMode": 0o440}},
        {"name": "writable", "emptyDir": {"sizeLimit": str(worker.resources.ephemeral_storage)}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
        *(_secret_volume(index, name, keys) for index, (name, keys) in enumerate(secrets.items())),
    ]


def _secret_volume(index: int, name: str, keys: tuple[str, ...]) -> Manifest:
    # Not optional: a worker without its keys would take calls and fail them, a pod that waits says what it lacks.
    items = [{"key": key, "path": key} for key in keys]
    source = {"secretName": name, "items": items, "optional": False, "defaultMode": 0o440}
    return {"name": f"{SECRET_VOLUME_PREFIX}{index}", "secret": source}


def _mounts(secrets: SecretKeys) -> list[Manifest]:
    read_only = [("spec", SPEC_DIRECTORY), ("control", CONTROL_TOKEN_DIRECTORY)]
    # A directory and no subPath: only so does a changed Secret reach a running worker.
    read_only += [
        (f"{SECRET_VOLUME_PREFIX}{index}", f"{SECRETS_DIRECTORY}/{name}") for index, name in enumerate(secrets)
    ]
    return [
        *({"name": name, "mountPath": path, "readOnly": True} for name, path in read_only),
        {"name": "writable", "mountPath": WRITABLE_DIRECTORY},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
    ]


def _placement(template: PodTemplate, selector: dict[str, str]) -> dict[str, Any]:
    spread = list(template.topology_spread_constraints) or [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector},
        }
        for key in _DEFAULT_SPREAD
    ]
    return {
        "nodeSelector": template.node_selector,
        "tolerations": [t.model_dump(by_alias=True, exclude_none=True) for t in template.tolerations],
        "affinity": template.affinity,
        "topologySpreadConstraints": spread,
        "priorityClassName": template.priority_class_name,
        "runtimeClassName": template.runtime_class_name,
    }
