"""One real node: containerd and kubelet, with a bridge on the host and cgroups of their own.

Both run below `node_init` in their own PID and mount namespaces, so that one kill ends the node with all its
pods and mounts. The bridge and the cgroups are the host's; `residue` removes them.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from e2e.bench.api import Api
from e2e.bench.build import find_binary
from e2e.bench.control_plane import REAL_NODE, Credentials
from e2e.bench.oci import write_oci_archive
from e2e.bench.options import BenchError
from e2e.bench.packages import require_program
from e2e.bench.plan import NodeNetwork, Plan
from e2e.bench.process import Command
from e2e.bench.residue import Residue, cgroup_hierarchies, record_residue

PROBE_IMAGE = "voicefleet.dev/bench/probe:1"
"""On every real node: a static program that pauses, lingers, says or dials; see `parts/probe`."""
_INIT = Path(__file__).with_name("node_init.py")
_CNI_PLUGINS = "/usr/lib/cni"


def prepare_host(plan: Plan, network: NodeNetwork) -> None:
    """Make the bridge and the cgroups, after writing down that they will have to be removed."""
    record_residue(plan.layout, Residue(bridge=network.bridge, cgroup=network.bridge))
    ip = str(require_program("ip"))
    for arguments in (
        ("link", "add", "name", network.bridge, "type", "bridge"),
        ("address", "add", f"{network.host_address}/24", "dev", network.bridge),
        # The API server listens on the `kubernetes` service's own address, so pods need no proxy to find it.
        ("address", "add", f"{network.service_address}/32", "dev", network.bridge),
        ("link", "set", network.bridge, "up"),
    ):
        done = subprocess.run([ip, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    for hierarchy in cgroup_hierarchies():
        (hierarchy / network.bridge).mkdir(exist_ok=True)


def node_command(plan: Plan, credentials: Credentials, network: NodeNetwork) -> Command:
    """Write the node's configuration and give the one command that is the whole node."""
    directory = plan.layout.data / "node"
    directory.mkdir(mode=0o700)
    archive = directory / "probe.tar"
    write_oci_archive(archive, image=PROBE_IMAGE, program=find_binary("probe"))
    socket = containerd_socket(plan)
    logs = plan.layout.logs
    orders = {
        "bench": str(plan.layout.directory),
        "staging": str(directory / "hidden"),
        "socket": str(socket),
        "containerd": [
            str(require_program("containerd")),
            "--config",
            str(_write_containerd_config(directory, socket, network)),
        ],
        "containerd_log": str(logs / "containerd.log"),
        "kubelet": _kubelet_argv(plan, credentials, network, directory),
        "kubelet_log": str(logs / "kubelet.log"),
        "import": [
            str(require_program("ctr")),
            *("--address", str(socket), "--namespace", "k8s.io", "images", "import", str(archive)),
        ],
    }
    orders_file = directory / "orders.json"
    orders_file.write_text(json.dumps(orders))
    namespaces = ("--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--propagation", "private")
    init = (sys.executable, "-I", "-S", str(_INIT), str(orders_file))
    return Command("node", (str(require_program("unshare")), *namespaces, *init))


def containerd_socket(plan: Plan) -> Path:
    """Where the host finds the node's containerd."""
    return plan.layout.data / "node" / "containerd.sock"


def node_is_ready(api: Api) -> bool:
    """Tell whether the node says it is Ready, which includes its network."""
    answer = api.get(f"/api/v1/nodes/{REAL_NODE}")
    if answer.status != 200:
        return False
    conditions = answer.body["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _write_containerd_config(directory: Path, socket: Path, network: NodeNetwork) -> Path:
    cni = directory / "cni"
    cni.mkdir()
    bridge = {
        "type": "bridge",
        "bridge": network.bridge,
        "isGateway": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(directory / "addresses"),
            "ranges": [[{"subnet": network.pod_cidr, "gateway": network.host_address}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    network_list = {"cniVersion": "0.4.0", "name": "bench", "plugins": [bridge]}
    (cni / "10-bench.conflist").write_text(json.dumps(network_list))
    path = directory / "containerd.toml"
    # `restrict_oom_score_adj`: where the bench may not lower a score, runc fails with "can't get final child's
    # PID from pipe" without it.
    path.write_text(f"""\
version = 2
root = "{directory}/containerd"
state = "{directory}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PROBE_IMAGE}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{_CNI_PLUGINS}"
conf_dir = "{cni}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
""")
    return path


def _kubelet_argv(plan: Plan, credentials: Credentials, network: NodeNetwork, directory: Path) -> list[str]:
    config = directory / "kubelet.yaml"
    config.write_text(yaml.safe_dump(_kubelet_config(plan, credentials, network, directory)))
    flags = {
        "config": str(config),
        "kubeconfig": str(credentials.kubeconfigs["kubelet"]),
        "hostname-override": REAL_NODE,
        "node-ip": network.host_address,
        "node-labels": "voicefleet.dev/node=real",
        "root-dir": str(directory / "kubelet"),
        "cert-dir": str(directory / "kubelet-certs"),
    }
    return [str(find_binary("kubelet")), *(f"--{flag}={value}" for flag, value in flags.items())]


def _kubelet_config(plan: Plan, credentials: Credentials, network: NodeNetwork, directory: Path) -> dict[str, object]:
    # The host's may be a link into a directory that is hidden from the node.
    shutil.copyfile("/etc/resolv.conf", directory / "resolv.conf")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.host_address,
        "port": plan.ports["kubelet"],
        "healthzPort": 0,
        "tlsCertFile": str(credentials.kubelet_server[0]),
        "tlsPrivateKeyFile": str(credentials.kubelet_server[1]),
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(credentials.ca)}},
        "containerRuntimeEndpoint": f"unix://{containerd_socket(plan)}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{network.bridge}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "failCgroupV1": False,
        "resolvConf": str(directory / "resolv.conf"),
        "podLogsDir": str(plan.layout.logs / "pods"),
        "registerWithTaints": [{"key": "voicefleet.dev/node", "value": "real", "effect": "PreferNoSchedule"}],
        # Images can't be pulled again, and a full disk of the host is not the node's to cure by killing pods.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": dict.fromkeys(
            ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"
        ),
    }
