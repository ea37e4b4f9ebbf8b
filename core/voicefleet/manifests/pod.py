"""The pod of a worker: restricted, Guaranteed, and not to be moved while it holds calls."""

from typing import Any

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.voiceagent.worker import PodTemplate, Worker
from voicefleet.manifests import Manifest
from voicefleet.manifests.children import select_agent
from voicefleet.manifests.keeping import claims_of_worker
from voicefleet.manifests.secrets import SecretKeys, secrets_of_worker
from voicefleet.manifests.texts import TextKeys, texts_of_worker
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
    STORES_DIRECTORY,
    TEXTS_DIRECTORY,
    WRITABLE_DIRECTORY,
    service_account_name,
)

CONTAINER = "worker"
SPEC_VOLUME = "spec"
CONTROL_VOLUME = "control"
# The user of the image; any number but 0 would do, and volumes belong to it.
USER_ID = 65532
SECRET_VOLUME_PREFIX = "secret-"
TEXT_VOLUME_PREFIX = "text-"
_STORE_VOLUME_PREFIX = "store-"
_DEFAULT_SPREAD = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


def resources_of(spec: Manifest) -> dict[str, str]:
    """Return what the worker's container of a pod asks for."""
    containers = [container for container in spec.get("containers", []) if container.get("name") == CONTAINER]
    requests = containers[0].get("resources", {}).get("requests", {}) if containers else {}
    return {str(key): str(value) for key, value in requests.items()}


def busy_labels(*, busy: bool) -> dict[str, str]:
    """Return the label that the budget and the admission policy look at."""
    return {LABEL_BUSY: "true" if busy else "false"}


def busy_annotations(*, busy: bool) -> dict[str, str | None]:
    """Return what tells node autoscalers whether the pod may move; None takes an annotation away."""
    return {
        ANNOTATION_SAFE_TO_EVICT: "false" if busy else "true",
        ANNOTATION_DO_NOT_DISRUPT: "true" if busy else None,
    }


def build_pod_spec(agent: VoiceAgent, pool: ProviderPool, default_image: str) -> Manifest:
    """Return the spec of a worker's pod, but for the volumes of its revision's files and of its token."""
    worker, name, secrets = agent.spec.worker, agent.metadata.name, secrets_of_worker(agent, pool)
    texts = texts_of_worker(agent)
    claims = claims_of_worker(agent)
    mounts = [*_mounts(secrets, texts), *_claim_mounts(claims)]
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
        "containers": [_container(worker, mounts, default_image)],
        "volumes": [*_volumes(secrets, worker), *_text_volumes(texts), *_claim_volumes(claims)],
    }
    spec |= _placement(worker.pod_template, select_agent(agent.metadata))
    return {key: value for key, value in spec.items() if value not in ([], None)}


def _container(worker: Worker, mounts: list[Manifest], default_image: str) -> Manifest:
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
        "volumeMounts": mounts,
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


def _volumes(secrets: SecretKeys, worker: Worker) -> list[Manifest]:
    # Bounded, so that a full disk ends this pod and not its neighbours.
    return [
        {"name": "writable", "emptyDir": {"sizeLimit": str(worker.resources.ephemeral_storage)}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
        *(_secret_volume(index, name, keys) for index, (name, keys) in enumerate(secrets.items())),
    ]


def _secret_volume(index: int, name: str, keys: tuple[str, ...]) -> Manifest:
    # Not optional: a worker without its keys would take calls and fail them, a pod that waits says what it lacks.
    items = [{"key": key, "path": key} for key in keys]
    source = {"secretName": name, "items": items, "optional": False, "defaultMode": 0o440}
    return {"name": f"{SECRET_VOLUME_PREFIX}{index}", "secret": source}


def _text_volumes(texts: TextKeys) -> list[Manifest]:
    # Not optional, as with Secrets: an agent that was told nothing would talk all the same.
    return [
        {
            "name": f"{TEXT_VOLUME_PREFIX}{index}",
            "configMap": {"name": name, "items": [{"key": key, "path": key} for key in keys], "optional": False},
        }
        for index, (name, keys) in enumerate(texts.items())
    ]


def _mounts(secrets: SecretKeys, texts: TextKeys) -> list[Manifest]:
    read_only = [(SPEC_VOLUME, SPEC_DIRECTORY), (CONTROL_VOLUME, CONTROL_TOKEN_DIRECTORY)]
    # A directory and no subPath: only so does a changed Secret reach a running worker.
    read_only += [
        (f"{SECRET_VOLUME_PREFIX}{index}", f"{SECRETS_DIRECTORY}/{name}") for index, name in enumerate(secrets)
    ]
    read_only += [(f"{TEXT_VOLUME_PREFIX}{index}", f"{TEXTS_DIRECTORY}/{name}") for index, name in enumerate(texts)]
    return [
        *({"name": name, "mountPath": path, "readOnly": True} for name, path in read_only),
        {"name": "writable", "mountPath": WRITABLE_DIRECTORY},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
    ]


def _claim_volumes(claims: tuple[str, ...]) -> list[Manifest]:
    return [
        {"name": f"{_STORE_VOLUME_PREFIX}{index}", "persistentVolumeClaim": {"claimName": claim}}
        for index, claim in enumerate(claims)
    ]


def _claim_mounts(claims: tuple[str, ...]) -> list[Manifest]:
    return [
        {"name": f"{_STORE_VOLUME_PREFIX}{index}", "mountPath": f"{STORES_DIRECTORY}/{claim}"}
        for index, claim in enumerate(claims)
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
