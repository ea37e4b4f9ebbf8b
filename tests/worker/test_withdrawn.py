"""What LiveKit says is over, and what is."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import AgentServer
from livekit.protocol.agent import Job, JobTermination
from livekit.protocol.models import Room

from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.desk.reports import CallReport
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.serving import server as module
from voicefleet_worker.serving.offers import Offers
from voicefleet_worker.serving.server import build_server
from voicefleet_worker.settings import Settings

HERE = ("agent-1", "room-1")
DISPATCHED = ("AD_1", "room-1")


@dataclass
class Process:
    """A process with one call."""

    dispatch: str = "AD_1"
    said_farewell: bool = False
    closed: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def running_job(self) -> Any:
        job = Job(id="AJ_1", dispatch_id=self.dispatch, room=Room(name="room-1"))
        return SimpleNamespace(job=job, accept_arguments=SimpleNamespace(identity="agent-1"))

    async def join(self) -> None:
        await self.over.wait()

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class LiveKit:
    """Knows which dispatches stand in which room, and who is where."""

    stand: set[tuple[str, str]] = field(default_factory=lambda: {DISPATCHED})
    there: set[tuple[str, str]] = field(default_factory=lambda: {HERE})

    async def is_wished_for(self, dispatch: str, room: str) -> bool:
        return (dispatch, room) in self.stand

    async def is_there(self, identity: str, room: str) -> bool:
        return (identity, room) in self.there


@pytest.fixture(autouse=True)
def _nobody_waits_for_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0001)


def server_with(settings: Settings, process: Process, livekit: LiveKit) -> AgentServer:
    desk = Desk(slots=1, identity=Identity("r1"), clock=lambda: 0.0)
    desk.answer("AJ_1")
    desk.hear(CallReport(job_id="AJ_1", farewell=process.said_farewell))
    offers = Offers(settings.plan, desk, Metrics(desk), livekit)
    server = build_server(settings, desk, offers)
    server._proc_pool = cast("Any", SimpleNamespace(get_by_job_id={"AJ_1": process}.get))
    return server


async def said_to_be_over(settings: Settings, process: Process, livekit: LiveKit, job: str = "AJ_1") -> Process:
    await server_with(settings, process, livekit)._handle_termination(JobTermination(job_id=job))
    return process


async def test_a_call_goes_on_whose_agent_is_back_in_its_room(settings: Settings) -> None:
    """LiveKit takes each that joins its room anew for gone: for the one that it replaces."""
    assert not (await said_to_be_over(settings, Process(), LiveKit())).closed


@pytest.mark.parametrize("stand", [set(), {("AD_2", "room-1")}, {("AD_1", "room-2")}])
async def test_a_call_ends_whose_dispatch_is_gone(settings: Settings, stand: set[tuple[str, str]]) -> None:
    assert (await said_to_be_over(settings, Process(), LiveKit(stand=stand))).closed


@pytest.mark.parametrize("there", [set(), {("caller", "room-1")}, {("agent-1", "room-2")}])
async def test_a_process_ends_that_stays_behind_when_its_agent_has_left(
    settings: Settings, there: set[tuple[str, str]]
) -> None:
    assert (await said_to_be_over(settings, Process(), LiveKit(there=there))).closed


async def test_a_call_that_comes_to_its_end_is_left_to_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 60.0)
    process = Process()
    process.over.set()

    assert not (await said_to_be_over(settings, process, LiveKit(there=set()))).closed


async def test_a_process_that_hangs_after_its_call_said_farewell_is_closed_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if its agent seems to be in the room: nobody is to wait a minute for the slot."""
    monkeypatch.setattr(module, "_LOOK_SECONDS", 60.0)

    assert (await said_to_be_over(settings, Process(said_farewell=True), LiveKit())).closed


async def test_a_call_without_a_dispatch_cannot_be_withdrawn(settings: Settings) -> None:
    assert not (await said_to_be_over(settings, Process(dispatch=""), LiveKit(stand=set()))).closed


async def test_the_end_of_another_workers_call_is_nothing_to_us(settings: Settings) -> None:
    assert not (await said_to_be_over(settings, Process(), LiveKit(set(), set()), job="AJ_2")).closed
