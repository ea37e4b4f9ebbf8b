"""The lead is kept from a loop of its own: a busy process leads on, and one that is stuck does not."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.operator.test_lease import Connection, World
from voicefleet_operator.errors import ApiError
from voicefleet_operator.lead import lead as module
from voicefleet_operator.lead import lease as lease_module
from voicefleet_operator.lead.lead import Lead, keep_apart
from voicefleet_operator.lead.lease import Lease

_PATIENCE_SECONDS = 5.0


class Wire(Connection):
    """The way to the record, which tells after how many renewals somebody wanted to know."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "first")
        self.opened_in = threading.current_thread()
        self.closed_in: threading.Thread | None = None
        self.renewals = threading.Semaphore(0)
        self.refusals = 0

    async def merge(self, path: str, body: dict[str, Any], **more: object) -> dict[str, Any]:
        lease = await super().merge(path, body, **more)
        self.renewals.release()
        return lease

    def check(self) -> None:
        try:
            super().check()
        except ApiError:
            self.refusals += 1
            raise

    async def close(self) -> None:
        self.closed_in = threading.current_thread()


class Stage:
    """A process that may be stuck, and how it ended."""

    def __init__(self) -> None:
        self.world = World()
        self.is_stuck = False
        self.exit_codes: list[int] = []
        self.wires: list[Wire] = []

    @property
    def wire(self) -> Wire:
        return self.wires[-1]

    @asynccontextmanager
    async def lead(self) -> AsyncIterator[Lead]:
        def connect() -> Wire:
            self.wires.append(Wire(self.world))
            return self.wires[-1]

        def lease_by(wire: Wire) -> Lease:
            return Lease(wire, namespace="op", name="lead", identity="first", clock=lambda: self.world.seconds)  # type: ignore[arg-type]

        async with keep_apart(connect, lease_by, is_stuck=lambda: self.is_stuck) as lead:  # type: ignore[arg-type]
            yield lead


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    monkeypatch.setattr(lease_module, "_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(lease_module, "_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(module.os, "_exit", stage.exit_codes.append)
    return stage


async def test_a_leader_whose_loop_is_held_up_renews_its_lead(stage: Stage) -> None:
    async with stage.lead() as lead:
        await lead.acquire()

        # Nothing else happens in this loop until somebody else has renewed three times.
        renewed = [stage.wire.renewals.acquire(timeout=_PATIENCE_SECONDS) for _ in range(3)]

        assert renewed == [True] * 3
        assert lead.is_valid()


async def test_a_leader_that_is_stuck_renews_no_more_and_ends(stage: Stage) -> None:
    async with stage.lead() as lead, asyncio.timeout(_PATIENCE_SECONDS):
        await lead.acquire()
        stage.is_stuck = True

        while not stage.exit_codes:
            stage.world.seconds += 1
            await asyncio.sleep(0.01)

    assert stage.exit_codes == [1]
    assert stage.world.seconds >= 10


async def test_a_process_that_cannot_renew_for_whatever_reason_ends(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Lease, "keep", fail)
    async with stage.lead() as lead, asyncio.timeout(_PATIENCE_SECONDS):
        await lead.acquire()
        while not stage.exit_codes:  # noqa: ASYNC110 - it comes from another thread
            await asyncio.sleep(0.01)

    assert stage.exit_codes == [1]


async def test_nothing_is_renewed_after_the_lead_was_given_away(stage: Stage) -> None:
    async with stage.lead() as lead:
        await lead.acquire()
        await lead.release()
        version = stage.world.version

        assert not lead.is_valid()
        assert stage.world.holder == ""

    assert stage.world.version == version
    assert stage.exit_codes == []


async def test_whoever_stops_waiting_for_the_lead_takes_it_no_more(stage: Stage) -> None:
    stage.world.write({"holderIdentity": "second"})
    async with stage.lead() as lead:
        waiting = asyncio.create_task(lead.acquire())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        stage.world.write({"holderIdentity": ""})
        await asyncio.sleep(0.01)

        assert not lead.is_valid()

    assert stage.world.holder == ""


async def test_that_the_apiserver_answers_again_is_told_where_the_process_works(stage: Stage) -> None:
    told: asyncio.Queue[threading.Thread] = asyncio.Queue()
    async with stage.lead() as lead, asyncio.timeout(_PATIENCE_SECONDS):
        await lead.acquire(lambda: told.put_nowait(threading.current_thread()))
        stage.world.cut_off = {"first"}
        while not stage.wire.refusals:  # noqa: ASYNC110 - it comes from another thread
            await asyncio.sleep(0.01)
        stage.world.cut_off = set()

        assert await told.get() is threading.current_thread()


async def test_its_connections_are_of_its_own_loop_and_end_with_it(stage: Stage) -> None:
    async with stage.lead():
        assert stage.wire.opened_in is not threading.current_thread()
        assert stage.wire.closed_in is None

    assert stage.wire.closed_in is stage.wire.opened_in
    assert not stage.wire.opened_in.is_alive()
