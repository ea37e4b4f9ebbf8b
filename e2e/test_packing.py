"""The load that a worker is told to report decides who gets the next call, on a stock LiveKit server."""

import asyncio
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit import api
from livekit.protocol import agent_dispatch

from e2e.bench import Bench
from e2e.test_worker_conversation import States, Worker, agent_manifest, ready, run_worker, watched
from voicefleet.wire import Tally

pytestmark = pytest.mark.timeout(240)

TOKEN = "control-token"
NAME = "packing"
SLOTS = 24
ROLES = (("deepgram", "Stt"), ("openai", "Llm"), ("cartesia", "Tts"))
# LiveKit asks the next worker as soon as one refuses; a call that was not taken by then is lost.
LOST_AFTER_SECONDS = 10.0
EMPTY_AFTER_SECONDS = 30.0


@dataclass
class Fleet:
    """Three workers of one agent, and who of them holds which calls."""

    workers: list[Worker]
    states: list[States]
    livekit: api.LiveKitAPI
    rooms: list[str] = field(default_factory=list)

    def held(self) -> list[int]:
        return [len(states.seen[-1].sessions) for states in self.states]

    async def order(self, number: int, path: str, body: object = None) -> dict[str, Any]:
        headers = {"Authorization": "Bearer " + TOKEN}
        url = self.workers[number].url + path
        async with aiohttp.ClientSession() as session, session.post(url, headers=headers, json=body) as response:
            assert response.status == 200, await response.text()
            answer: dict[str, Any] = await response.json()
        # By then LiveKit must know.
        await asyncio.sleep(0.2)
        return answer

    async def dispatch(self, calls: int) -> list[int]:
        """Ask for that many calls at once, see to it that none is lost, and return how many each worker got."""
        before = self.held()
        await asyncio.gather(*(self._dispatch() for _ in range(calls)))
        async with asyncio.timeout(LOST_AFTER_SECONDS):
            while sum(self.held()) < sum(before) + calls:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return [now - then for now, then in zip(self.held(), before, strict=True)]

    async def _dispatch(self) -> None:
        self.rooms.append(f"packing-{secrets.token_hex(4)}")
        asked = api.CreateAgentDispatchRequest(
            agent_name=f"e2e.{NAME}", room=self.rooms[-1], restart_policy=agent_dispatch.JobRestartPolicy.JRP_NEVER
        )
        await self.livekit.agent_dispatch.create_dispatch(asked)

    async def hang_up(self) -> None:
        """End every call, and see to it that every slot is free again."""
        rooms, self.rooms = self.rooms, []
        for room in rooms:
            # A room whose agent died closes by itself.
            with suppress(api.TwirpError):
                await self.livekit.room.delete_room(api.DeleteRoomRequest(room=room))
        await self.wait_until_empty()

    async def wait_until_empty(self) -> None:
        async with asyncio.timeout(EMPTY_AFTER_SECONDS):
            while any(self.held()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def tally(self, number: int) -> Tally:
        return self.states[number].seen[-1].tally


def mount(folder: Path, bench: Bench) -> list[str]:
    """Mount an agent whose callers never come: it joins the room, and waits."""
    manifest = agent_manifest(NAME)
    manifest["spec"]["worker"] |= {"sessionsPerWorker": SLOTS, "idleProcesses": 2}
    providers = [
        {"name": name, "role": role, "plugin": name, "baseUrl": "http://127.0.0.1:9", "apiKey": key(name)}
        for name, role in ROLES
    ]
    livekit = {"url": bench.livekit.ws_url, "apiKey": key("id"), "apiSecret": key("secret")}
    pool = {
        "apiVersion": "voicefleet.dev/v1alpha1",
        "kind": "ProviderPool",
        "metadata": {"name": "default"},
        "spec": {"livekit": livekit, "providers": providers},
    }
    keys = {"id": bench.livekit.api_key, "secret": bench.livekit.api_secret, **{name: "k" for name, _ in ROLES}}
    files = {"agent.json": json.dumps(manifest), "pool.json": json.dumps(pool), "token": TOKEN}
    for path, content in {**files, **{f"secrets/all/{name}": value for name, value in keys.items()}}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return [
        *("--spec", str(folder / "agent.json"), "--pool", str(folder / "pool.json")),
        *("--secrets", str(folder / "secrets"), "--control-token-file", str(folder / "token")),
        *("--control-host", "127.0.0.1", "--control-port", "0"),
    ]


def key(name: str) -> dict[str, str]:
    return {"name": "all", "key": name}


@pytest.fixture(scope="module")
def workers(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    folders = [tmp_path_factory.mktemp("worker") for _ in range(3)]
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        running = [run_worker(folder, mount(folder, bench), NAME) for folder in folders]
        yield list(pool.map(stack.enter_context, running))


@pytest.fixture
async def fleet(bench: Bench, workers: list[Worker]) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(ready(worker) for worker in workers))
        states = [await stack.enter_async_context(watched(worker)) for worker in workers]
        livekit = api.LiveKitAPI(bench.livekit.http_url, bench.livekit.api_key, bench.livekit.api_secret)
        await stack.enter_async_context(livekit)
        fleet = Fleet(workers, states, livekit)
        while not all(states.seen for states in fleet.states):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        for number in range(3):
            await fleet.order(number, "/v1/uncordon")
        yield fleet
        await fleet.hang_up()


async def test_calls_go_where_the_loads_say(fleet: Fleet) -> None:
    preferred, second, third = range(3)
    for number, load in ((second, 0), (third, 0), (preferred, -1000)):
        said = await fleet.order(number, "/v1/load", {"load": load})
        assert (said["askedLoad"], said["reportedLoad"]) == (load, load or -1e-6)

    packed = [await fleet.dispatch(SLOTS // 4) for _ in range(4)]
    print("packed:", packed)
    assert sum(calls[preferred] for calls in packed) >= SLOTS - 2

    for _ in range(SLOTS - fleet.held()[preferred]):
        await fleet.dispatch(1)
    assert fleet.held()[preferred] == SLOTS
    assert (await fleet.dispatch(6))[preferred] == 0

    await fleet.order(second, "/v1/cordon")
    assert await fleet.dispatch(3) == [0, 0, 3]

    await fleet.order(second, "/v1/uncordon")
    await fleet.order(third, "/v1/cordon")
    assert await fleet.dispatch(3) == [0, 3, 0]
    print("held:", fleet.held(), "refused:", [states.seen[-1].refused for states in fleet.states])


async def test_calls_whose_processes_die_have_failed_and_calls_that_end_have_not(fleet: Fleet) -> None:
    before = [fleet.tally(number) for number in range(3)]
    for dying, other in ((0, 1), (1, 0)):
        await fleet.order(other, "/v1/cordon")
        await fleet.order(2, "/v1/cordon")
        assert (await fleet.dispatch(2))[dying] == 2
        await fleet.order(other, "/v1/uncordon")
    kill_job_processes(fleet.workers[0])
    await fleet.hang_up()

    grown = [
        (now.calls_ended - then.calls_ended, now.calls_failed - then.calls_failed)
        for now, then in zip(map(fleet.tally, range(3)), before, strict=True)
    ]
    assert grown == [(2, 2), (2, 0), (0, 0)]


def kill_job_processes(worker: Worker) -> None:
    """Kill what the worker's fork server has forked, as a kernel out of memory would."""
    for fork_server in children(worker.process.pid):
        for job_process in children(fork_server):
            os.kill(job_process, signal.SIGKILL)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
