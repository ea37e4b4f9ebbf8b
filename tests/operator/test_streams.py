"""Hearing a worker over a real socket."""

import asyncio

from tests.operator.control_port import ADDRESS, KEY, Worker, calls, until
from tests.operator.fakes import queue_that_knows
from tests.support.fleet import NOW
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.turns.workqueue import Key, WorkQueue
from voicefleet_operator.workers.streams import WorkerStreams


async def test_what_a_worker_says_is_known_and_its_agent_looked_at(
    worker: Worker, streams: WorkerStreams, queue: WorkQueue
) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=2)

    assert await asyncio.wait_for(queue.get(), 5) == KEY
    assert calls(streams) == 2


async def test_an_agent_whose_calls_changed_goes_before_those_of_whom_the_cluster_tells(worker: Worker) -> None:
    other = Key("VoiceAgent", "voice", "other")
    queue = queue_that_knows(KEY, other)
    streams = WorkerStreams(queue, Metrics(), now=lambda: NOW)
    queue.add(other)

    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=2)
    await until(lambda: calls(streams) == 2)

    assert queue.take() == KEY
    await streams.aclose()


async def test_a_broken_connection_is_made_anew(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=1)
    worker.lines.put_nowait(b"")
    worker.says(calls=4)

    await until(lambda: calls(streams) == 4)
    assert worker.connections == 2


async def test_a_pod_that_is_gone_is_heard_no_more(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=1)
    await until(lambda: calls(streams) == 1)

    streams.follow(KEY, {})

    assert calls(streams) is None


async def test_a_worker_is_heard_before_its_agent_has_its_turn_and_on_one_connection_only(
    worker: Worker, streams: WorkerStreams
) -> None:
    streams.hear(KEY, "uid", ADDRESS)
    worker.says(calls=1)
    await until(lambda: calls(streams) == 1)

    streams.hear(KEY, "uid", ADDRESS)
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=2)
    await until(lambda: calls(streams) == 2)

    assert worker.connections == 1
    streams.follow(KEY, {})
    assert streams.heard("uid") is None


async def test_following_one_agent_leaves_the_others_alone(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=1)
    await until(lambda: calls(streams) == 1)

    streams.follow(Key("VoiceAgent", "voice", "other"), {})

    assert calls(streams) == 1


async def test_what_was_said_on_a_broken_line_proves_nothing_until_the_worker_speaks_again(
    worker: Worker, streams: WorkerStreams
) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=0, cordoned=True)
    worker.lines.put_nowait(b"")

    await until(lambda: (heard := streams.heard("uid")) and not heard.live)
    worker.says(calls=0, cordoned=True)
    await until(lambda: (heard := streams.heard("uid")) and heard.live)


async def test_the_last_turns_do_not_take_our_own_end_for_silence(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=1)
    await until(lambda: calls(streams) == 1)

    await streams.aclose()
    streams.follow(KEY, {"uid": ADDRESS})
    await streams.cordon("uid")

    assert calls(streams) == 1
    assert worker.commands == []


async def test_what_changed_is_decided_about_and_the_wait_is_counted(worker: Worker, queue: WorkQueue) -> None:
    metrics = Metrics()
    streams = WorkerStreams(queue, metrics, now=lambda: NOW)
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=2)
    await until(lambda: calls(streams) == 2)

    streams.follow(KEY, {"uid": ADDRESS})
    metrics.delays.decided(KEY)
    await streams.aclose()

    assert metrics.registry.get_sample_value("voicefleet_operator_decision_delay_seconds_count") == 1
