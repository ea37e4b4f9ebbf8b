"""The load that a worker is told to report decides who gets the next call, on a stock LiveKit server."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
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
from e2e.caller.line import Line
from e2e.calls import HeldCall
from e2e.processes import kill_calls_of
from e2e.providers import Providers
from e2e.providers.wire import HearingMode
from e2e.working import (
    TOKEN,
    States,
    Worker,
    agent_manifest,
    ready,
    run_worker,
    watched,
    write_files,
)
from voicefleet.autoscaling.packing import GRADES
from voicefleet.names import CALLERS_PATH

pytestmark = pytest.mark.timeout(300)

NAME = "packing"
SLOTS = 24
# LiveKit asks the next worker as soon as one refuses, and once, and waits for three seconds; a call that was not
# taken by then is lost. On two cores that do much else it happens that a worker does not get to answer.
LOST_AFTER_SECONDS = 10.0
LOST_AT_MOST = 2
# Two cores that do much else take their time.
JOINED_AFTER_SECONDS = 60.0
EMPTY_AFTER_SECONDS = 60.0


@dataclass
class Fleet:
    """Workers of one agent, and who of them holds which calls."""

    workers: list[Worker]
    states: list[States]
    livekit: api.LiveKitAPI
    rooms: list[str] = field(default_factory=list)
    lost: int = 0

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
        """Ask for that many calls at once, again for those that are lost, and return how many each worker got."""
        before = self.held()
        while missing := calls - (sum(self.held()) - sum(before)):
            await self._ask_for(missing)
        return [now - then for now, then in zip(self.held(), before, strict=True)]

    async def _ask_for(self, calls: int) -> None:
        before = sum(self.held())
        asked = await asyncio.gather(*(self._dispatch() for _ in range(calls)))
        with suppress(TimeoutError):
            async with asyncio.timeout(LOST_AFTER_SECONDS):
                while sum(self.held()) < before + calls:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        taken = set(self.dispatches())
        self.rooms += [dispatch.room for dispatch in asked if dispatch.id in taken]
        self.lost += sum(dispatch.id not in taken for dispatch in asked)
        assert self.lost <= LOST_AT_MOST, f"{self.held()} held, {self.refused()} refused, {self.lost} lost"

    def dispatches(self) -> list[str]:
        return [call.dispatch for states in self.states for call in states.seen[-1].sessions]

    def refused(self) -> list[int]:
        return [states.seen[-1].refused for states in self.states]

    async def look(self, *, room: int) -> dict[str, Any]:
        """Have the first worker look for callers, as the operator would."""
        order = {"agent": f"e2e.{NAME}", "holdSeconds": 100, "room": room, "held": self.dispatches()}
        return await self.order(0, CALLERS_PATH, order)

    async def _dispatch(self) -> agent_dispatch.AgentDispatch:
        room, never = f"packing-{secrets.token_hex(4)}", agent_dispatch.JobRestartPolicy.JRP_NEVER
        asked = api.CreateAgentDispatchRequest(agent_name=f"e2e.{NAME}", room=room, restart_policy=never)
        return await self.livekit.agent_dispatch.create_dispatch(asked)

    async def wait_until_joined(self) -> None:
        """Wait until the agent of every call is in its room, and no more on its way into it."""
        await self._wait_until_in(self.rooms)

    async def _wait_until_in(self, rooms: Sequence[str]) -> None:
        async with asyncio.timeout(JOINED_AFTER_SECONDS):
            for room in rooms:
                while not await self._joined(room):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

    async def _joined(self, room: str) -> bool:
        listed = await self.livekit.room.list_participants(api.ListParticipantsRequest(room=room))
        return any(member.state == api.ParticipantInfo.State.ACTIVE for member in listed.participants)

    async def hang_up(self) -> None:
        """End every call from outside, and see to it that every slot is free again."""
        rooms, self.rooms = self.rooms, []
        for room in rooms:
            await self.livekit.room.delete_room(api.DeleteRoomRequest(room=room))
        await self.wait_until_empty()

    async def hang_up_one_on(self, number: int) -> None:
        """End calls from outside until one has ended on this worker."""
        before = self.held()
        while self.held()[number] == before[number]:
            there, room = sum(self.held()), self.rooms.pop(0)
            # Whoever is still on the way in makes the room anew, and stays.
            await self._wait_until_in([room])
            await self.livekit.room.delete_room(api.DeleteRoomRequest(room=room))
            async with asyncio.timeout(EMPTY_AFTER_SECONDS):
                while sum(self.held()) == there:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        # By then LiveKit must know.
        await asyncio.sleep(0.2)

    async def wait_until_empty(self) -> None:
        async with asyncio.timeout(EMPTY_AFTER_SECONDS):
            while any(self.held()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def mount(folder: Path, bench: Bench, providers: Providers) -> list[str]:
    """Mount an agent whose callers never come: it joins the room, and waits."""
    arguments = write_files(folder, bench, providers, NAME)
    manifest = agent_manifest(NAME)
    manifest["spec"]["worker"] |= {"sessionsPerWorker": SLOTS, "idleProcesses": 2}
    (folder / "agent.json").write_text(json.dumps(manifest))
    return arguments


@pytest.fixture(scope="module")
def hearing() -> HearingMode:
    return "script"


@pytest.fixture
def workers(
    bench: Bench, providers: Providers, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[list[Worker]]:
    folders = [tmp_path / str(number) for number in range(request.param)]
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        starting = [run_worker(folder, mount(folder, bench, providers), NAME) for folder in folders]
        running = list(pool.map(stack.enter_context, starting))
        yield running
        for worker in running:
            # Nobody waits for calls without callers.
            worker.process.kill()


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
        yield fleet


@pytest.mark.parametrize("workers", [3], indirect=True)
async def test_calls_go_where_the_loads_say(fleet: Fleet) -> None:
    preferred, second, third = range(3)
    for number, load in ((second, 0), (third, 0), (preferred, GRADES[0])):
        said = await fleet.order(number, "/v1/load", {"load": load})
        assert (said["askedLoad"], said["reportedLoad"]) == (load, load)

    packed = []
    for _ in range(4):
        packed.append(await fleet.dispatch(SLOTS // 4))
        await fleet.wait_until_joined()
    print("packed:", packed)
    assert sum(calls[preferred] for calls in packed) >= SLOTS - 2

    for _ in range(SLOTS - fleet.held()[preferred]):
        await fleet.dispatch(1)
    assert fleet.held()[preferred] == SLOTS
    assert (await fleet.dispatch(6))[preferred] == 0

    # Nobody tells it anything: it is still the first, and says itself that it has room.
    await fleet.hang_up_one_on(preferred)
    assert (await fleet.dispatch(1))[preferred] == 1

    await fleet.order(second, "/v1/cordon")
    assert await fleet.dispatch(3) == [0, 0, 3]

    # Who rests where loads below zero are ignored reports as much as it may, and is open all the same.
    await fleet.order(second, "/v1/uncordon")
    said = await fleet.order(second, "/v1/load", {"load": 0.686})
    assert said["reportedLoad"] == 0.686
    await fleet.order(third, "/v1/cordon")
    assert await fleet.dispatch(3) == [0, 3, 0]
    print("held:", fleet.held(), "refused:", fleet.refused(), "lost:", fleet.lost)


@pytest.mark.parametrize("workers", [1], indirect=True)
async def test_a_caller_who_found_no_slot_gets_the_next_one_that_comes_free(bench: Bench, fleet: Fleet) -> None:
    await fleet.dispatch(SLOTS)
    line = Line(bench.livekit.ws_url, bench.livekit.api_key, bench.livekit.api_secret)
    callers = [HeldCall(line, f"e2e.{NAME}") for _ in range(2)]
    answers = [asyncio.create_task(caller.join()) for caller in callers]
    # LiveKit asks its workers once; from then on nobody but us knows of these two.
    async with asyncio.timeout(JOINED_AFTER_SECONDS):
        while (await fleet.look(room=0))["waiting"] < len(callers):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    # Not even calls that LiveKit does not list yet are taken for waiting ones.
    assert await fleet.look(room=0) == {"waiting": 2, "dispatched": 0, "lost": 0, "more": False}

    await fleet.hang_up_one_on(0)
    # Two who look at once are as good as one: a caller gets one agent.
    looks = await asyncio.gather(fleet.look(room=1), fleet.look(room=1))
    await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED, timeout=JOINED_AFTER_SECONDS)

    assert sum(look["dispatched"] for look in looks) == 1
    assert [len(caller.agents) for caller, answer in zip(callers, answers, strict=True) if answer.done()] == [1]
    assert (await fleet.look(room=0))["waiting"] == 1
    for caller in callers:
        await caller.hang_up()


@pytest.mark.parametrize("workers", [1], indirect=True)
async def test_calls_whose_processes_die_have_failed_and_calls_that_end_have_not(fleet: Fleet) -> None:
    await fleet.dispatch(2)
    await fleet.wait_until_joined()
    await fleet.hang_up()
    ended = fleet.states[0].seen[-1].tally
    await fleet.dispatch(2)
    await fleet.wait_until_joined()
    kill_calls_of(fleet.workers[0].process.pid)
    await fleet.wait_until_empty()
    died = fleet.states[0].seen[-1].tally

    assert [(tally.calls_ended, tally.calls_failed) for tally in (ended, died)] == [(2, 0), (4, 2)]
