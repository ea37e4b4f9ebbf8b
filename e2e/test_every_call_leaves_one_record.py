"""Every call leaves exactly one record that tells the truth, whatever ends it and whoever is away when it does."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit import api

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.caller import Caller, Dispatch, Line, Seat
from e2e.providers import Providers
from e2e.redis_server import RedisServer, run_redis
from e2e.working import (
    Worker,
    eventually,
    exit_status,
    holders,
    is_hung_up_on,
    metric,
    on_disk,
    ready,
    run_worker,
    seat_for,
    write_files,
)

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("control")]

PRICES = {
    "deepgram": {"perAudioMinute": 0.6},
    "openai": {"perMillionInputTokens": 2000, "perMillionOutputTokens": 8000},
    "cartesia": {"perMillionCharacters": 30},
}
GRACE_SECONDS = 30


@contextmanager
def recording_worker(
    bench: Bench, providers: Providers, folder: Path, name: str, *, redis: RedisServer | None = None
) -> Iterator[Worker]:
    """Run a worker whose pool has prices, and whose folder outlives its process."""
    arguments = write_files(folder, bench, providers, name)
    pool, agent = (json.loads((folder / file).read_text()) for file in ("pool.json", "agent.json"))
    for provider in pool["spec"]["providers"]:
        provider["price"] = PRICES[provider["name"]]
    if redis:
        pool["spec"]["redis"] = {"url": redis.url, "password": {"name": "redis", "key": "password"}}
        (folder / "secrets" / "redis").mkdir(parents=True)
        (folder / "secrets" / "redis" / "password").write_text(redis.password)
    agent["spec"]["worker"]["drainGraceSeconds"] = GRACE_SECONDS
    (folder / "pool.json").write_text(json.dumps(pool))
    (folder / "agent.json").write_text(json.dumps(agent))
    with run_worker(folder, [*arguments, "--data", str(folder / "data")], name) as running:
        yield running


@contextmanager
def phone(line: Line, agent: str, room: str) -> Iterator[None]:
    """Call from a phone whose battery is empty at the end of the block."""
    words = ("--url", line.url, "--agent", agent, "--room", room, "--dispatch", "explicit", "--hold", "60")
    keys = {"LIVEKIT_API_KEY": line.api_key, "LIVEKIT_API_SECRET": line.api_secret}
    with subprocess.Popen([sys.executable, "-m", "e2e.caller", *words], env=os.environ | keys) as process:
        try:
            yield
        finally:
            process.kill()


async def test_a_call_that_went_well_is_told_as_it_was(
    bench: Bench, providers: Providers, tmp_path: Path, line: Line
) -> None:
    with recording_worker(bench, providers, tmp_path, "recorded") as worker:
        await ready(worker)
        async with Caller(line, seat=seat_for(worker, name="Ada"), dispatch=Dispatch.EXPLICIT) as caller:
            await caller.listen()
            turn = await caller.say("When are you open?")
        (record,) = await eventually(on_disk(tmp_path), 1)
        figures = await _metrics(worker)
    print(json.dumps(record, indent=1))

    assert (record["schema"], record["disposition"]) == ("voicefleet.dev/call-record/v1", "CallerHungUp")
    assert record["agent"] | {"prompt": ""} == {
        "namespace": "e2e", "name": "recorded", "revision": "rev-1", "prompt": ""
    }  # fmt: skip
    assert (record["room"], record["endedWhile"]) == (caller.seat.room, "Talking")
    assert record["beganAt"] < record["answeredAt"] < record["endedAt"]
    words = [(said["who"], said["text"]) for said in record["transcript"]]
    assert words[0] == ("Agent", "Hello Ada, this is Riverside Dental. How can I help you?")
    assert words[-1] == ("Agent", turn.agent_text)
    assert words[-2][0] == "Caller"
    assert "open" in words[-2][1].lower()
    answer = record["turns"][-1]["stages"]
    assert set(answer) >= {"decidingSeconds", "thinkingSeconds", "speakingSeconds", "totalSeconds"}
    used = {use["provider"]: use for use in record["usage"]}
    assert set(used) == set(PRICES)
    assert all(use["cost"] > 0 for use in used.values())
    assert used["cartesia"]["cost"] == pytest.approx(used["cartesia"]["usage"]["characters"] * 30 / 1e6)
    assert record["cost"] == pytest.approx(sum(use["cost"] for use in used.values()))
    assert 'voicefleet_worker_calls_total{disposition="CallerHungUp"} 1.0' in figures
    assert 'voicefleet_worker_stage_latency_seconds_count{stage="total"} 1.0' in figures
    assert "Ada" not in figures


async def test_a_call_whose_process_is_killed_has_a_record_and_the_other_call_lives_on(
    bench: Bench, providers: Providers, tmp_path: Path, line: Line
) -> None:
    with recording_worker(bench, providers, tmp_path, "killed") as worker:
        await ready(worker)
        async with Caller(line, seat=seat_for(worker)) as lives_on:
            await lives_on.listen()
            async with Caller(line, seat=seat_for(worker)) as dies:
                await dies.listen()
                (process,) = holders(tmp_path, dies.seat.room)
                os.kill(process, signal.SIGKILL)
                (crashed,) = await eventually(on_disk(tmp_path), 1)
            turn = await lives_on.say("When are you open?")
        records = await eventually(on_disk(tmp_path), 2)

    assert (crashed["disposition"], crashed["room"]) == ("Crashed", dies.seat.room)
    assert crashed["transcript"][0]["text"].startswith("Hello there")
    assert turn.heard_seconds > 0.8
    assert [record["disposition"] for record in records] == ["Crashed", "CallerHungUp"]


async def test_a_worker_that_is_killed_leaves_its_calls_to_the_next_one_in_its_pod(
    bench: Bench, providers: Providers, tmp_path: Path, line: Line
) -> None:
    with recording_worker(bench, providers, tmp_path, "restarted") as worker:
        await ready(worker)
        async with Caller(line, seat=seat_for(worker)) as caller:
            await caller.listen()
            worker.process.kill()
            await exit_status(worker)
            # In a pod they end with the container.
            for process in holders(tmp_path):
                os.kill(process, signal.SIGKILL)
    assert on_disk(tmp_path)() == []
    with recording_worker(bench, providers, tmp_path, "restarted") as worker:
        records = await eventually(on_disk(tmp_path), 1)

    assert [(record["disposition"], record["room"]) for record in records] == [("Crashed", caller.seat.room)]
    assert records[0]["endedWhile"] == "Talking", "the next one reads what the call had written down"


async def test_a_worker_that_must_go_says_goodbye_and_the_record_says_why(
    bench: Bench, providers: Providers, tmp_path: Path, line: Line
) -> None:
    with recording_worker(bench, providers, tmp_path, "drained") as worker:
        await ready(worker)
        async with Caller(line, seat=seat_for(worker)) as caller:
            await caller.listen()
            worker.process.send_signal(signal.SIGTERM)
            goodbye = await caller.listen(timeout_seconds=GRACE_SECONDS + 5)
            is_there = await caller.hold(15)
        status = await exit_status(worker)
        records = on_disk(tmp_path)()
    print(caller.report().as_text())

    assert goodbye.agent_text == "I'm sorry, this line has to close now. Please call again in a moment."
    assert goodbye.heard_seconds > 2
    assert not is_there
    assert status == 0
    assert [(record["disposition"], record["reason"]) for record in records] == [("Drained", "the worker leaves")]
    assert records[0]["endedWhile"] == "Closing"


async def test_a_room_that_somebody_deletes_is_why_the_call_ended(
    bench: Bench, providers: Providers, tmp_path: Path, line: Line
) -> None:
    """LiveKit tells of it three times, in no order: of the caller, of the agent, and that the job is to end."""
    with recording_worker(bench, providers, tmp_path, "deleted") as worker:
        await ready(worker)
        async with Caller(line, seat=seat_for(worker)) as caller:
            await caller.listen()
            async with api.LiveKitAPI(line.http_url, line.api_key, line.api_secret) as livekit:
                await livekit.room.delete_room(api.DeleteRoomRequest(room=caller.seat.room))
            assert await is_hung_up_on(caller)
        records = await eventually(on_disk(tmp_path), 1)
        early = await metric(worker, "sessions_hung_up_early_total")
    print([record["reason"] for record in records])

    assert [(record["disposition"], record["endedWhile"]) for record in records] == [("RoomClosed", "Talking")]
    assert early == 0


async def test_a_room_that_livekit_closes_was_left_by_its_caller(
    bench: Bench, providers: Providers, tmp_path: Path, line: Line
) -> None:
    """A caller whose phone died is waited for, and LiveKit closes the room meanwhile: nobody but an agent is in it."""

    def is_greeted() -> bool:
        journals = (tmp_path / "data" / "journals").glob("*")
        return any("Hello there" in journal.read_text() for journal in journals)

    with recording_worker(bench, providers, tmp_path, "swept") as worker:
        await ready(worker)
        room = Seat.made_up(worker.agent).room
        async with api.LiveKitAPI(line.http_url, line.api_key, line.api_secret) as livekit:
            await livekit.room.create_room(api.CreateRoomRequest(name=room, departure_timeout=1))
        with phone(line, worker.agent, room):
            await asyncio.to_thread(wait_for, is_greeted, "a greeting", within_seconds=60)
        # A line that is silent counts as lost after a while.
        await asyncio.to_thread(wait_for, on_disk(tmp_path), "a record of the call", within_seconds=60)
        (record,) = await eventually(on_disk(tmp_path), 1)

    assert (record["room"], record["disposition"]) == (room, "CallerHungUp")
    assert (record["reason"], record["endedWhile"]) == ("caller left", "Talking")


async def test_a_call_that_is_cut_is_recorded_as_that(
    bench: Bench, providers: Providers, tmp_path: Path, line: Line
) -> None:
    with recording_worker(bench, providers, tmp_path, "cut") as worker:
        await ready(worker)
        async with Caller(line, seat=seat_for(worker)) as caller:
            await caller.listen()
            for _ in range(2):
                worker.process.send_signal(signal.SIGINT)
                await asyncio.sleep(0.2)
            status = await exit_status(worker)
        records = on_disk(tmp_path)()

    assert status == 0
    (record,) = records
    # Calls look for the worker's word once in a second, and may have begun to say goodbye.
    assert (record["disposition"], record["endedWhile"]) in (("Cut", "Talking"), ("Drained", "Closing"))


async def test_records_wait_for_a_redis_that_is_away_and_come_once_and_in_order(
    bench: Bench, providers: Providers, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "redis").mkdir()
    with run_redis(tmp_path / "redis") as redis:
        redis.kill()
        with recording_worker(bench, providers, tmp_path, "streamed", redis=redis) as worker:
            await ready(worker)
            rooms = [await _short_call(worker, line)]
            await asyncio.sleep(3)
            assert "voicefleet_worker_records_waiting 1.0" in await _metrics(worker)
            redis.start()
            records = await eventually(in_redis(redis), 1)
            rooms.append(await _short_call(worker, line))
            records = await eventually(in_redis(redis), 2)
            redis.kill()
            rooms.append(await _short_call(worker, line))
            # It comes back without what it had.
            redis.start()
            records += await eventually(in_redis(redis), 1)

    assert [record["room"] for record in records] == rooms


async def test_a_worker_that_must_go_waits_for_a_redis_that_comes_back_within_its_grace(
    bench: Bench, providers: Providers, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "redis").mkdir()
    with run_redis(tmp_path / "redis") as redis:
        redis.kill()
        with recording_worker(bench, providers, tmp_path, "patient", redis=redis) as worker:
            await ready(worker)
            room = await _short_call(worker, line)
            worker.process.send_signal(signal.SIGTERM)
            # Half of the grace.
            await asyncio.sleep(GRACE_SECONDS / 2)
            assert worker.process.poll() is None
            assert "voicefleet_worker_records_waiting 1.0" in await _metrics(worker)
            redis.start()
            # It looks every second now, not every thirty.
            async with asyncio.timeout(6):
                status = await exit_status(worker)
            (record,) = in_redis(redis)()

    assert (status, record["room"]) == (0, room)


def in_redis(server: RedisServer) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:
        with server.client() as client:
            entries: Any = client.xrange("voicefleet:records")
        for _, fields in entries:
            assert fields["id"] == json.loads(fields["record"])["id"]
        return [json.loads(fields["record"]) for _, fields in entries]

    return read


async def _short_call(worker: Worker, line: Line) -> str:
    async with Caller(line, seat=seat_for(worker)) as caller:
        await caller.listen()
    return caller.seat.room


async def _metrics(worker: Worker) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{worker.url}/metrics") as answer:
        return await answer.text()
