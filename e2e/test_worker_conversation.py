"""A worker as the operator would start it, on a real LiveKit server, with a caller who talks to it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e.bench import Bench
from e2e.caller import Caller, Dispatch, Line
from e2e.caller.line import Seat
from e2e.caller.report import EndReason
from e2e.providers import Control, Providers, start_providers
from voicefleet.wire import WorkerState

TOKEN = "control-token"
# Five, where nothing else runs; many times that beside other tests.
READY_SECONDS = 150.0
EXIT_SECONDS = 40.0
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def providers() -> Iterator[Providers]:
    with start_providers() as running:
        yield running


@pytest.fixture(autouse=True)
def _well_behaved_providers(providers: Providers) -> None:
    Control(providers.control_url).reset()


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
def run_worker(folder: Path, arguments: list[str], name: str) -> Iterator[Worker]:
    log = folder / "worker.log"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LIVEKIT_", "LOG_LEVEL"))}
    command = [str(Path(sys.executable).with_name("voicefleet-worker")), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
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


@pytest.fixture
def worker(bench: Bench, providers: Providers, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Worker]:
    name = "desk-" + request.node.name.replace("_", "-")[-30:].strip("-")
    with run_worker(tmp_path, write_files(tmp_path, bench, providers, name), name) as running:
        yield running


@pytest.fixture
def line(bench: Bench) -> Line:
    return Line(bench.livekit.ws_url, bench.livekit.api_key, bench.livekit.api_secret)


def seat_for(worker: Worker, **variables: str) -> Seat:
    made_up = Seat.made_up(worker.agent)
    return Seat(made_up.room, made_up.identity, worker.agent, metadata=json.dumps({"variables": variables}))


async def exit_status(worker: Worker) -> int:
    return await asyncio.to_thread(worker.process.wait, EXIT_SECONDS)


async def test_a_conversation_of_three_turns(worker: Worker, line: Line) -> None:
    await ready(worker)
    async with watched(worker) as states:
        async with Caller(line, seat=seat_for(worker, name="Ada"), dispatch=Dispatch.EXPLICIT) as caller:
            greeting = await caller.listen()
            await states.wait_for_sessions(1)
            turns = [await caller.say(text) for text in ("When are you open?", "I have a toothache.", "Goodbye.")]
        await states.wait_for_sessions(0)
    report = caller.report()
    print(report.as_text())

    assert greeting.agent_text == "Hello Ada, this is Riverside Dental. How can I help you?"
    assert greeting.heard_seconds > 2
    assert all(turn.heard_seconds > 0.8 and turn.response_ms is not None for turn in turns)
    assert turns[0].agent_text == "We are open from nine to five, Monday to Friday."
    assert (report.cuts, report.end_reason) == ((), EndReason.HUNG_UP)
    assert max(len(state.sessions) for state in states.seen) == 1
    assert {state.revision for state in states.seen} == {"rev-1"}
    tally = states.seen[-1].tally
    print("tally:", tally)
    assert (tally.calls_ended, tally.calls_failed, tally.hung_up_early) == (1, 0, 0)
    assert sum(tally.turn_latency) >= 2
    assert tally.provider_requests >= 2 * len(turns)
    assert tally.provider_errors == 0
    said = worker.log.read_text()
    secrets = ("key-of-", line.api_secret, TOKEN)
    assert not [word for word in (*secrets, "Riverside", "toothache", caller.seat.room) if word in said]


async def test_sigterm_lets_the_call_finish(worker: Worker, line: Line) -> None:
    await ready(worker)
    async with watched(worker) as states:
        async with Caller(line, seat=seat_for(worker)) as caller:
            await caller.listen()
            worker.process.send_signal(signal.SIGTERM)
            async with Caller(line, seat=seat_for(worker), join_timeout_seconds=4) as late:
                pass
            turn = await caller.say("Are you still there?")
            assert worker.process.poll() is None
        status = await exit_status(worker)

    print(caller.report().as_text())
    assert turn.heard_seconds > 0.8
    assert caller.report().cuts == ()
    assert late.report().end_reason is EndReason.NO_AGENT
    assert status == 0
    assert states.seen[-1].sessions == ()
    assert [state.draining for state in states.seen if len(state.sessions) == 1][-1]


async def test_a_cordoned_worker_takes_no_call_and_takes_calls_again(worker: Worker, line: Line) -> None:
    await ready(worker)
    assert await worker.ask("POST", "/v1/cordon") == 200
    async with Caller(line, seat=seat_for(worker), join_timeout_seconds=4) as refused:
        pass
    assert await worker.ask("POST", "/v1/uncordon") == 200
    await asyncio.sleep(1)
    async with Caller(line, seat=seat_for(worker)) as welcome:
        greeting = await welcome.listen()

    assert refused.report().end_reason is EndReason.NO_AGENT
    assert greeting.heard_seconds > 1


async def test_a_worker_holds_as_many_calls_as_it_has_slots(worker: Worker, line: Line) -> None:
    """Two slots, four callers at once: two are answered, and the slots serve again."""
    await ready(worker)
    callers = [Caller(line, seat=seat_for(worker), join_timeout_seconds=8) for _ in range(4)]
    async with watched(worker) as states:
        await asyncio.gather(*(caller.join() for caller in callers))
        await asyncio.gather(*(caller.hang_up() for caller in callers))
        answered = [caller for caller in callers if caller.agent_identity]
        await states.wait_for_sessions(0)
        await asyncio.sleep(0.5)
        async with Caller(line, seat=seat_for(worker), join_timeout_seconds=8) as again:
            pass

    assert len(answered) == 2
    assert max(len(state.sessions) for state in states.seen) == 2
    assert again.agent_identity
