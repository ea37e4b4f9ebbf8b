"""What a bench is asked for and what it offers: plain values, no processes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


class BenchError(Exception):
    """The bench can't do what was asked; the message says what a person should do about it."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Which parts a bench has.

    Pods are steered by node labels, never by hard taints, since a product's pod template may have no say in
    tolerations: `nodeSelector: {type: kwok}` picks a simulated node, `{voicefleet.dev/node: real}` the real
    one. The real node has a soft taint (PreferNoSchedule), so a pod that asks for nothing lands on a simulated
    node as long as there is one.

    A simulated pod turns Running at once, has an address of its own in 127.0.0.0/8, where a test may listen in
    its name, and is gone as soon as it is deleted, whatever its grace period.
    """

    livekit: bool = True
    redis: bool = True
    postgres: bool = False
    node: bool = False
    """One real node (containerd and kubelet) in namespaces of its own. Needs root."""
    kwok_nodes: int = 1
    """Simulated nodes; each holds 10,000 pods."""
    name: str | None = None
    """For people and for `Bench.attach`; made up when None."""
    apiserver_flags: tuple[str, ...] = ()
    """Appended, so they win over the bench's own."""
    controller_manager_flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Livekit:
    """How to reach the bench's livekit-server."""

    ws_url: str
    http_url: str
    api_key: str
    api_secret: str


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """The bench's real node."""

    name: str
    host_address: str
    """The address by which pods reach the host: LiveKit, Redis and the API server listen on it too."""
    containerd_socket: Path
    pod_cidr: str
    import_image: Callable[[Path], None]
    """Load an OCI archive, under the name it carries; use it with `imagePullPolicy: Never`."""
