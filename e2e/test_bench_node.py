"""The bench's real node: pods are processes there, with addresses, logs, and a grace period that is kept."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from e2e.bench import Bench, NodeInfo
from e2e.bench.node import PROBE_IMAGE
from e2e.bench.oci import write_oci_archive
from e2e.bench.paths import REPOSITORY
from e2e.bench.process import processes_of
from e2e.bench.registry import sweep_dead
from e2e.bench.residue import cgroup_hierarchies
from e2e.bench.waiting import wait_for

pytestmark = pytest.mark.node

_OWNER = """
import json, sys
from e2e.bench import Bench, BenchOptions
with Bench.up(BenchOptions(node=True, livekit=False, redis=False, kwok_nodes=0)) as bench:
    bench.kubectl("apply", "-f", "-", stdin=sys.argv[1])
    bench.kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=60s")
    print(bench.dir, bench.keeper_pid, flush=True)
    sys.stdin.read()
"""


def _pod(name: str, *arguments: str, grace_seconds: int = 30, selector: dict[str, str] | None = None) -> str:
    container = {"name": "main", "image": PROBE_IMAGE, "imagePullPolicy": "Never", "args": arguments}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "containers": [container],
                "nodeSelector": {"voicefleet.dev/node": "real"} if selector is None else selector,
                "terminationGracePeriodSeconds": grace_seconds,
            },
        }
    )


def _run(bench: Bench, namespace: str, manifest: str) -> None:
    bench.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)
    name = json.loads(manifest)["metadata"]["name"]
    bench.kubectl("wait", "-n", namespace, f"pod/{name}", "--for=condition=Ready", "--timeout=60s")


def _node(bench: Bench) -> NodeInfo:
    assert bench.node is not None
    return bench.node


def _ask(bench: Bench, namespace: str, pod: str, template: str) -> str:
    return bench.kubectl("get", "pod", pod, "-n", namespace, "-o", f"jsonpath={{{template}}}").stdout


def _cgroup_processes(cgroup: str) -> list[str]:
    files = [path for root in cgroup_hierarchies() for path in (root / cgroup).rglob("cgroup.procs")]
    return [pid for path in files for pid in path.read_text().split()]


def test_a_pod_runs_and_its_log_can_be_read(real_node_bench: Bench, namespace: str) -> None:
    _run(real_node_bench, namespace, _pod("one"))

    assert real_node_bench.kubectl("logs", "one", "-n", namespace).stdout == "ready\n"


def test_a_command_runs_inside_a_pod(real_node_bench: Bench, namespace: str) -> None:
    _run(real_node_bench, namespace, _pod("one"))

    done = real_node_bench.kubectl("exec", "one", "-n", namespace, "--", "/probe", "say", "good", "day")

    assert done.stdout == "good day\n"


def test_a_pod_gets_the_time_it_needs_to_end_and_no_more(real_node_bench: Bench, namespace: str) -> None:
    _run(real_node_bench, namespace, _pod("brief", "linger", "4", grace_seconds=30))

    started = time.monotonic()
    real_node_bench.kubectl("delete", "pod", "brief", "-n", namespace, "--timeout=60s")

    # It takes 4 of its 30 seconds; the rest is the node's own dawdling.
    assert 4 <= time.monotonic() - started < 25


def test_a_pod_that_does_not_end_is_killed_after_its_grace(real_node_bench: Bench, namespace: str) -> None:
    _run(real_node_bench, namespace, _pod("stubborn", "linger", "600", grace_seconds=3))

    started = time.monotonic()
    real_node_bench.kubectl("delete", "pod", "stubborn", "-n", namespace, "--timeout=60s")

    assert 3 <= time.monotonic() - started < 25


def test_a_pod_reaches_livekit_redis_and_the_api_server(real_node_bench: Bench, namespace: str) -> None:
    _run(real_node_bench, namespace, _pod("one"))
    service = real_node_bench.kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}").stdout
    urls = (real_node_bench.livekit.ws_url, real_node_bench.redis_url, f"https://{service}:443")
    node = _node(real_node_bench)

    for url in urls:
        address = urlsplit(url).netloc.rpartition("@")[2]
        done = real_node_bench.kubectl("exec", "one", "-n", namespace, "--", "/probe", "dial", address)
        assert done.stdout == f"reached {address}\n"

    assert urlsplit(urls[0]).hostname == urlsplit(urls[1]).hostname == node.host_address


def test_the_host_reaches_a_pod_by_its_address(real_node_bench: Bench, namespace: str) -> None:
    _run(real_node_bench, namespace, _pod("one", "listen", ":7000"))
    address = _ask(real_node_bench, namespace, "one", ".status.podIP")

    def greeting() -> bytes:
        try:
            with socket.create_connection((address, 7000), timeout=2) as connection:
                return connection.recv(64)
        except ConnectionRefusedError:
            return b""

    assert wait_for(greeting, "the pod listens") == b"hello\n"


def test_a_pod_runs_an_image_that_was_imported(real_node_bench: Bench, namespace: str, tmp_path: Path) -> None:
    image = "voicefleet.dev/test/imported:1"
    write_oci_archive(tmp_path / "image.tar", image=image, program=real_node_bench.binary("probe"))

    _node(real_node_bench).import_image(tmp_path / "image.tar")

    manifest = _pod("one").replace(PROBE_IMAGE, image)
    _run(real_node_bench, namespace, manifest)
    assert real_node_bench.kubectl("logs", "one", "-n", namespace).stdout == "ready\n"


def test_a_pod_that_asks_for_no_node_lands_on_a_simulated_one(real_node_bench: Bench, namespace: str) -> None:
    _run(real_node_bench, namespace, _pod("anywhere", selector={}))

    assert _ask(real_node_bench, namespace, "anywhere", ".spec.nodeName") == "kwok-0"


def test_nothing_of_a_node_is_left_when_the_keeper_is_killed() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, _pod("one")],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert owner.stdout is not None
    with owner:
        try:
            directory, keeper_pid = owner.stdout.readline().split()
            bridge = f"vfb-{directory.rpartition('-')[2]}"
            assert _cgroup_processes(bridge), "the pod's processes are in the bench's cgroup"

            os.kill(int(keeper_pid), signal.SIGKILL)

            wait_for(lambda: not processes_of(Path(directory)), "every process of the bench ends")
            wait_for(lambda: not _cgroup_processes(bridge), "every process of its pods ends")
        finally:
            owner.kill()
    sweep_dead()
    assert not Path("/sys/class/net", bridge).exists()
    assert not any((root / bridge).exists() for root in cgroup_hierarchies())
    assert [entry.name for entry in Path(directory).iterdir()] == ["logs"]
