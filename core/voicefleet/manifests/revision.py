"""One revision of an agent: the files that its workers read, and how its pods are made.

Both are kept in one ConfigMap, so that a worker that starts again reads what its revision always read, and so that
a revision whose template is no longer in the spec can be made again.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from voicefleet.api import API_VERSION, ProviderPool, VoiceAgent
from voicefleet.api.voiceagent.worker import Worker
from voicefleet.manifests import Manifest
from voicefleet.manifests.children import build_metadata, select_agent
from voicefleet.manifests.pod import (
    CONTROL_VOLUME,
    SPEC_VOLUME,
    build_pod_spec,
    busy_annotations,
    busy_labels,
    resources_of,
)
from voicefleet.names import (
    AGENT_FILE,
    ANNOTATION_LIVEKIT,
    ANNOTATION_SECRETS_CHANGED,
    LABEL_REVISION,
    POOL_FILE,
    TEMPLATE_FILE,
    config_map_name,
    control_secret_name,
    worker_name,
)

# What says how many workers there are and not what they do; a change of it touches no worker.
_FLEET_FIELDS = {"scaling", "rollout", "replicas", "suspend", "deletion_policy"}
_POOL_FIELDS = {"allowed_namespaces"}
_REVISION_LENGTH = 10
# These can be changed in a running pod, so they make no revision.
_RESIZABLE = ("cpu", "memory")
# What reading a file meets that somebody wrote who is none of us.
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Revision:
    """How every pod of one revision looks, and what it reads."""

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: Manifest
    files: dict[str, str]

    @property
    def resources(self) -> dict[str, str]:
        """Cores and memory of a worker, which may differ from those of pods that were made before."""
        return {key: resources_of(self.spec)[key] for key in _RESIZABLE}

    @cached_property
    def livekit(self) -> str:
        """By what its pods are known to be on one LiveKit with others: the pool, its address, its keys.

        Found out once: agents ask at each turn, and a fleet is made of many pods.
        """
        try:
            pool = json.loads(self.files[POOL_FILE])
            return _hash([pool["metadata"], pool["spec"]["livekit"]])
        except _BROKEN:
            return ""


def render_revision(agent: VoiceAgent, pool: ProviderPool, *, default_image: str) -> Revision:
    """Return the revision that the agent's spec asks for now, named by what is in it."""
    template = agent.spec.worker.pod_template
    labels = {**(template.labels or {}), **select_agent(agent.metadata)}
    annotations = dict(template.annotations or {})
    spec = build_pod_spec(agent, pool, default_image)
    files = {AGENT_FILE: _file(agent, _FLEET_FIELDS), POOL_FILE: _file(pool, _POOL_FIELDS)}
    name = _hash({"labels": labels, "annotations": annotations, "spec": _without_size(spec), "files": files})
    return Revision(name, labels, annotations, _reading(spec, config_map_name(agent.metadata.name, name)), files)


def _file(resource: VoiceAgent | ProviderPool, left_out: set[str]) -> str:
    # What was not written down is the reader's default, which a newer worker may know better.
    spec = resource.spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=left_out)
    _leave_out_what_is_round_workers(spec)
    metadata = {"name": resource.metadata.name, "namespace": resource.metadata.namespace}
    document = {"apiVersion": API_VERSION, "kind": type(resource).__name__, "metadata": metadata, "spec": spec}
    return json.dumps(document, sort_keys=True, ensure_ascii=False, indent=1)


def _leave_out_what_is_round_workers(spec: Manifest) -> None:
    """Leave out what is changed about running workers, or beside them."""
    worker = spec.get("worker", {})
    worker.pop("egress", None)
    resources = worker.get("resources", {})
    for key in _RESIZABLE:
        resources.pop(key, None)
    # What was emptied by that is what was never written.
    if not resources:
        worker.pop("resources", None)
    if not worker:
        spec.pop("worker", None)


def _hash(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_REVISION_LENGTH]


def _without_size(spec: Manifest) -> Manifest:
    containers = [{**container, "resources": _rest(container["resources"])} for container in spec["containers"]]
    return {**spec, "containers": containers}


def _rest(resources: Manifest) -> Manifest:
    return {part: {k: v for k, v in sizes.items() if k not in _RESIZABLE} for part, sizes in resources.items()}


def _reading(spec: Manifest, config_map: str) -> Manifest:
    items = [{"key": key, "path": key} for key in (AGENT_FILE, POOL_FILE)]
    source = {"name": SPEC_VOLUME, "configMap": {"name": config_map, "items": items}}
    return {**spec, "volumes": [source, *spec["volumes"]]}


def secrets_changed(agent: VoiceAgent) -> str:
    """Return the word by which somebody said that Secrets of the agent have changed, or nothing."""
    return (agent.metadata.annotations or {}).get(ANNOTATION_SECRETS_CHANGED, "")


def build_pod(agent: VoiceAgent, revision: Revision, number: int, *, control_key_id: str) -> Manifest:
    """Return one pod of a revision, whose control port the operator with this key can open."""
    metadata = build_metadata(agent.metadata, worker_name(agent.metadata.name, revision.name, number))
    metadata["labels"] = {**revision.labels, LABEL_REVISION: revision.name, **busy_labels(busy=False)}
    told = {name: value for name, value in busy_annotations(busy=False).items() if value is not None}
    word = secrets_changed(agent)
    told[ANNOTATION_LIVEKIT] = revision.livekit
    metadata["annotations"] = {**revision.annotations, **told, **({ANNOTATION_SECRETS_CHANGED: word} if word else {})}
    secret = {"secretName": control_secret_name(agent.metadata.name, control_key_id), "defaultMode": 0o440}
    volumes = [*revision.spec["volumes"], {"name": CONTROL_VOLUME, "secret": secret}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**revision.spec, "volumes": volumes}}


def build_config_map(agent: VoiceAgent, revision: Revision) -> Manifest:
    """Return the ConfigMap of a revision; no secret value is in it, since no spec holds one."""
    metadata = build_metadata(agent.metadata, config_map_name(agent.metadata.name, revision.name))
    metadata["labels"] = {**metadata["labels"], LABEL_REVISION: revision.name}
    template = {"labels": revision.labels, "annotations": revision.annotations, "spec": revision.spec}
    files = {**revision.files, TEMPLATE_FILE: json.dumps(template, sort_keys=True, ensure_ascii=False)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files}


def slots_of(revision: Revision) -> int | None:
    """Return how many calls a worker of a revision holds, or None if somebody has broken what was kept."""
    try:
        worker = json.loads(revision.files[AGENT_FILE])["spec"].get("worker", {})
        return Worker.model_validate(worker).sessions_per_worker
    except _BROKEN:
        return None


def read_revision(name: str, config_map: Manifest) -> Revision | None:
    """Return a revision as it was kept, or None if somebody has broken what was kept."""
    files = dict(config_map.get("data") or {})
    try:
        template = json.loads(files.pop(TEMPLATE_FILE, ""))
        return Revision(name, template["labels"], template["annotations"], template["spec"], files)
    except _BROKEN:
        return None
