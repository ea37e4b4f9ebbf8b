"""The control plane's commands: etcd, API server, controller manager, scheduler, and kwok's nodes.

RBAC and the node authorizer are on. Every component has a token of its own and the groups that Kubernetes
expects of it, so what is not permitted there is not permitted here.
"""

from dataclasses import dataclass
from pathlib import Path

from e2e.bench.build import find_binary
from e2e.bench.certs import Authority
from e2e.bench.kubeconfig import write_kubeconfig
from e2e.bench.plan import LOOPBACK, Plan
from e2e.bench.process import Command

_SERVICE_CIDR = "10.96.0.0/16"
# identity: (user, group). kwok plays kubelet for many nodes, which the node authorizer would not allow.
_USERS = {
    "admin": ("bench-admin", "system:masters"),
    "kwok": ("bench-kwok", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kubelet": ("system:node:real-0", "system:nodes"),
}
_KWOK_STAGES = Path(__file__).with_name("kwok_stages.yaml")
REAL_NODE = "real-0"
KWOK_PODS_PER_NODE = 10_000
# Their heaps are so small here that Go collects them several times a second, which made half of an apiserver's work on
# two cores; memory there is enough. Whoever is measured beside each other has the same.
_GO_ENVIRONMENT = {"GOGC": "400", "GOMEMLIMIT": "4GiB"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files that the control plane's commands point to."""

    ca: Path
    server: tuple[Path, Path]
    kubelet_server: tuple[Path, Path]
    kubelet_client: tuple[Path, Path]
    signing_key: Path
    tokens: Path
    kubeconfigs: dict[str, Path]


def make_credentials(plan: Plan) -> Credentials:
    """Sign certificates and write the token file and one kubeconfig per component."""
    authority = Authority(plan.layout.pki)
    addresses = [f"IP:{address}" for address in (*plan.bind_addresses, plan.api_address)]
    names = ["DNS:localhost", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc"]
    tokens = plan.layout.pki / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(
        "".join(f'{plan.tokens[name]},{user},{user},"{group}"\n' for name, (user, group) in _USERS.items())
    )
    kubeconfigs = {
        name: write_kubeconfig(
            plan.layout.kubeconfig if name == "admin" else plan.layout.kubeconfigs / name,
            api_url=plan.api_url,
            ca_file=authority.certificate,
            token=plan.tokens[name],
        )
        for name in _USERS
    }
    return Credentials(
        ca=authority.certificate,
        server=authority.issue("apiserver", "/CN=kube-apiserver", [*addresses, *names]),
        kubelet_server=authority.issue("kubelet", f"/CN={REAL_NODE}", [f"IP:{plan.host_address}"]),
        kubelet_client=authority.issue("kubelet-client", "/O=system:masters/CN=kube-apiserver"),
        signing_key=authority.make_signing_key("service-accounts"),
        tokens=tokens,
        kubeconfigs=kubeconfigs,
    )


def etcd_command(plan: Plan) -> Command:
    """Run etcd without fsync: a bench's data dies with it."""
    client, peer = (f"http://{LOOPBACK}:{plan.ports[name]}" for name in ("etcd", "etcd-peer"))
    flags = {
        "name": "bench",
        "data-dir": str(plan.layout.data / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"bench={peer}",
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    return _command("etcd", flags)


def apiserver_command(plan: Plan, credentials: Credentials) -> Command:
    """Run the API server on loopback or, with a real node, on the address of the `kubernetes` service."""
    flags = {
        "etcd-servers": f"http://{LOOPBACK}:{plan.ports['etcd']}",
        "bind-address": plan.api_address,
        # Nothing routes to it, and a loopback address is refused there once a second.
        "endpoint-reconciler-type": "none",
        "secure-port": str(plan.api_port),
        "tls-cert-file": str(credentials.server[0]),
        "tls-private-key-file": str(credentials.server[1]),
        "cert-dir": str(plan.layout.pki),
        "service-cluster-ip-range": plan.network.service_cidr if plan.network else _SERVICE_CIDR,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": str(credentials.signing_key),
        "service-account-signing-key-file": str(credentials.signing_key),
        "token-auth-file": str(credentials.tokens),
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "kubelet-preferred-address-types": "InternalIP",
        "kubelet-certificate-authority": str(credentials.ca),
        "kubelet-client-certificate": str(credentials.kubelet_client[0]),
        "kubelet-client-key": str(credentials.kubelet_client[1]),
    }
    return _command("kube-apiserver", flags, plan.options.apiserver_flags)


def controller_manager_command(plan: Plan, credentials: Credentials) -> Command:
    """Run the controllers with a ServiceAccount each; fast enough for thousands of pods."""
    flags = {
        **_client_flags(credentials, "kube-controller-manager"),
        "use-service-account-credentials": "true",
        "service-account-private-key-file": str(credentials.signing_key),
        "root-ca-file": str(credentials.ca),
        "kube-api-qps": "500",
        "kube-api-burst": "1000",
    }
    return _command("kube-controller-manager", flags, plan.options.controller_manager_flags)


def scheduler_command(credentials: Credentials) -> Command:
    """Run the scheduler; by itself it would bind 50 pods a second."""
    rate = {"kube-api-qps": "500", "kube-api-burst": "1000"}
    return _command("kube-scheduler", _client_flags(credentials, "kube-scheduler") | rate)


def kwok_command(plan: Plan, credentials: Credentials) -> Command:
    """Run kwok, on labelled nodes only: it would fight with a real one."""
    flags = {
        "kubeconfig": str(credentials.kubeconfigs["kwok"]),
        "manage-all-nodes": "false",
        "manage-nodes-with-label-selector": "type=kwok",
        "config": str(_KWOK_STAGES),
        "cidr": plan.kwok_pod_cidr,
        "node-lease-duration-seconds": "40",
    }
    return _command("kwok", flags)


def kwok_node(index: int) -> dict[str, object]:
    """Describe a simulated node that is large enough never to be what a test runs into."""
    name = f"kwok-{index}"
    capacity = {
        "cpu": "100k",
        "memory": "200Ti",
        "ephemeral-storage": "200Ti",
        "pods": str(KWOK_PODS_PER_NODE),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"type": "kwok", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "status": {"capacity": capacity, "allocatable": capacity},
    }


def _client_flags(credentials: Credentials, identity: str) -> dict[str, str]:
    return {
        "kubeconfig": str(credentials.kubeconfigs[identity]),
        "leader-elect": "false",
        # Nobody scrapes it, and it would need one more port and certificate.
        "secure-port": "0",
    }


def _command(name: str, flags: dict[str, str], extra: tuple[str, ...] = ()) -> Command:
    words = (f"--{flag}={value}" for flag, value in flags.items())
    return Command(name, (str(find_binary(name)), *words, *extra), environment=_GO_ENVIRONMENT)
