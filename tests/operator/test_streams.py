"""Hearing a worker over a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from tests.operator.fakes import queue_that_knows
from tests.support.fleet import NOW, state
from voicefleet.fleet import PodRef
from voicefleet.fleet.callers import LookForCallers
from voicefleet.wire import CallersAnswer, CallersOrder
from voicefleet_operator import commands as commands_module
from voicefleet_operator import streams as streams_module
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.ports import Address
from voicefleet_operator.streams import WorkerStreams
from voicefleet_operator.workqueue import Key, WorkQueue

KEY = Key("VoiceAgent", "voice", "desk")
ADDRESS = Address("voice", "desk-rev-0", "127.0.0.1", "token")


class Worker:
    """A control port that says what it is told to."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()
        self.commands: list[str] = []
        self.callers: set[tuple[str, int]] = set()
        self.connections = 0
        self.answer = b""
        self.elsewhere = ""

    async def state(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer token":
            return web.Response(status=401)
        if self.elsewhere:
            raise web.HTTPFound(self.elsewhere)
        self.connections += 1
        response = web.StreamResponse()
        await response.prepare(request)
        while line := await self.lines.get():
            await response.write(line)
        return response

    async def command(self, request: web.Request) -> web.Response:
        self.commands.append(request.path)
        if request.transport is not None:
            self.callers.add(request.transport.get_extra_info("peername"))
        return web.Response(body=self.answer)

    def says(self, *, calls: int, **fields: object) -> None:
        self.lines.put_nowait(line(calls=calls, **fields))


def line(*, calls: int, **fields: object) -> bytes:
    return state(calls=calls, **fields).model_dump_json(by_alias=True).encode() + b"\n"


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


async def until(probe: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not probe():  # noqa: ASYNC110 - the answer comes over a socket
            await asyncio.sleep(0.01)


def calls(streams: WorkerStreams) -> int | None:
    heard = streams.heard("uid")
    return len(heard.state.sessions) if heard else None


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


async def test_a_line_that_makes_no_sense_is_passed_over(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.lines.put_nowait(b"{nonsense\n")
    worker.says(calls=3)

    await until(lambda: calls(streams) == 3)
    assert worker.connections == 1


async def test_a_worker_that_refuses_the_token_is_not_heard(worker: Worker, streams: WorkerStreams) -> None:
    worker.says(calls=1)
    streams.follow(KEY, {"uid": Address("voice", "desk-rev-0", "127.0.0.1", "wrong")})

    await streams.settle(5)

    assert calls(streams) is None
    assert streams.problem("uid") == (
        "it answers 'HTTP/1.1 401 Unauthorized' to the operator's token: its own follows from another control key"
    )


async def test_a_new_leader_waits_for_who_did_not_answer_in_time_once(
    worker: Worker, streams: WorkerStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, tries = streams._read, []

    async def slow_once(line: Any) -> None:
        tries.append(line)
        if len(tries) == 1:
            raise TimeoutError
        await read(line)

    monkeypatch.setattr(streams, "_read", slow_once)
    worker.says(calls=2)
    streams.follow(KEY, {"uid": ADDRESS})

    await streams.settle(5)

    assert (len(tries), calls(streams)) == (2, 2)


async def test_a_new_leader_does_not_wait_for_who_never_answers_in_time(
    streams: WorkerStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    async def always_slow(line: Any) -> None:
        tries.append(line)
        raise TimeoutError

    monkeypatch.setattr(streams, "_read", always_slow)
    streams.follow(KEY, {"uid": ADDRESS})

    await streams.settle(5)

    assert len(tries) == 2


async def test_a_new_leader_does_not_wait_for_who_comes_up_meanwhile(
    worker: Worker, streams: WorkerStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = streams._read

    async def only_the_first(line: Any) -> None:
        await (read(line) if line.uid == "uid" else asyncio.Event().wait())

    monkeypatch.setattr(streams, "_read", only_the_first)
    streams.follow(KEY, {"uid": ADDRESS})
    settling = asyncio.create_task(streams.settle(60))
    await asyncio.sleep(0)
    streams.hear(KEY, "came up meanwhile", ADDRESS)
    worker.says(calls=2)

    await asyncio.wait_for(settling, 5)


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


async def test_what_was_said_on_a_broken_line_proves_nothing_until_the_worker_speaks_again(
    worker: Worker, streams: WorkerStreams
) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=0, cordoned=True)
    worker.lines.put_nowait(b"")

    await until(lambda: (heard := streams.heard("uid")) and not heard.live)
    worker.says(calls=0, cordoned=True)
    await until(lambda: (heard := streams.heard("uid")) and heard.live)


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


async def test_a_worker_that_sends_us_elsewhere_is_not_followed(worker: Worker, streams: WorkerStreams) -> None:
    worker.elsewhere = "/elsewhere"
    streams.follow(KEY, {"uid": ADDRESS})

    await streams.settle(5)

    assert worker.commands == []
    assert calls(streams) is None


async def test_another_pod_at_the_same_address_is_not_believed(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=3, pod_uid="another")
    await until(lambda: worker.connections > 1)
    assert calls(streams) is None

    worker.says(calls=1, pod_uid="uid")
    await until(lambda: calls(streams) == 1)


async def test_a_line_without_end_does_not_make_us_deaf(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.lines.put_nowait(b"x" * 1_000_000)
    worker.lines.put_nowait(b"")
    await until(worker.lines.empty)
    await until(lambda: streams.problem("uid") == "it sends a line without end")
    worker.says(calls=3)

    await until(lambda: calls(streams) == 3)
    assert worker.connections > 1
    assert streams.problem("uid") is None


async def test_the_last_turns_do_not_take_our_own_end_for_silence(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=1)
    await until(lambda: calls(streams) == 1)

    await streams.aclose()
    streams.follow(KEY, {"uid": ADDRESS})
    await streams.cordon("uid")

    assert calls(streams) == 1
    assert worker.commands == []


async def test_a_worker_that_talks_nonsense_for_ever_does_not_fill_the_log(
    worker: Worker, streams: WorkerStreams, caplog: pytest.LogCaptureFixture
) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    for _ in range(50):
        worker.lines.put_nowait(b"{nonsense\n")
    worker.says(calls=3)

    await until(lambda: calls(streams) == 3)

    complaints = [record for record in caplog.records if "cannot be read" in record.message]
    assert len(complaints) == 3
    assert complaints[-1].__dict__["no_more_of_this"] is True


def test_who_hangs_up_at_once_is_dialed_less_and_less_and_a_good_stream_at_once() -> None:
    pauses = [0.1]
    for _ in range(8):
        pauses.append(streams_module._next_pause(pauses[-1], lasted_seconds=0.01))

    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert streams_module._next_pause(5.0, lasted_seconds=60) == 0.1


async def test_thousands_are_not_dialed_all_at_once(streams: WorkerStreams, monkeypatch: pytest.MonkeyPatch) -> None:
    dialing: set[str] = set()
    most = 0

    async def dial(_begin: object, host: str, _port: int) -> None:
        nonlocal most
        dialing.add(host)
        most = max(most, len(dialing))
        await asyncio.sleep(0)
        dialing.discard(host)
        raise OSError

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", dial)
    streams.follow(KEY, {f"uid-{n}": Address("voice", f"desk-{n}", f"10.0.0.{n}", "token") for n in range(200)})

    await streams.settle(5)

    assert most == 64


async def test_workers_that_nobody_can_reach_keep_no_other_waiting(
    streams: WorkerStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialed = asyncio.Event()

    async def dial(_begin: object, host: str, _port: int) -> None:
        if host != "10.0.0.1":
            await asyncio.Event().wait()
        dialed.set()
        raise OSError

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", dial)
    lost = {f"uid-{n}": Address("voice", f"desk-{n}", f"10.1.0.{n}", "token") for n in range(200)}
    streams.follow(KEY, lost)
    streams.hear(Key("VoiceAgent", "voice", "other"), "uid", Address("voice", "other-0", "10.0.0.1", "token"))

    # Who waits for three times 64 that take three seconds each waits for nine.
    await asyncio.wait_for(dialed.wait(), 2.5)


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


async def test_a_worker_that_talks_without_end_is_named_in_the_log_and_dialed_again(
    worker: Worker, streams: WorkerStreams, caplog: pytest.LogCaptureFixture
) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.lines.put_nowait(line(calls=1) * 5_000)
    await until(lambda: worker.connections == 2)

    complaints = [record.__dict__ for record in caplog.records if record.message == "a worker is not understood"]
    assert [(said["pod"], said["error"]) for said in complaints] == [(ADDRESS.pod, "it sends lines without end")]
    assert calls(streams) == 1
