"""Everything about one bench that has to be decided before its first process starts."""

import secrets
from dataclasses import dataclass

from e2e.bench.options import BenchOptions, Livekit
from e2e.bench.paths import Layout
from e2e.bench.ports import Claims

LOOPBACK = "127.0.0.1"
_PORTS = (
    "etcd",
    "etcd-peer",
    "apiserver",
    "redis",
    "postgres",
    "livekit",
    "livekit-tcp",
    "livekit-udp",
    "kubelet",
)
_IDENTITIES = ("admin", "kwok", "kube-controller-manager", "kube-scheduler", "kubelet")


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """The real node's network: a bridge on the host, with the pods behind it."""

    bridge: str
    subnet: str
    """The first three numbers of the /24."""

    @property
    def host_address(self) -> str:
        return f"{self.subnet}.1"

    @property
    def pod_cidr(self) -> str:
        return f"{self.subnet}.0/24"

    @property
    def service_cidr(self) -> str:
        return f"{self._service_subnet}.0/24"

    @property
    def service_address(self) -> str:
        """The `kubernetes` service's; no other bench has it, since no other has the subnet."""
        return f"{self._service_subnet}.1"

    @property
    def _service_subnet(self) -> str:
        _, second, third = self.subnet.split(".")
        return f"10.{int(second) - 130}.{third}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Ports, secrets and addresses of one bench."""

    options: BenchOptions
    layout: Layout
    ports: dict[str, int]
    tokens: dict[str, str]
    livekit_key: str
    livekit_secret: str
    store_password: str
    kwok_pod_cidr: str
    network: NodeNetwork | None

    @property
    def host_address(self) -> str:
        """The one address by which both the host's processes and pods reach the host."""
        return self.network.host_address if self.network else LOOPBACK

    @property
    def bind_addresses(self) -> tuple[str, ...]:
        """Where servers that pods need listen."""
        return (LOOPBACK, self.network.host_address) if self.network else (LOOPBACK,)

    @property
    def api_address(self) -> str:
        return self.network.service_address if self.network else LOOPBACK

    @property
    def api_port(self) -> int:
        """A service's port is fixed; an address of its own can't collide."""
        return 443 if self.network else self.ports["apiserver"]

    @property
    def api_url(self) -> str:
        return f"https://{self.api_address}:{self.api_port}"

    @property
    def redis_url(self) -> str:
        return f"redis://:{self.store_password}@{self.host_address}:{self.ports['redis']}/0"

    @property
    def postgres_url(self) -> str:
        port = self.ports["postgres"]
        return f"postgresql://voicefleet:{self.store_password}@{self.host_address}:{port}/postgres"

    @property
    def livekit(self) -> Livekit:
        address = f"{self.host_address}:{self.ports['livekit']}"
        return Livekit(f"ws://{address}", f"http://{address}", self.livekit_key, self.livekit_secret)


def plan_bench(options: BenchOptions, layout: Layout, claims: Claims) -> Plan:
    """Claim ports and make up secrets, all of them new for every bench."""
    network = None
    if options.node:
        # The kernel allows an interface 15 characters; the directory's suffix is the bench's own.
        bridge = f"vfb-{layout.directory.name.rpartition('-')[2]}"
        network = NodeNetwork(bridge=bridge, subnet=claims.claim_pod_subnet())
    return Plan(
        options=options,
        layout=layout,
        ports={name: claims.claim_port() for name in _PORTS},
        tokens={name: secrets.token_urlsafe(24) for name in _IDENTITIES},
        livekit_key=f"API{secrets.token_hex(6)}",
        livekit_secret=secrets.token_urlsafe(36),
        store_password=secrets.token_hex(16),
        kwok_pod_cidr=claims.claim_loopback_cidr(),
        network=network,
    )
