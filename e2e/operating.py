"""An operator as a process of its own, with the rights of the chart and nothing else; and workers that it can hear."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.fake_workers import FakeWorker
from e2e.kinds import install_crds
from e2e.processes import COMPILED
from voicefleet.manifests.pod import CONTROL_VOLUME

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "voicefleet"
SERVICE_ACCOUNT = "voicefleet"
WORKER_IMAGE = "worker:e2e"


class OperatorProcess:
    """One operator's container; to start it again is what a kubelet does in the same pod after a crash."""

    def __init__(
        self,
        bench: Bench,
        namespace: str,
        *,
        log: Path,
        works_in: tuple[str, ...] = (),
        flags: tuple[str, ...] = (),
        probes: bool = False,
    ) -> None:
        self.bench = bench
        # The samples name the real addresses of real providers.
        self._flags = flags if probes else (*flags, "--no-probes")
        self.namespace = namespace
        self.log = log
        self._scope = [f"--namespace={name}" for name in works_in] or ["--all-namespaces"]
        self.port = 0
        self._pod_uid = str(uuid.uuid4())
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it leads or stands by."""
        self._launch()
        wait_for(lambda: self.get("/readyz").startswith("ok"), "an operator that is ready")

    def run_until_it_ends(self) -> int:
        """Start one that is expected to refuse, and return its exit code."""
        process = self._launch()
        self._process = None
        return process.wait(20)

    def _launch(self) -> subprocess.Popen[bytes]:
        self.port = _free_port()
        kubeconfig = self.bench.kubeconfig_for(self.namespace, SERVICE_ACCOUNT)
        command = [sys.executable, "-m", "voicefleet_operator.main", *self._scope]
        command += ["--own-namespace", self.namespace, "--worker-image", WORKER_IMAGE, *self._flags]
        command += ["--kubeconfig", str(kubeconfig), "--http-host", "127.0.0.1", "--http-port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=log, cwd=ROOT, env=self._environment())
        return self._process

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **COMPILED, "POD_NAME": "operator", "POD_UID": self._pod_uid}

    def get(self, path: str) -> str:
        """Ask its own port; empty while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return str(answer.read().decode())
        except (OSError, urllib.error.URLError):
            return ""

    def metric(self, name: str) -> float:
        """Add up a metric over its labels."""
        lines = [line.rpartition(" ") for line in self.get("/metrics").splitlines() if line.startswith(name)]
        return sum(float(value) for _, _, value in lines)

    def leads(self) -> bool:
        """Tell whether it is the leader."""
        return self.metric("voicefleet_operator_leader") == 1

    @property
    def pid(self) -> int:
        """Return its process id."""
        assert self._process is not None
        return self._process.pid

    def ended_by_itself(self) -> int | None:
        """Return the exit code of one that nobody ended."""
        return self._process.poll() if self._process is not None else None

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Hold it still, as a starved node would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> int:
        """Let it go on, and return the exit code with which it then ends."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(signal.SIGCONT)
        return process.wait(20)

    def stop(self) -> int:
        """End it as a kubelet would, and return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def install_rights(bench: Bench, namespace: str, *values: str) -> None:
    """Install the CRDs, and from the chart everything but the Deployment: we are the pod."""
    install_crds(bench)
    sets = [f"--set={value}" for value in ("crds.install=false", *values)]
    rendered = bench.helm("template", "voicefleet", str(CHART), "-n", namespace, *sets).stdout
    wanted = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "FlowSchema")
    documents = [document for document in yaml.safe_load_all(rendered) if document and document["kind"] in wanted]
    bench.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))


@contextmanager
def confined_operator(
    bench: Bench, namespace: str, log: Path, *, probes: bool = False, watch_secrets: bool = False
) -> Iterator[OperatorProcess]:
    """Run an operator that may work in one namespace, its own."""
    more, flags = (("watchSecrets=true",), ("--watch-secrets",)) if watch_secrets else ((), ())
    install_rights(bench, namespace, f"watchNamespaces={{{namespace}}}", *more)
    process = OperatorProcess(bench, namespace, log=log, works_in=(namespace,), flags=flags, probes=probes)
    try:
        process.start()
        yield process
    finally:
        process.stop()


