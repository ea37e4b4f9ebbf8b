"""What LiveKit says is over, and what is."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import AgentServer
from livekit.protocol.agent import Job, JobTermination
from livekit.protocol.models import Room

from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.serving.server import Offers, build_server
from voicefleet_worker.settings import Settings


@dataclass
class Process:
    """A process with one call."""

    job: Job
    closed: bool = False

    @property
    def running_job(self) -> Any:
        return SimpleNamespace(job=self.job)

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class LiveKit:
    """Knows which dispatches stand in which room."""

    stand: set[tuple[str, str]] = field(default_factory=set)

    async def is_wished_for(self, dispatch: str, room: str) -> bool:
        return (dispatch, room) in self.stand


def server_with(settings: Settings, process: Process, livekit: LiveKit) -> AgentServer:
    desk = Desk(slots=1, identity=Identity("r1"), clock=lambda: 0.0)
    server = build_server(settings, desk, Offers(settings.plan, desk, Metrics(desk), livekit.is_wished_for))
    held = {process.job.id: process}
    server._proc_pool = cast("Any", SimpleNamespace(get_by_job_id=held.get))
    return server


def call(dispatch: str) -> Process:
    return Process(Job(id="AJ_1", dispatch_id=dispatch, room=Room(name="room-1")))


async def test_a_call_goes_on_whose_agent_livekit_took_for_gone(settings: Settings) -> None:
    """As it does with each that joins its room anew: its dispatch stands."""
    process = call("AD_1")
    server = server_with(settings, process, LiveKit({("AD_1", "room-1")}))

    await server._handle_termination(JobTermination(job_id="AJ_1"))

    assert not process.closed


@pytest.mark.parametrize("stand", [set(), {("AD_2", "room-1")}, {("AD_1", "room-2")}])
async def test_a_call_ends_whose_dispatch_is_gone(settings: Settings, stand: set[tuple[str, str]]) -> None:
    process = call("AD_1")
    server = server_with(settings, process, LiveKit(stand))

    await server._handle_termination(JobTermination(job_id="AJ_1"))

    assert process.closed


async def test_a_call_without_a_dispatch_cannot_be_withdrawn(settings: Settings) -> None:
    process = call("")

    await server_with(settings, process, LiveKit())._handle_termination(JobTermination(job_id="AJ_1"))

    assert not process.closed


async def test_the_end_of_another_workers_call_is_nothing_to_us(settings: Settings) -> None:
    process = call("AD_1")

    await server_with(settings, process, LiveKit())._handle_termination(JobTermination(job_id="AJ_2"))

    assert not process.closed
