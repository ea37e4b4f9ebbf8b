"""The outside of a handler, in memory: a cluster that keeps what it is given, and workers that obey."""

from collections.abc import Mapping
from typing import Any

from tests.support.fleet import NOW
from voicefleet.fleet import Heard, Mark, PodRef
from voicefleet.manifests import Manifest
from voicefleet.manifests.pod import busy_labels
from voicefleet.wire import WorkerState
from voicefleet_operator.cache import Cache
from voicefleet_operator.kube import PODS, Body, ResourceType
from voicefleet_operator.ports import Address, Ports
from voicefleet_operator.workqueue import Key


class FakeCluster:
    """Objects with versions; every write is noted."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.version = 0
        self.applied: dict[str, Manifest] = {}
        self.secrets: set[str] = set()
        self.events: list[Body] = []
        self.labels: Mapping[str, str] = {}
        self.writes: list[str] = []

    def put(self, resource: ResourceType, body: Body) -> Body:
        """Let an object be there."""
        self.version += 1
        metadata = {"namespace": "voice", "uid": f"uid-{body['metadata']['name']}", **body["metadata"]}
        body = {**body, "metadata": {**metadata, "resourceVersion": str(self.version)}}
        self.cache.observe(resource, body)
        return body

    def run_pods(self) -> None:
        """Let every pod come up."""
        for pod in self.cache.pods:
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": NOW.isoformat()}
            status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [ready]}
            self.put(PODS, {**pod, "spec": {**pod["spec"], "nodeName": "node"}, "status": status})

    async def apply(self, manifest: Manifest) -> None:
        """Note it if it is new or changed."""
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if self.applied.get(name) != manifest:
            self.applied[name] = manifest
            self.writes.append(f"apply {name}")

    async def create_pod(self, manifest: Manifest) -> None:
        """Create it."""
        self.writes.append(f"create {manifest['metadata']['name']}")
        self.put(PODS, manifest)

    async def create_secret(self, manifest: Manifest, *, again: bool) -> None:
        """Create it once."""
        name = manifest["metadata"]["name"]
        if again or name not in self.secrets:
            self.secrets.add(name)
            self.writes.append(f"create {name}")

    async def delete_pod(self, namespace: str, pod: PodRef) -> None:
        """Delete exactly what was read."""
        known = self.cache.pods.get(namespace, pod.name)
        assert known is not None
        assert known["metadata"]["resourceVersion"] == pod.resource_version
        self.writes.append(f"delete {pod.name}")
        self.cache.observe(PODS, known, gone=True)

    async def mark_pod(self, namespace: str, mark: Mark) -> None:
        """Set the label."""
        pod = self.cache.pods.get(namespace, mark.pod.name)
        assert pod is not None
        self.writes.append(f"mark {mark.pod.name} {mark.busy}")
        labels = {**pod["metadata"]["labels"], **busy_labels(busy=mark.busy)}
        self.put(PODS, {**pod, "metadata": {**pod["metadata"], "labels": labels}})

    async def write_status(self, resource: ResourceType, body: Body, status: Manifest) -> None:
        """Set the status."""
        self.writes.append(f"status {body['metadata']['name']}")
        self.put(resource, {**body, "status": status})

    async def read_pod_events(self, namespace: str, uid: str) -> list[Body]:
        """Return the events."""
        return [event for event in self.events if namespace and uid]

    async def read_namespace_labels(self, name: str) -> Mapping[str, str]:
        """Return the labels."""
        return self.labels if name else {}


class FakeWorkers:
    """Workers by the uid of their pods."""

    def __init__(self) -> None:
        self.followed: dict[Key, Mapping[str, Address]] = {}
        self.states: dict[str, WorkerState] = {}

    def follow(self, key: Key, addresses: Mapping[str, Address]) -> None:
        """Note who is heard."""
        self.followed[key] = addresses

    def heard(self, uid: str) -> Heard | None:
        """Return what it says now."""
        return Heard(self.states[uid], NOW) if uid in self.states else None

    async def cordon(self, uid: str) -> None:
        """Obey."""
        self.states[uid] = self.states[uid].model_copy(update={"cordoned": True})

    async def uncordon(self, uid: str) -> None:
        """Obey."""
        self.states[uid] = self.states[uid].model_copy(update={"cordoned": False})


def build_ports() -> tuple[Ports, FakeCluster, FakeWorkers]:
    """Return an outside, and the two fakes in it."""
    cache = Cache()
    cluster, workers = FakeCluster(cache), FakeWorkers()
    ports = Ports(cache, cluster, workers, control_key=b"k" * 32, worker_image="worker:1", now=lambda: NOW)
    return ports, cluster, workers


def resource(kind: dict[str, Any], **spec: object) -> Body:
    """Return a manifest as the server would hand it out."""
    metadata = {**kind["metadata"], "generation": 1}
    return {**kind, "metadata": metadata, "spec": {**kind["spec"], **spec}}
