"""What LiveKit is told of a worker, when, and how often."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import AgentServer

from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.desk.reports import ReportBox, Reporter
from voicefleet_worker.serving import server as under_test
from voicefleet_worker.serving.joining import Joining
from voicefleet_worker.serving.server import take_stock, watch


class Server:
    """A server that notes each load that it is told to tell, instead of telling it."""

    def __init__(self, desk: Desk) -> None:
        self.id = "AW_1"
        self._connecting = False
        self.active_jobs: list[Any] = []
        self.told: list[float] = []
        self._desk = desk
        self._proc_pool = SimpleNamespace(set_target_idle_processes=lambda _: None)

    async def _refresh_worker_load(self) -> None:
        await asyncio.sleep(0)

    async def _update_worker_status(self) -> None:
        self.told.append(self._desk.load)


@pytest.fixture
def desk() -> Desk:
    return Desk(slots=2, identity=Identity("r1"), clock=lambda: 0.0)


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the watch turn only when something happens."""
    monkeypatch.setattr(under_test, "WATCH_SECONDS", 3600)


@asynccontextmanager
async def watched(desk: Desk, read: Callable[[], None] = lambda: None) -> AsyncIterator[Server]:
    server = Server(desk)
    box = cast("ReportBox", SimpleNamespace(read=read))
    stock = partial(take_stock, cast("AgentServer", server), desk, box, Joining(lambda: 0.0))
    watching = asyncio.create_task(watch(cast("AgentServer", server), desk, stock, idle_processes=1))
    await settle()
    yield server
    assert not watching.done(), "nothing that fails ends the watch, and calls with it"
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def settle() -> None:
    """Let everything happen that needs no time."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("rounds")
async def test_a_load_that_is_asked_for_is_told_at_once_and_once(desk: Desk) -> None:
    async with watched(desk) as server:
        server.told.clear()
        desk.ask_load(-1000.0)
        await settle()
        assert server.told == [-1000.0]

        desk.ask_load(-1000.0)
        # The wire has not so many digits.
        desk.ask_load(-1000.0000001)
        await settle()
        assert server.told == [-1000.0]

        desk.ask_load(-500.0)
        await settle()
        assert server.told == [-1000.0, -500.0]


@pytest.mark.usefixtures("rounds")
async def test_closing_and_opening_are_told_at_once_and_what_changes_nothing_is_not(desk: Desk) -> None:
    async with watched(desk) as server:
        server.told.clear()
        desk.cordon()
        await settle()
        assert server.told == [1.0]
        # It counts when the worker opens again, and until then there is nothing to tell.
        desk.cordon()
        desk.answer("AJ_1")
        await settle()
        assert server.told == [1.0]
        desk.uncordon()
        await settle()
        assert server.told == [1.0, -1.0]
        desk.answer("AJ_1")
        await settle()
        assert server.told == [1.0, -1.0]
        desk.answer("AJ_2")
        await settle()
        assert server.told == [1.0, -1.0, 1.0]


@pytest.mark.usefixtures("rounds")
async def test_a_server_that_comes_back_is_told_anew(desk: Desk) -> None:
    """LiveKit forgets the worker with its connection, and counts a new one as open."""
    desk.cordon()
    async with watched(desk) as server:
        assert server.told == [1.0]
        server._connecting = True
        desk.set_registered(False)
        await settle()
        assert server.told == [1.0]
        server._connecting = False
        desk.set_registered(True)
        await settle()
        assert server.told == [1.0, 1.0]


@pytest.mark.usefixtures("rounds")
async def test_nobody_is_told_while_livekit_is_away(desk: Desk) -> None:
    async with watched(desk) as server:
        server.told.clear()
        server._connecting = True
        desk.ask_load(-7.0)
        await settle()
        assert server.told == []
        assert not desk.registered


async def test_the_watch_turns_by_itself_so_that_calls_that_end_are_seen(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "WATCH_SECONDS", 0.001)
    desk.answer("AJ_1")
    desk.mark_launched("AJ_1")
    changed = desk.listen()
    async with watched(desk), asyncio.timeout(5):
        while desk.slots.used:
            await changed.wait()
            changed.clear()

    assert desk.next_state().tally.calls_ended == 1


async def test_what_nobody_expected_ends_neither_the_watch_nor_a_call(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(under_test, "WATCH_SECONDS", 0.001)
    desk.answer("AJ_1")
    desk.mark_launched("AJ_1")
    troubles, changed = [ValueError("no moment")] * 5, desk.listen()

    def read() -> None:
        if troubles:
            raise troubles.pop()

    async with watched(desk, read), asyncio.timeout(5):
        while desk.slots.used:
            await changed.wait()
            changed.clear()

    assert [record.__dict__["tries"] for record in caplog.records] == [1, 2, 4]


@pytest.mark.usefixtures("rounds")
async def test_what_could_not_be_told_is_told_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(desk) as server:
        server.told.clear()
        tell = server._update_worker_status
        monkeypatch.setattr(server, "_update_worker_status", None)
        desk.cordon()
        await settle()
        monkeypatch.setattr(server, "_update_worker_status", tell)
        desk.answer("AJ_1")
        await settle()

        assert server.told == [1.0]


async def test_a_farewell_counts_although_the_process_is_already_gone(desk: Desk, tmp_path: Path) -> None:
    box = ReportBox(tmp_path, desk.hear)
    desk.answer("AJ_1")
    desk.mark_launched("AJ_1")
    await Reporter("AJ_1", box.address).say_farewell()
    take_stock(cast("AgentServer", Server(desk)), desk, box, Joining(lambda: 0.0))
    box.close()

    assert (desk.next_state().tally.calls_ended, desk.next_state().tally.calls_failed) == (1, 0)
