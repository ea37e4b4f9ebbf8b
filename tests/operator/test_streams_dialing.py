"""Whom a leader dials, how often, how many at once, and for whom it waits."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.operator.control_port import ADDRESS, KEY, Worker, calls
from voicefleet_operator.ports import Address
from voicefleet_operator.turns.workqueue import Key
from voicefleet_operator.workers import streams as streams_module
from voicefleet_operator.workers.streams import WorkerStreams


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


def test_who_hangs_up_at_once_is_dialed_less_and_less_and_a_good_stream_at_once() -> None:
    pauses = [0.1]
    for _ in range(8):
        pauses.append(streams_module._next_pause(pauses[-1], lasted_seconds=0.01))

    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert streams_module._next_pause(5.0, lasted_seconds=60) == 0.1


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(0.0, [0.1, 0.2, 0.4], id="half of it at least"),
        pytest.param(0.5, [0.2, 0.4, 0.8], id="itself on average"),
        pytest.param(1.0, [0.3, 0.6, 1.2], id="half as much again at most"),
    ],
)
async def test_the_pause_before_a_worker_is_dialed_again_is_spread(
    streams: WorkerStreams, monkeypatch: pytest.MonkeyPatch, share: float, expected: list[float]
) -> None:
    """Thousands whose lines broke at the same moment would else come back at the same moment, again and again."""
    pauses, enough, sleep = list[float](), asyncio.Event(), asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == len(expected):
            enough.set()
            await asyncio.Event().wait()
        await sleep(0)

    async def hang_up(_line: Any) -> None:
        raise OSError

    monkeypatch.setattr(streams, "_read", hang_up)
    monkeypatch.setattr(streams_module, "random", SimpleNamespace(random=lambda: share))
    monkeypatch.setattr(asyncio, "sleep", note)
    streams.follow(KEY, {"uid": ADDRESS})
    await asyncio.wait_for(enough.wait(), 5)

    assert pauses == pytest.approx(expected)


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
