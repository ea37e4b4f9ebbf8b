"""What handlers need of the outside, as protocols of our own; adapters and fakes fill them in."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from voicefleet.fleet import Heard, Mark, PodRef
from voicefleet.fleet.callers import LookForCallers
from voicefleet.fleet.quota import HeldCalls
from voicefleet.manifests import Manifest
from voicefleet.report.events import Note
from voicefleet.wire import CallersAnswer
from voicefleet_operator.apiserver.cache import Cache
from voicefleet_operator.apiserver.kube import Body, ResourceType
from voicefleet_operator.sight.nodes import Nodes
from voicefleet_operator.turns.memory import AgentMemory, PoolMemory
from voicefleet_operator.turns.pacing import Pacer
from voicefleet_operator.turns.probing import Prober
from voicefleet_operator.turns.workqueue import Key

# Returned by a handler whose object is no more: nobody need look again.
GONE = timedelta.max


class Cluster(Protocol):
    """Reads and changes of the cluster; each change is safe to repeat."""

    async def apply(self, manifest: Manifest) -> None:
        """Bring a child to its manifest, unless that was done lately."""

    async def create_pod(self, manifest: Manifest) -> None:
        """Create a pod; if its name is taken, find out by whom."""

    def taken_names(self, uid: str) -> frozenset[str]:
        """Return the names that an agent's workers cannot have, as far as it was tried."""
        ...

    async def create_secret(self, manifest: Manifest, *, again: bool) -> None:
        """Create a Secret, unless that was done lately; one of that name that exists already is as good."""

    async def delete_pod(self, namespace: str, pod: PodRef) -> None:
        """Delete a pod, if it is still exactly the one that was read."""

    async def mark_pod(self, namespace: str, mark: Mark) -> None:
        """Tell the cluster whether a pod may be evicted."""

    async def annotate_pod(self, namespace: str, pod: PodRef, annotations: Mapping[str, str | None]) -> None:
        """Write something down on a pod, or take it away, unless it is no longer the one that is meant."""

    async def end_pod(self, namespace: str, pod: PodRef) -> None:
        """Delete a pod together with its calls, which have the grace of their spec to say goodbye."""

    async def resize_pod(self, namespace: str, pod: PodRef, resources: Mapping[str, str]) -> None:
        """Ask for other cores and memory for a running worker."""

    async def set_finalizers(self, resource: ResourceType, body: Body, finalizers: Sequence[str]) -> None:
        """Say who must agree before an object goes, unless the object has changed since it was read."""

    async def read_config_map(self, namespace: str, name: str) -> Body | None:
        """Return a ConfigMap, as it was when first asked for."""

    async def remove(self, kind: str, namespace: str, name: str, *, owner: Body) -> None:
        """Delete a child, unless that was done lately; one that is gone, or that is somebody else's, is as good."""

    async def tell(self, note: Note, about: Body) -> None:
        """Write an Event about an object, unless the same was told a moment ago."""

    def trust(self, uid: str, manifests: Iterable[Manifest], *, likely: Iterable[Manifest] = ()) -> None:
        """Believe that an object's children were applied by whoever led before, unless we know better.

        What is merely likely is read before it is applied anew.
        """

    def forget(self, uid: str) -> None:
        """Drop what is remembered of an object that is gone."""

    async def write_status(self, resource: ResourceType, body: Body, status: Manifest) -> None:
        """Replace what is said about an object."""

    async def read_pod_events(self, namespace: str, uid: str) -> list[Body]:
        """Return what was said about a pod."""

    async def read_namespace_labels(self, name: str) -> Mapping[str, str]:
        """Return a namespace's labels."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a worker's control port is, and what opens it."""

    namespace: str
    pod: str
    host: str
    token: str


class Workers(Protocol):
    """The control ports of the workers."""

    def follow(self, key: Key, addresses: Mapping[str, Address]) -> None:
        """Hear these workers of an agent, by the uid of their pod, and no others."""

    def hear(self, key: Key, uid: str, address: Address) -> None:
        """Hear one more worker of an agent."""

    def heard(self, uid: str) -> Heard | None:
        """Return the last thing that a worker said."""

    def problem(self, uid: str) -> str | None:
        """Say what is wrong with what a worker says, if anything."""

    async def cordon(self, uid: str) -> None:
        """Tell a worker to take no more calls."""

    async def uncordon(self, uid: str) -> None:
        """Tell a worker to take calls again."""

    async def report_load(self, uid: str, load: float) -> None:
        """Tell a worker which load to report to LiveKit while it is open."""

    def look_for_callers(self, key: Key, look: LookForCallers, heard: Callable[[CallersAnswer], None]) -> None:
        """Have a worker dispatch an agent's callers again who found no slot, and tell what it found if it answers.

        Nobody waits for it: a LiveKit that is slow keeps no decision waiting. While one look is under way, no other
        begins.
        """


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside of a handler."""

    cache: Cache
    cluster: Cluster
    workers: Workers
    control_key: bytes
    worker_image: str
    now: Callable[[], datetime]
    own_namespace: str = "voicefleet"
    decided: Callable[[Key], None] = lambda _key: None
    """Told when a turn has decided, before it acts."""
    nodes: Nodes = field(default_factory=Nodes)
    pods_are_old: Callable[[str], bool] = lambda _namespace: False
    """Tells whether what is known of the pods of a namespace is how they were some time ago."""
    secrets_written_at: Callable[[Body], datetime | None] = lambda _pod: None
    """Tells when a Secret that a pod mounts was last written, where that may be seen."""
    pacer: Pacer = field(default_factory=Pacer)
    memories: dict[Key, AgentMemory] = field(default_factory=dict)
    pools: dict[Key, PoolMemory] = field(default_factory=dict)
    held_calls: HeldCalls = field(default_factory=HeldCalls)
    probes: Prober = field(default_factory=Prober)
    unanswered: set[str] = field(default_factory=set)
    """Pods, by uid, whose deletion was asked for without an answer: it may yet be carried out."""
