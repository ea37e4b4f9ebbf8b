"""The outside of a turn, and of the streams, for every test that wants them."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.operator.agent_turns import World
from tests.operator.control_port import Worker
from tests.operator.fakes import build_ports
from tests.support.fleet import NOW
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.turns.workqueue import WorkQueue
from voicefleet_operator.workers import commands as commands_module
from voicefleet_operator.workers import streams as streams_module
from voicefleet_operator.workers.streams import WorkerStreams


@pytest.fixture
def world() -> World:
    return World(*build_ports())


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    worker = Worker()
    app = web.Application()
    app.router.add_get("/v1/state", worker.state)
    app.router.add_get("/elsewhere", worker.command)
    app.router.add_post("/v1/cordon", worker.command)
    app.router.add_post("/v1/uncordon", worker.command)
    app.router.add_post("/v1/callers", worker.command)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    for module in (streams_module, commands_module):
        monkeypatch.setattr(module, "CONTROL_PORT", runner.addresses[0][1])
    yield worker
    await runner.cleanup()


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue()


@pytest.fixture
async def streams(queue: WorkQueue) -> AsyncIterator[WorkerStreams]:
    streams = WorkerStreams(queue, Metrics(), now=lambda: NOW)
    yield streams
    await streams.aclose()
