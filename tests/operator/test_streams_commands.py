"""Commands to a worker, what is known of it after them, and looks for callers."""

import asyncio

import pytest

from tests.operator.control_port import ADDRESS, KEY, Worker, calls, line, until
from tests.support.fleet import NOW
from voicefleet.fleet import PodRef
from voicefleet.fleet.callers import LookForCallers
from voicefleet.wire import CallersAnswer, CallersOrder
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.turns.workqueue import WorkQueue
from voicefleet_operator.workers import streams as streams_module
from voicefleet_operator.workers.streams import WorkerStreams


async def test_a_command_reaches_the_worker(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})

    await streams.cordon("uid")

    assert worker.commands == ["/v1/cordon"]


async def test_who_does_not_lead_any_more_gives_no_commands(worker: Worker, queue: WorkQueue) -> None:
    """A process that was held up goes on where it stood, and its successor may be deleting the worker by now."""
    leads = True
    streams = WorkerStreams(queue, Metrics(), now=lambda: NOW, may_order=lambda: leads)
    streams.follow(KEY, {"uid": ADDRESS})
    await streams.cordon("uid")
    leads = False

    await streams.uncordon("uid")

    assert worker.commands == ["/v1/cordon"]
    await streams.aclose()


async def test_a_command_goes_to_whoever_has_the_address_now(worker: Worker, streams: WorkerStreams) -> None:
    """A kept connection may lead to a worker that left its address to another."""
    streams.follow(KEY, {"uid": ADDRESS})

    await streams.cordon("uid")
    await streams.uncordon("uid")

    assert len(worker.callers) == 2


async def test_a_command_to_a_dead_worker_fails_quietly(
    streams: WorkerStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "CONTROL_PORT", 1)
    streams.follow(KEY, {"uid": ADDRESS})

    await streams.cordon("uid")
    await streams.cordon("unknown")


async def test_a_worker_that_is_called_back_is_not_known_to_be_empty_any_more(
    worker: Worker, streams: WorkerStreams
) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=0, cordoned=True)
    await until(lambda: calls(streams) == 0)

    await streams.uncordon("uid")

    heard = streams.heard("uid")
    assert heard is not None
    assert not heard.live


async def test_a_line_that_was_under_way_does_not_undo_the_answer_to_a_command(
    worker: Worker, streams: WorkerStreams
) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=0, cordoned=True, sequence=5)
    await until(lambda: calls(streams) == 0)
    worker.answer = line(calls=0, sequence=7)

    await streams.uncordon("uid")
    worker.says(calls=0, cordoned=True, sequence=6)
    await until(worker.lines.empty)
    await asyncio.sleep(0.05)

    seen = streams.heard("uid")
    assert seen is not None
    assert (seen.state.cordoned, seen.live) == (False, True)


async def test_a_line_that_was_under_way_proves_nothing_about_a_worker_whose_answer_was_lost(
    worker: Worker, streams: WorkerStreams
) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=0, cordoned=True, sequence=5)
    await until(lambda: calls(streams) == 0)
    worker.answer = b"lost"

    await streams.uncordon("uid")
    worker.says(calls=0, cordoned=True, sequence=6)
    await until(lambda: (heard := streams.heard("uid")) and heard.state.sequence == 6)
    assert not (heard := streams.heard("uid")) or not heard.live

    worker.says(calls=0, sequence=7)
    await until(lambda: (heard := streams.heard("uid")) and heard.live)
    worker.says(calls=0, cordoned=True, sequence=8)
    await until(lambda: (heard := streams.heard("uid")) and heard.state.sequence == 8 and heard.live)


async def test_a_worker_that_was_never_reached_by_the_call_back_is_believed_after_a_while(
    worker: Worker, streams: WorkerStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "SILENT_AFTER_SECONDS", 0.2)
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=0, cordoned=True, sequence=5)
    await until(lambda: calls(streams) == 0)
    worker.answer = b"lost"

    await streams.uncordon("uid")
    await asyncio.sleep(0.1)
    worker.says(calls=0, cordoned=True, sequence=6)
    await asyncio.sleep(0.15)
    worker.says(calls=0, cordoned=True, sequence=7)

    await until(lambda: (heard := streams.heard("uid")) and heard.live)


LOOK = LookForCallers(PodRef("desk-rev-0", "uid", "1"), CallersOrder(agent="voice.desk", hold_seconds=10, room=2))


async def test_a_look_for_callers_tells_what_was_found(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.answer = b'{"waiting": 1, "dispatched": 2, "lost": 3}'
    found: list[CallersAnswer] = []

    streams.look_for_callers(KEY, LOOK, found.append)
    streams.look_for_callers(KEY, LOOK, found.append)
    # A look is over a moment after its answer was heard.
    await until(lambda: found and not streams._looks)

    assert found == [CallersAnswer(waiting=1, dispatched=2, lost=3)]
    assert worker.commands == ["/v1/callers"]
    streams.look_for_callers(KEY, LOOK, found.append)
    await until(lambda: len(found) == 2)


@pytest.mark.parametrize("answer", [b"", b"no json", b'{"waiting": -1}', b'{"waiting": 1e99}'])
async def test_nonsense_about_callers_is_no_answer(worker: Worker, streams: WorkerStreams, answer: bytes) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.answer = answer
    found: list[CallersAnswer] = []

    streams.look_for_callers(KEY, LOOK, found.append)
    await until(lambda: bool(worker.commands))
    await streams.aclose()

    assert not found


async def test_a_worker_that_is_gone_looks_for_nobody(streams: WorkerStreams) -> None:
    streams.look_for_callers(KEY, LOOK, pytest.fail)
    await asyncio.sleep(0)
