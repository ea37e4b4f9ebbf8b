"""Workers as the operator would start them, on a real LiveKit server: their files, their process, their stream."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from e2e.bench import Bench
from e2e.caller import Caller
from e2e.caller.line import Seat
from e2e.caller.report import CutKind
from e2e.processes import COMPILED
from e2e.providers import Providers
from voicefleet.wire import WorkerState

TOKEN = "control-token"
# Five, where nothing else runs; many times that beside other tests.
READY_SECONDS = 150.0
EXIT_SECONDS = 40.0
TIDY_SECONDS = 30.0
HANG_UP_SECONDS = 5.0
# Tests that break providers let breakers be open for a second.
WELL_AGAIN_SECONDS = 1.5


@dataclass
class Worker:
    """A running worker process."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    agent: str

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    async def ask(self, method: str, path: str) -> int:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession() as session, session.request(method, self.url + path, headers=headers) as got:
            return got.status


@dataclass
class States:
    """What a worker's stream has said."""

    seen: list[WorkerState] = field(default_factory=list)

    async def wait_for_sessions(self, count: int, *, timeout_seconds: float = 20) -> None:
        async with asyncio.timeout(timeout_seconds):
            while not self.seen or len(self.seen[-1].sessions) != count:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


def agent_manifest(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "voicefleet.dev/v1alpha1",
        "kind": "VoiceAgent",
        "metadata": {"name": name, "namespace": "e2e", "labels": {"voicefleet.dev/revision": "rev-1"}},
        "spec": {
            "providerPoolRef": {"name": "default"},
            "agents": [
                {
                    "name": "front-desk",
                    "instructions": "You answer the phone for {{name}}.",
                    "greeting": {"text": "Hello {{name}}, this is Riverside Dental. How can I help you?"},
                }
            ],
            "variables": {"declared": [{"name": "name", "default": "there"}]},
            # Callers of some tests hold the line and say nothing.
            "conversation": {"identification": {"discloseAi": False}, "away": {"afterSeconds": 600}},
            "worker": {"sessionsPerWorker": 2, "idleProcesses": 1, "drainGraceSeconds": 120},
        },
    }


def pool_manifest(livekit_url: str, providers: Providers) -> dict[str, Any]:
    roles = (
        ("deepgram", "Stt", providers.deepgram_listen_url),
        ("openai", "Llm", providers.openai_url),
        ("cartesia", "Tts", providers.cartesia_url),
    )
    listed = [
        {
            "name": plugin,
            "role": role,
            "plugin": plugin,
            "baseUrl": url,
            "apiKey": {"name": plugin, "key": "api-key"},
            # Two shared cores recognise speech beside everything else.
            "attempt": {"timeoutMilliseconds": 20_000},
        }
        for plugin, role, url in roles
    ]
    livekit = {"url": livekit_url, "apiKey": secret("api-key"), "apiSecret": secret("api-secret")}
    return {
        "apiVersion": "voicefleet.dev/v1alpha1",
        "kind": "ProviderPool",
        "metadata": {"name": "default"},
        "spec": {"livekit": livekit, "providers": listed},
    }


def secret_manifests(bench: Bench) -> list[dict[str, Any]]:
    """Return the Secrets that the pool names."""
    keys = {"livekit": {"api-key": bench.livekit.api_key, "api-secret": bench.livekit.api_secret}}
    keys |= {name: {"api-key": "any"} for name in ("deepgram", "openai", "cartesia")}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
        for name, data in keys.items()
    ]


def secret(key: str) -> dict[str, str]:
    return {"name": "livekit", "key": key}


