"""The outside of a handler, in memory: a cluster that keeps what it is given, and workers that obey."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.support.fleet import NOW
from voicefleet.fleet import Heard, Mark, PodRef
from voicefleet.fleet.callers import LookForCallers
from voicefleet.manifests import Manifest
from voicefleet.manifests.pod import busy_labels
from voicefleet.report.events import Note
from voicefleet.wire import CallersAnswer, WorkerState
from voicefleet_operator.apiserver.cache import Cache
from voicefleet_operator.apiserver.kube import PODS, Body, ResourceType
from voicefleet_operator.ports import Address, Ports
from voicefleet_operator.turns.pacing import Pacer
from voicefleet_operator.turns.workqueue import Key, WorkQueue


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
        self.told: list[Note] = []
        self.forgotten: list[str] = []
        self.taken: frozenset[str] = frozenset()
        """Names that other pods have."""

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

    def taken_names(self, uid: str) -> frozenset[str]:
        """Return what a test put there."""
        return self.taken if uid else frozenset()

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

    async def annotate_pod(self, namespace: str, pod: PodRef, annotations: Mapping[str, str | None]) -> None:
        """Write it down."""
        self.writes.append(f"annotate {pod.name}")
        known = self.cache.pods.get(namespace, pod.name)
        assert known is not None
        noted = {**known["metadata"].get("annotations", {}), **annotations}
        noted = {key: value for key, value in noted.items() if value is not None}
        self.put(PODS, {**known, "metadata": {**known["metadata"], "annotations": noted}})

    async def end_pod(self, namespace: str, pod: PodRef) -> None:
        """Delete it whatever it holds."""
        known = self.cache.pods.get(namespace, pod.name)
        assert known is not None
        self.writes.append(f"end {pod.name}")
        self.cache.observe(PODS, known, gone=True)

    async def resize_pod(self, namespace: str, pod: PodRef, resources: Mapping[str, str]) -> None:
        """Give it the size."""
        known = self.cache.pods.get(namespace, pod.name)
        assert known is not None
        self.writes.append(f"resize {pod.name}")
        (container,) = known["spec"]["containers"]
        sized = {**container, "resources": {"requests": dict(resources), "limits": dict(resources)}}
        self.put(PODS, {**known, "spec": {**known["spec"], "containers": [sized]}})

    async def set_finalizers(self, resource: ResourceType, body: Body, finalizers: Sequence[str]) -> None:
        """Set them; the last one gone, an object that is being deleted goes."""
        self.writes.append(f"finalizers {body['metadata']['name']} {list(finalizers)}")
        known = self.cache.store(resource).get(body["metadata"]["namespace"], body["metadata"]["name"])
        assert known is not None
        if "deletionTimestamp" in known["metadata"] and not finalizers:
            self.cache.observe(resource, known, gone=True)
        else:
            self.put(resource, {**known, "metadata": {**known["metadata"], "finalizers": list(finalizers)}})

    async def read_config_map(self, namespace: str, name: str) -> Body | None:
        """Return what was applied."""
        return self.applied.get(f"ConfigMap/{name}") if namespace else None

    async def remove(self, kind: str, namespace: str, name: str, *, owner: Body) -> None:
        """Delete it, if it is there."""
        assert namespace == owner["metadata"]["namespace"]
        if self.applied.pop(f"{kind}/{name}", None) is not None:
            self.writes.append(f"delete {kind}/{name}")

    async def tell(self, note: Note, about: Body) -> None:
        """Note it; it is no write of an object that anybody reads."""
        assert about
        self.told.append(note)

    def trust(self, uid: str, manifests: Iterable[Manifest], *, likely: Iterable[Manifest] = ()) -> None:
        """Believe it, and find what is likely."""
        assert uid
        for manifest in (*manifests, *likely):
            self.applied.setdefault(f"{manifest['kind']}/{manifest['metadata']['name']}", manifest)

    def forget(self, uid: str) -> None:
        """Note it."""
        self.forgotten.append(uid)

    async def write_status(self, resource: ResourceType, body: Body, status: Manifest) -> None:
        """Set the status, and nothing else."""
        self.writes.append(f"status {body['metadata']['name']}")
        known = self.cache.store(resource).get(body["metadata"]["namespace"], body["metadata"]["name"])
        assert known is not None
        self.put(resource, {**known, "status": status})

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
        self.said_at = NOW
        self._heard: dict[str, Heard] = {}
        self.problems: dict[str, str] = {}
        self.looks: list[LookForCallers] = []
        self.waiting: int | None = 0
        """Callers who found no slot; nothing when LiveKit is away."""
        self.orders: list[str] = []
        """What they were told; a test may let a cluster note its writes in the same list."""

    def hear(self, key: Key, uid: str, address: Address) -> None:
        """Note who is heard besides."""
        self.followed[key] = {**self.followed.get(key, {}), uid: address}

    def follow(self, key: Key, addresses: Mapping[str, Address]) -> None:
        """Note who is heard."""
        self.followed[key] = addresses

    def heard(self, uid: str) -> Heard | None:
        """Return what it says now, and the same word for as long as it says nothing else."""
        if uid not in self.states:
            return None
        if uid not in self._heard or self._heard[uid].state is not self.states[uid]:
            self._heard[uid] = Heard(self.states[uid], self.said_at)
        return self._heard[uid]

    def problem(self, uid: str) -> str | None:
        """Return what a test put there."""
        return self.problems.get(uid)

    async def cordon(self, uid: str) -> None:
        """Obey."""
        self.orders.append(f"cordon {uid}")
        self.states[uid] = self.states[uid].model_copy(update={"cordoned": True})

    async def uncordon(self, uid: str) -> None:
        """Obey."""
        self.orders.append(f"uncordon {uid}")
        self.states[uid] = self.states[uid].model_copy(update={"cordoned": False})

    async def report_load(self, uid: str, load: float) -> None:
        """Obey."""
        self.states[uid] = self.states[uid].model_copy(update={"asked_load": load})

    def look_for_callers(self, key: Key, look: LookForCallers, heard: Callable[[CallersAnswer], None]) -> None:
        """Note who was asked; as many wait as a test put there, and get slots as far as there is room."""
        assert key.kind == "VoiceAgent"
        self.looks.append(look)
        if self.waiting is not None:
            served = min(self.waiting, look.order.room)
            self.waiting -= served
            heard(CallersAnswer(waiting=self.waiting, dispatched=served))


def build_ports() -> tuple[Ports, FakeCluster, FakeWorkers]:
    """Return an outside, and the two fakes in it."""
    cache = Cache()
    cluster, workers = FakeCluster(cache), FakeWorkers()
    ports = Ports(
        cache,
        cluster,
        workers,
        control_key=b"k" * 32,
        worker_image="worker:1",
        now=lambda: NOW,
        # A clock by which so much time passes between two words that none is too early.
        pacer=Pacer(clock=itertools.count(step=10).__next__),
    )
    return ports, cluster, workers


def resource(kind: dict[str, Any], **spec: object) -> Body:
    """Return a manifest as the server would hand it out."""
    metadata = {**kind["metadata"], "generation": 1}
    return {**kind, "metadata": metadata, "spec": {**kind["spec"], **spec}}


def queue_that_knows(*keys: Key) -> WorkQueue:
    """Return a queue that has served these once."""
    queue = WorkQueue(pace_seconds=0)
    for key in keys:
        queue.add(key)
        queue.take()
        queue.done(key)
    return queue
