"""Leaving comes to an end, whoever hurries whom at which moment, and no call is cut for nothing."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import pytest
from livekit.agents import AgentServer

from voicefleet.records.ends import End
from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.desk.reports import CallReport, ReportBox
from voicefleet_worker.failover.board import HealthBoard
from voicefleet_worker.grace import Limits, Orders
from voicefleet_worker.keeping.keeper import Keeper
from voicefleet_worker.records.clerk import Clerk
from voicefleet_worker.run import Parts, _leave
from voicefleet_worker.serving.joining import Joining

LIMIT_SECONDS = 600


class Server:
    """A server whose calls go on until it is closed; like the SDK's, it must not be cancelled while it closes."""

    id = "unregistered"
    active_jobs: tuple[()] = ()

    def __init__(self) -> None:
        self.emptied = asyncio.Event()
        self.closing = asyncio.Event()
        self.calls_are_over = asyncio.Event()
        self.closed = asyncio.Event()

    async def drain(self, *, timeout: int | None) -> None:  # noqa: ASYNC109 - the SDK's own
        assert timeout is None
        await self.emptied.wait()

    async def aclose(self) -> None:
        if not self.closing.is_set():
            self.closing.set()
            await self.calls_are_over.wait()
            self.closed.set()
        await self.closed.wait()


class Records:
    """A clerk who notes what it is told."""

    def __init__(self) -> None:
        self.ends: dict[str, End] = {}
        self.hurried = 0
        self.is_done = True

    def close_books(self, over: Iterable[str], end: Callable[[str], End]) -> None:
        ends = {job: end(job) for job in over}
        self.ends |= ends
        self.is_done = self.is_done and not ends

    def hurry(self) -> None:
        self.hurried += 1


@dataclass
class Line:
    """A worker with one call, and what was heard of it."""

    desk: Desk
    records: Records
    goodbyes: int = 0


async def leave(
    server: Server, orders: Orders, *, limit_seconds: int = LIMIT_SECONDS, goodbye_seconds: float = 0
) -> Line:
    """Leave with one call, whose process says a polite farewell when it goes."""
    desk = Desk(slots=1, identity=Identity("r1"), clock=lambda: 0.0)
    desk.answer("AJ_1")
    desk.mark_launched("AJ_1")
    desk.hear(CallReport(job_id="AJ_1", farewell=True))
    said: list[None] = []
    box = cast("ReportBox", SimpleNamespace(read=lambda: None))
    board = cast(
        "HealthBoard", SimpleNamespace(end=lambda _: None, say_goodbye=lambda: said.append(server.emptied.set()))
    )
    records = Records()
    parts = Parts(cast("AgentServer", server), desk, box, board, cast("Clerk", records), Joining(lambda: 0.0))
    async with asyncio.timeout(5):
        await _leave(parts, orders, Limits(limit_seconds, goodbye_seconds))
    return Line(desk, records, len(said))


async def turns(count: int = 20) -> None:
    """Let everything that can happen now happen."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_whoever_is_told_twice_ends_the_calls() -> None:
    server, orders = Server(), Orders()
    server.calls_are_over.set()
    orders.interrupt()
    orders.interrupt()

    desk = (await leave(server, orders)).desk

    assert server.closed.is_set()
    assert desk.draining
    assert (desk.next_state().tally.calls_ended, desk.next_state().tally.calls_failed) == (1, 1)


async def test_a_signal_ends_the_calls_at_the_limit() -> None:
    server, orders = Server(), Orders()
    server.calls_are_over.set()
    orders.go()

    line = await leave(server, orders, limit_seconds=0)

    assert server.closed.is_set()
    assert line.records.hurried == 1, "what is left to send has no time for long pauses"


async def test_calls_say_goodbye_at_the_limit_and_what_nobody_explains_was_cut() -> None:
    server, orders = Server(), Orders()
    server.calls_are_over.set()
    orders.go()

    line = await leave(server, orders, limit_seconds=0, goodbye_seconds=60)

    assert (line.goodbyes, line.records.ends) == (1, {"AJ_1": End.CUT})


async def test_whoever_asks_over_the_control_port_waits_for_the_last_call_however_long_it_takes() -> None:
    """Nobody is about to kill the worker, so there is nothing to be faster than."""
    server, orders = Server(), Orders()
    server.calls_are_over.set()
    orders.leave.set()
    leaving = asyncio.create_task(leave(server, orders, limit_seconds=0))
    await turns()
    assert not server.closing.is_set()

    server.emptied.set()
    tally = (await leaving).desk.next_state().tally
    assert server.closed.is_set()
    assert (tally.calls_ended, tally.calls_failed) == (1, 0)


async def test_a_signal_after_that_sets_the_limit() -> None:
    server, orders = Server(), Orders()
    server.calls_are_over.set()
    orders.leave.set()
    leaving = asyncio.create_task(leave(server, orders, limit_seconds=0))
    await turns()
    orders.go()
    await leaving

    assert server.closed.is_set()


async def test_a_drain_that_breaks_is_a_failure_and_no_end_of_calls() -> None:
    server, orders = Server(), Orders()

    async def broken(**_: object) -> None:
        raise ConnectionError

    server.drain = broken  # type: ignore[method-assign]
    orders.go()

    with pytest.raises(ConnectionError):
        await leave(server, orders)
    assert not server.closing.is_set()


@pytest.mark.parametrize("moment", ["before", "while it closes"])
async def test_hurrying_a_worker_that_has_reached_its_limit_does_not_keep_it(moment: str) -> None:
    server, orders = Server(), Orders()
    orders.go()
    if moment == "before":
        orders.interrupt()
    leaving = asyncio.create_task(leave(server, orders, limit_seconds=0))
    await server.closing.wait()
    orders.interrupt()
    await turns()
    server.calls_are_over.set()
    await leaving

    assert server.closed.is_set()


async def test_a_call_is_never_over_before_it_is_said_that_its_record_waits() -> None:
    clock = [10.0]
    desk = Desk(slots=1, identity=Identity("r1"), clock=lambda: clock[0])
    box = cast("ReportBox", SimpleNamespace(read=lambda: None))
    board, records = cast("HealthBoard", SimpleNamespace(end=lambda _: None)), Records()
    keeper = SimpleNamespace(is_done=True, expect=lambda over: setattr(keeper, "is_done", keeper.is_done and not over))
    server, clerk, joining = cast("AgentServer", Server()), cast("Clerk", records), Joining(lambda: 0.0)
    parts = Parts(server, desk, box, board, clerk, joining, cast("Keeper", keeper))
    parts.take_stock()
    assert desk.next_state().unsent_for_seconds is None

    desk.answer("AJ_1")
    desk.mark_launched("AJ_1")
    parts.take_stock()
    clock[0] += 7
    said = desk.next_state()
    assert (said.sessions, said.unsent_for_seconds) == ((), 7.0)

    heard = desk.listen()
    records.is_done = True
    parts.take_stock()
    assert desk.next_state().unsent_for_seconds == 7.0, "its recording waits, too"
    keeper.is_done = True
    parts.take_stock()
    assert desk.next_state().unsent_for_seconds is None
    assert heard.is_set(), "whoever waits for it is told at once"