class Fleet:
    """What a test asks about one agent's fleet, and the workers that answer in its pods' names."""

    def __init__(self, bench: Bench, namespace: str, agent: str) -> None:
        self.bench = bench
        self.namespace = namespace
        self.agent = agent
        self.workers: dict[str, FakeWorker] = {}

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return the pods that are not leaving, by name."""
        answer = self.bench.kubectl(
            "get", "pods", "-n", self.namespace, "-l", f"voicefleet.dev/agent={self.agent}", "-o", "json"
        )
        items = json.loads(answer.stdout)["items"]
        return {pod["metadata"]["name"]: pod for pod in items if "deletionTimestamp" not in pod["metadata"]}

    def has(self, count: int) -> bool:
        """Tell whether there are so many pods, all with an address."""
        pods = self.pods()
        return len(pods) == count and all(pod["status"].get("podIP") for pod in pods.values())

    def wait_for(self, count: int) -> list[str]:
        """Wait for so many running pods and return their names."""
        wait_for(lambda: self.has(count), f"{count} pods of {self.agent}, not {sorted(self.pods())}")
        return sorted(self.pods())

    def serve(self) -> None:
        """Let each pod without a worker have one."""
        for name, pod in self.pods().items():
            if pod["status"].get("podIP") and name not in self.workers:
                self.workers[name] = FakeWorker(pod, self.token(pod))

    def status(self) -> dict[str, Any]:
        """Return the agent's status."""
        answer = self.bench.kubectl("get", "va", self.agent, "-n", self.namespace, "-o", "json")
        status: dict[str, Any] = json.loads(answer.stdout).get("status", {})
        return status

    def told(self, path: str) -> Any:  # noqa: ANN401 - any field
        """Return one field of the status by its path, and None while it is not told."""
        told: Any = self.status()
        for name in path.split("."):
            told = told.get(name) if told else None
        return told

    def says(self, kind: str) -> str:
        """Return one condition as `status reason`."""
        found = [c for c in self.told("conditions") or () if c["type"] == kind]
        return f"{found[0]['status']} {found[0]['reason']}" if found else ""

    def message(self) -> str:
        """Return the words of Ready."""
        return next((str(c["message"]) for c in self.told("conditions") or () if c["type"] == "Ready"), "")

    def patch(self, spec: dict[str, Any]) -> None:
        """Change the agent's spec."""
        body = json.dumps({"spec": spec})
        self.bench.kubectl("patch", "va", self.agent, "-n", self.namespace, "--type=merge", "-p", body)

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers.values():
            worker.close()

    def token(self, pod: dict[str, Any]) -> str:
        """Return the token of a pod's control port."""
        return control_token_of(self.bench, pod)


def control_secret(pod: dict[str, Any]) -> str:
    """Return the Secret in which a pod finds the token of its control port."""
    (name,) = [each["secret"]["secretName"] for each in pod["spec"]["volumes"] if each["name"] == CONTROL_VOLUME]
    return str(name)


def control_token_of(bench: Bench, pod: dict[str, Any]) -> str:
    """Return the token of a pod's control port."""
    path = "-o=jsonpath={.data.token}"
    secret = bench.kubectl("get", "secret", control_secret(pod), "-n", pod["metadata"]["namespace"], path)
    return base64.b64decode(secret.stdout).decode()


def remove_agents(bench: Bench, namespace: str) -> None:
    """Delete the agents of a namespace, whose workers may not be there to say that they hold no call."""
    for name in bench.kubectl("get", "va", "-n", namespace, "-o", "name").stdout.split():
        hurry = json.dumps({"spec": {"deletionPolicy": "Now"}})
        bench.kubectl("patch", name, "-n", namespace, "--type=merge", "-p", hurry)
    bench.kubectl("delete", "va", "--all", "-n", namespace, "--timeout=30s")


@contextmanager
def fleet_of(bench: Bench, namespace: str, agent: str) -> Iterator[Fleet]:
    """Look after one agent's workers."""
    fleet = Fleet(bench, namespace, agent)
    try:
        yield fleet
    finally:
        fleet.close()


def holds_for(probe: Any, seconds: float) -> bool:  # noqa: ANN401 - any question
    """Tell whether something stays true for a while; for what must not happen there is no event to wait for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not probe():
            return False
        time.sleep(0.1)
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
