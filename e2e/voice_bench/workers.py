"""The workers that are compared: ours as the operator would start it, and the plain one as its documentation does."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.bench.options import Livekit
from e2e.bench.process import describe_log
from e2e.processes import COMPILED
from e2e.providers import Providers
from e2e.voice_bench import plain_agent, usage

GREETING = "Hello."
NAMESPACE = "bench"
_TOKEN = "control-token"
_PLUGINS = ("deepgram", "openai", "cartesia")
_IDLE_PROCESSES = 4
_READY_SECONDS = 120.0
_LEAVE_SECONDS = 10.0
_SETTLED_SECONDS = 3.0

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that takes calls."""

    name: str
    agent: str
    """The name to dispatch."""
    pid: int
    ready_seconds: float
    """From the start of its process until it took calls."""

    @property
    def megabytes(self) -> float:
        """Memory of all its processes."""
        return usage.megabytes(self.pid)

    @property
    def processes(self) -> int:
        """Number of its processes."""
        return usage.count_processes(self.pid)


@contextmanager
def run_plain(folder: Path, livekit: Livekit, providers: Providers, name: str = "plain") -> Iterator[Worker]:
    """Run the plain agent."""
    environment = {
        "LIVEKIT_URL": livekit.ws_url,
        "LIVEKIT_API_KEY": livekit.api_key,
        "LIVEKIT_API_SECRET": livekit.api_secret,
        "PLAIN_AGENT_NAME": f"{NAMESPACE}.{name}",
        "PLAIN_AGENT_GREETING": GREETING,
        "PLAIN_AGENT_URLS": json.dumps(providers.as_json()),
    }
    program = str(Path(plain_agent.__file__))
    command = [sys.executable, "-m", "livekit.agents", "start", program, "--log-format", "json"]
    with _run(command, environment, folder / f"{name}.log") as process:
        log = folder / f"{name}.log"
        took = _wait(process, log, lambda: '"registered worker"' in log.read_text())
        yield _settled(Worker(name, f"{NAMESPACE}.{name}", process.pid, took))


@contextmanager
def run_ours(folder: Path, livekit: Livekit, pool: Manifest, agent: Manifest) -> Iterator[Worker]:
    """Run our worker with what the operator would mount."""
    name = agent["metadata"]["name"]
    home = folder / name
    files = {
        "agent.json": json.dumps(agent),
        "pool.json": json.dumps(pool),
        "token": _TOKEN,
        "secrets/livekit/api-key": livekit.api_key,
        "secrets/livekit/api-secret": livekit.api_secret,
        **{f"secrets/{plugin}/api-key": "any" for plugin in _PLUGINS},
    }
    for path, content in files.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(content)
    command = [
        str(Path(sys.executable).with_name("voicefleet-worker")),
        *("--spec", str(home / "agent.json"), "--pool", str(home / "pool.json"), "--secrets", str(home / "secrets")),
        *("--control-token-file", str(home / "token"), "--control-host", "127.0.0.1", "--control-port", "0"),
    ]
    log = folder / f"{name}.log"
    with _run(command, {}, log) as process:
        took = _wait(process, log, lambda: _is_ready(log))
        yield _settled(Worker(name, f"{NAMESPACE}.{name}", process.pid, took))


def agent_manifest(
    name: str, *, conversation: Mapping[str, object] | None = None, preemptive: bool = True, slots: int = 12
) -> Manifest:
    """Describe an agent that differs from the defaults only where the measurement would suffer from them."""
    return {
        "apiVersion": "voicefleet.dev/v1alpha1",
        "kind": "VoiceAgent",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"voicefleet.dev/revision": "rev-1"}},
        "spec": {
            "providerPoolRef": {"name": "default"},
            "agents": [
                {"name": "desk", "instructions": "You answer the phone.", "greeting": {"text": GREETING}},
            ],
            "languages": [plain_agent.LANGUAGE],
            "conversation": {
                "identification": {"discloseAi": False},
                # Callers of some measurements hold the line and say nothing.
                "away": {"afterSeconds": 600},
                # Whether the turn model expects more words after an artificial voice's is chance, and two seconds.
                "turnTaking": {"maxDelayMilliseconds": 300, "preemptiveGeneration": preemptive},
                **(conversation or {}),
            },
            "worker": {"sessionsPerWorker": slots, "idleProcesses": _IDLE_PROCESSES},
        },
    }


def pool_manifest(livekit: Livekit, *instances: Providers, **settings: object) -> Manifest:
    """Describe a pool in which each provider stands once for each instance, the first one preferred."""
    offers = [offer for place, each in enumerate(instances) for offer in _offers(each, place, settings)]
    return {
        "apiVersion": "voicefleet.dev/v1alpha1",
        "kind": "ProviderPool",
        "metadata": {"name": "default"},
        "spec": {
            "livekit": {
                "url": livekit.ws_url,
                "apiKey": {"name": "livekit", "key": "api-key"},
                "apiSecret": {"name": "livekit", "key": "api-secret"},
            },
            "providers": offers,
            # Back to the first one as soon as it is well.
            "routing": {"sticky": len(instances) == 1},
        },
    }


def _offers(providers: Providers, place: int, settings: Mapping[str, object]) -> list[Manifest]:
    jobs = (
        ("deepgram", "Stt", providers.deepgram_listen_url),
        ("openai", "Llm", providers.openai_url),
        ("cartesia", "Tts", providers.cartesia_url),
    )
    return [
        {
            "name": f"{plugin}-{providers.instance}",
            "role": role,
            "plugin": plugin,
            "baseUrl": url,
            "apiKey": {"name": plugin, "key": "api-key"},
            "priority": 100 * (1 + place),
            **settings,
        }
        for plugin, role, url in jobs
    ]


@contextmanager
def _run(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "LOG_LEVEL"))}
    # Whatever the bench has of its own comes first; a worker is nobody's preference.
    command = ["nice", "-n", str(-os.nice(0)), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**inherited, **COMPILED, **environment})
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            # Its children end with it.
            process.kill()
            process.wait(_LEAVE_SECONDS)


def _wait(process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[], bool]) -> float:
    """Wait for a process that was just started, and return how many seconds it took."""
    began = time.monotonic()
    while not is_ready():
        if process.poll() is not None or time.monotonic() > began + _READY_SECONDS:
            raise RuntimeError(f"a worker did not start; {describe_log(log)}")
        time.sleep(0.1)
    return time.monotonic() - began


def _settled(worker: Worker) -> Worker:
    """Wait until no process was added for a while: those that wait for calls are started one by one."""
    since, processes = time.monotonic(), worker.processes
    deadline = since + _READY_SECONDS
    while time.monotonic() - since < _SETTLED_SECONDS and time.monotonic() < deadline:
        time.sleep(0.5)
        if worker.processes != processes:
            since, processes = time.monotonic(), worker.processes
    return worker


def _is_ready(log: Path) -> bool:
    records = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
    port = next((record["control_port"] for record in records if "control_port" in record), None)
    if port is None:
        return False
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
