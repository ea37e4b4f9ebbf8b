"""A LiveKit server that takes loads below zero for zero is noticed, and its fleet is packed and shrinks all the same.

The server is the real one, with a door before it that raises what workers report. The operator knows nothing of it; it
runs as a process, and its workers as well, in the name of simulated pods.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from livekit import api
from livekit.protocol import agent_dispatch

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.caller.line import Line
from e2e.calls import HeldCall, Records, hold_calls
from e2e.calls.records import Record
from e2e.clamping import ClampingDoor, Told, clamping
from e2e.operating import Fleet, confined_operator, fleet_of, remove_agents
from e2e.pod_processes import PodProcesses
from e2e.providers import Providers
from e2e.providers.wire import HearingMode
from e2e.working import agent_manifest, pool_manifest, secret_manifests

pytestmark = pytest.mark.timeout(420)

AGENT = "clamped"
WORKERS = 3
SLOTS = 8
# So few that every worker holds calls of both kinds, or may: those without a caller cost next to nothing.
CALLERS = 5
# What LiveKit has as agents.target_load by default, less the little that leaves a worker open.
RESTING_LOAD = 0.686
FAVOURITES_SHARE = 1 / (1 + 2 * (1 - RESTING_LOAD))
# LiveKit asks for a worker once; a call that was not taken by then is lost.
LOST_AFTER_SECONDS = 10.0
START_SECONDS = 150.0
# Two calls in three miss the favourite. A dozen tell in four of five draws, 49 in 99 of 100, and this many always.
MOST_CALLS = 200
TIDY_SECONDS = 60.0
NOTICED = "LiveKit ignores loads below zero: calls are packed as far as that allows, and cost more"


@dataclass
class Trial:
    """A fleet behind the door, and the calls that were sent to it."""

    fleet: Fleet
    door: ClampingDoor
    records: Records
    livekit: api.LiveKitAPI
    rooms: dict[str, str] = field(default_factory=dict)
    """Rooms without callers, by the worker that holds their call."""

    @property
    def name(self) -> str:
        return f"{self.fleet.namespace}.{AGENT}"

    def told(self) -> list[Told]:
        """Return what the server knows of the workers, the favourite first."""
        return sorted(self.door.workers(), key=lambda told: told.asked)

    def reasons(self) -> list[str]:
        return list(self.fleet.status().get("scale", {}).get("reasons", []))

    def favourites(self) -> set[str]:
        """Return the workers with room that were asked for more calls than the others."""
        return {r.pod for r in self.with_room() if r.last and (r.last.asked_load or 0) < -1}

    def with_room(self) -> list[Record]:
        return [r for r in self.records.alive if r.is_open and r.last and len(r.now) < r.last.slots]

    def asks_in_order(self) -> bool:
        """Tell whether of the workers with room the fuller asks for more."""
        asked = [((r.last.asked_load or 0.0), -len(r.now)) for r in self.with_room() if r.last]
        return sorted(asked) == sorted(asked, key=lambda each: (each[1], each[0]))

    async def send(self) -> str:
        """Send one call without a caller, see to it that it is not lost, and return the worker that took it."""
        room = f"clamped-{secrets.token_hex(4)}"
        never = agent_dispatch.JobRestartPolicy.JRP_NEVER
        asked = api.CreateAgentDispatchRequest(agent_name=self.name, room=room, restart_policy=never)
        dispatch = (await self.livekit.agent_dispatch.create_dispatch(asked)).id
        async with asyncio.timeout(LOST_AFTER_SECONDS):
            while not (pod := self._holder(dispatch)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        self.rooms[room] = pod
        return pod

    async def hang_up(self, rooms: Sequence[str]) -> None:
        """End calls from outside, once their agents are no more on their way in, and wait until they are over."""
        held = len(self.records.held_now())
        for room in rooms:
            async with asyncio.timeout(TIDY_SECONDS):
                while not await self._joined(room):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            await self.livekit.room.delete_room(api.DeleteRoomRequest(room=room))
            del self.rooms[room]
        await self.until(lambda: len(self.records.held_now()) <= held - len(rooms), "the calls to be over")

    async def until(self, probe: Callable[[], object], what: str, within_seconds: float = TIDY_SECONDS) -> None:
        await asyncio.to_thread(wait_for, probe, what, within_seconds=within_seconds)

    def _holder(self, dispatch: str) -> str:
        for record in self.records.alive:
            if record.last and dispatch in {session.dispatch for session in record.last.sessions}:
                return record.pod
        return ""

    async def _joined(self, room: str) -> bool:
        listed = await self.livekit.room.list_participants(api.ListParticipantsRequest(room=room))
        return any(member.state == api.ParticipantInfo.State.ACTIVE for member in listed.participants)


@pytest.fixture(scope="module")
def hearing() -> HearingMode:
    return "script"


@pytest.fixture
def door(bench: Bench) -> Iterator[ClampingDoor]:
    with clamping(bench.livekit.ws_url) as door:
        yield door


@pytest.fixture
def fleet(bench: Bench, providers: Providers, door: ClampingDoor, namespace: str, tmp_path: Path) -> Iterator[Fleet]:
    """Three workers of an agent that says nothing; only their door to LiveKit is not as usual."""
    agent = agent_manifest(AGENT)
    agent["metadata"] = {"name": AGENT}
    del agent["spec"]["agents"][0]["greeting"], agent["spec"]["variables"]
    agent["spec"]["worker"] |= {"sessionsPerWorker": SLOTS}
    agent["spec"]["scaling"] = {"min": WORKERS, "max": WORKERS, "warmFloorSlots": 0}
    with confined_operator(bench, namespace, tmp_path / "operator.log"), fleet_of(bench, namespace, AGENT) as fleet:
        for manifest in (*secret_manifests(bench), pool_manifest(door.url, providers), agent):
            bench.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))
        yield fleet
        remove_agents(bench, namespace)


@pytest.fixture
async def trial(bench: Bench, fleet: Fleet, door: ClampingDoor, tmp_path: Path) -> AsyncIterator[Trial]:
    async with AsyncExitStack() as stack:
        livekit = api.LiveKitAPI(bench.livekit.http_url, bench.livekit.api_key, bench.livekit.api_secret)
        await stack.enter_async_context(livekit)
        records = Records(bench, fleet.namespace, AGENT)
        await stack.enter_async_context(PodProcesses(bench, fleet.namespace, AGENT, tmp_path).kept())
        await stack.enter_async_context(records.kept())
        trial = Trial(fleet, door, records, livekit)
        await trial.until(lambda: len(trial.with_room()) == WORKERS, "workers that take calls", START_SECONDS)
        yield trial
        await trial.hang_up(list(trial.rooms))


async def notice(trial: Trial) -> int:
    """Send calls until the operator has noticed, and return how many that took."""
    await trial.until(lambda: _in_order(trial.told()), "an order of the workers")
    assert [told.weight for told in trial.told()] == [1, 1, 1]
    assert NOTICED not in trial.reasons()
    sent = 0
    while NOTICED not in await asyncio.to_thread(trial.reasons):
        if len(trial.with_room()) < 2:
            await trial.hang_up(list(trial.rooms))
        # Of a call that comes before its worker has heard the new order, nobody knows whether it had a choice.
        await trial.until(trial.asks_in_order, "an order by calls")
        await trial.send()
        sent += 1
        assert sent < MOST_CALLS, (trial.reasons(), trial.told())
    await trial.hang_up(list(trial.rooms))
    return sent


async def test_its_fleet_is_noticed_packed_and_shrinks_without_a_lost_call(trial: Trial, line: Line) -> None:
    sent = await notice(trial)

    await trial.until(lambda: all(rests.load > 0 for rests in trial.told()[1:]), "workers that rest above zero")
    told = trial.told()
    assert [told[0].load, *(round(rests.load, 6) for rests in told[1:])] == [0, RESTING_LOAD, RESTING_LOAD]
    assert told[0].weight / sum(each.weight for each in told) == pytest.approx(FAVOURITES_SHARE)

    async with hold_calls(line, trial.name, CALLERS) as callers:
        hits = await fill(trial)
        print(f"noticed after {sent} calls; {sum(hits)} of {len(hits)} calls with a choice went to the favourite")
        assert len(trial.records.held_now()) == WORKERS * SLOTS
        await shrink(trial, callers)
    assert trial.records.tally()[1] == 0


def _in_order(told: Sequence[Told]) -> bool:
    """Tell whether each was told another load, all of them far below zero."""
    return len({each.asked for each in told}) == WORKERS and all(each.asked < -1e6 and each.is_open for each in told)


async def fill(trial: Trial) -> list[bool]:
    """Take every slot of the fleet, and return of each call that had a choice whether it went to the favourite."""
    hits = []
    while len(trial.records.held_now()) < WORKERS * SLOTS:
        favourites, choice = trial.favourites(), len(trial.with_room()) > 1
        pod = await trial.send()
        if choice:
            hits.append(pod in favourites)
    return hits


async def shrink(trial: Trial, callers: Sequence[HeldCall]) -> None:
    """Ask for one worker, as an HPA would: two keep their calls, take no more, and go when these have ended."""
    by_worker = [[room for room, pod in trial.rooms.items() if pod == each] for each in set(trial.rooms.values())]
    await trial.hang_up([room for rooms in by_worker for room in rooms[::2]])
    trial.fleet.patch({"scaling": {"mode": "External", "min": 1}, "replicas": 1})
    await trial.until(lambda: len([r for r in trial.records.alive if r.is_open]) == 1, "two workers that are cordoned")
    (stays,) = (record for record in trial.records.alive if record.is_open)
    going = [record for record in trial.records.alive if record is not stays]
    assert all(record.now for record in going)
    assert [await trial.send() for _ in range(2)] == [stays.pod] * 2
    assert all(caller.is_live for caller in callers)

    await trial.hang_up(list(trial.rooms))
    await asyncio.gather(*(caller.hang_up() for caller in callers if caller.job not in stays.now))

    await trial.until(lambda: sorted(trial.fleet.pods()) == [stays.pod], "the empty workers to go")
    assert NOTICED in trial.reasons()
    assert [caller.report().as_text() for caller in callers if caller.report().was_cut] == []
    assert all(caller.is_live for caller in callers if caller.job in stays.now)