def write_files(folder: Path, bench: Bench, providers: Providers, name: str) -> list[str]:
    """Mount what the operator would mount, and return the flags that point to it."""
    files = {
        "agent.json": json.dumps(agent_manifest(name)),
        "pool.json": json.dumps(pool_manifest(bench.livekit.ws_url, providers)),
        "token": TOKEN,
        "secrets/livekit/api-key": bench.livekit.api_key,
        "secrets/livekit/api-secret": bench.livekit.api_secret,
        **{f"secrets/{plugin}/api-key": f"key-of-{plugin}" for plugin in ("deepgram", "openai", "cartesia")},
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return [
        *("--spec", str(folder / "agent.json"), "--pool", str(folder / "pool.json")),
        *("--secrets", str(folder / "secrets"), "--control-token-file", str(folder / "token")),
        *("--control-host", "127.0.0.1", "--control-port", "0"),
    ]


@contextmanager
def run_worker(
    folder: Path, arguments: list[str], name: str, *, environment: Mapping[str, str] | None = None
) -> Iterator[Worker]:
    log = folder / "worker.log"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LIVEKIT_", "LOG_LEVEL"))}
    told = inherited | COMPILED | dict(environment or {})
    command = [str(Path(sys.executable).with_name("voicefleet-worker")), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=told)
    worker = Worker(process, "", log, f"e2e.{name}")
    try:
        worker.url = f"http://127.0.0.1:{control_port(worker)}"
        yield worker
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def control_port(worker: Worker) -> int:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        for record in worker.records():
            if "control_port" in record:
                return int(record["control_port"])
        assert worker.process.poll() is None, worker.log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"no control port: {worker.log.read_text()}")


async def metric(worker: Worker, name: str) -> float | None:
    async with aiohttp.ClientSession() as session, session.get(f"{worker.url}/metrics") as response:
        for line in (await response.text()).splitlines():
            if line.startswith(f"voicefleet_worker_{name}"):
                return float(line.rpartition(" ")[2])
    return None


async def metric_is(worker: Worker, name: str, value: float, *, within_seconds: float = 60) -> None:
    """Wait until it is; nobody tells."""
    async with asyncio.timeout(within_seconds):
        while await metric(worker, name) != value:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def replace_secret(folder: Path, name: str, value: str) -> None:
    replace_file(folder / "secrets" / name / "api-key", value)


def replace_file(file: Path, text: str) -> None:
    """Put another file in the place of the old one, as the kubelet does."""
    fresh = file.with_name("fresh")
    fresh.write_text(text)
    fresh.rename(file)


async def ready(worker: Worker) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while await worker.ask("GET", "/readyz") != 200:
            assert worker.process.poll() is None, worker.log.read_text()
            await asyncio.sleep(0.2)


@asynccontextmanager
async def watched(worker: Worker) -> AsyncIterator[States]:
    states = States()

    async def follow() -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{worker.url}/v1/state", headers=headers) as stream,
        ):
            async for line in stream.content:
                states.seen.append(WorkerState.model_validate_json(line))

    following = asyncio.create_task(follow())
    try:
        yield states
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def rested(worker: Worker) -> None:
    """Wait until the calls and the troubles of another test are over."""
    await ready(worker)
    async with watched(worker) as states:
        await states.wait_for_sessions(0)
    await asyncio.sleep(WELL_AGAIN_SECONDS)


async def is_hung_up_on(caller: Caller) -> bool:
    """Tell whether the room is taken away: an agent that does no more than leave lets the caller listen to nothing."""
    with suppress(TimeoutError):
        async with asyncio.timeout(HANG_UP_SECONDS):
            while CutKind.ROOM_DELETED not in {cut.kind for cut in caller.cuts}:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            return True
    return False


def seat_for(worker: Worker, **variables: str) -> Seat:
    made_up = Seat.made_up(worker.agent)
    return Seat(made_up.room, made_up.identity, worker.agent, metadata=json.dumps({"variables": variables}))


async def exit_status(worker: Worker) -> int:
    return await asyncio.to_thread(worker.process.wait, EXIT_SECONDS)


async def eventually(read: Callable[[], list[dict[str, Any]]], count: int) -> list[dict[str, Any]]:
    """Return what is read once it is so many, and wait a little for one too many."""
    async with asyncio.timeout(TIDY_SECONDS):
        while len(await asyncio.to_thread(read)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    await asyncio.sleep(1)
    return await asyncio.to_thread(read)


def on_disk(folder: Path) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:
        files = sorted((folder / "data" / "records").glob("calls-*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    return read


def holders(folder: Path, room: str = "") -> list[int]:
    """Return the processes that have the journal of a call open, or of any call."""
    ours = {str(path) for path in (folder / "data" / "journals").iterdir() if room in path.read_text()}
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdecimal() and any(str(fd.readlink()) in ours for fd in (process / "fd").iterdir()):
                found.append(int(process.name))
    return found
