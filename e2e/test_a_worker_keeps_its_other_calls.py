"""Whatever befalls one call, its worker or its keys, the other calls of the worker live on."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from livekit import api

from e2e.bench import Bench
from e2e.caller import Caller, Line
from e2e.providers import Control, Providers
from e2e.providers.ledger import fingerprint
from e2e.working import (
    Worker,
    eventually,
    exit_status,
    holders,
    metric,
    metric_is,
    on_disk,
    ready,
    replace_secret,
    run_worker,
    seat_for,
    watched,
    write_files,
)

SLOTS = 12
OFFERS = 50
# The SDK gives a process up that has not answered for a minute.
FROZEN_SECONDS = 100.0
# Two or three times what a call needs; it is looked at every five seconds.
MEMORY_LIMIT = 600
MEMORY_SECONDS = 60.0
# From the file on; how long the file takes is the kubelet's matter.
ROTATED_SECONDS = 60.0
QUESTION = "When are you open?"
ANSWER = "We are open from nine to five, Monday to Friday."
BREAKER = 'provider_breaker{provider="openai",role="Llm"}'
CLOSED, OPEN = 0, 2
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("control")]


@pytest.fixture
def worker(bench: Bench, providers: Providers, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Worker]:
    name = "keeps-" + request.node.name.replace("_", "-")[-30:].strip("-")
    arguments = write_files(tmp_path, bench, providers, name)
    agent = json.loads((tmp_path / "agent.json").read_text())
    agent["spec"]["worker"] |= {"sessionsPerWorker": SLOTS, "jobMemoryLimitMebibytes": MEMORY_LIMIT}
    (tmp_path / "agent.json").write_text(json.dumps(agent))
    with run_worker(tmp_path, [*arguments, "--data", str(tmp_path / "data")], name) as running:
        yield running


async def test_fifty_offers_at_once_fill_twelve_slots_and_no_more(worker: Worker, line: Line, tmp_path: Path) -> None:
    await ready(worker)
    url = line.url.replace("ws://", "http://")
    async with watched(worker) as states, api.LiveKitAPI(url, line.api_key, line.api_secret) as livekit:
        rooms = [f"burst-{uuid4().hex[:8]}" for _ in range(OFFERS)]
        wanted = api.RoomAgentDispatch(agent_name=worker.agent)
        await asyncio.gather(
            *(livekit.room.create_room(api.CreateRoomRequest(name=room, agents=[wanted])) for room in rooms)
        )
        await states.wait_for_sessions(SLOTS, timeout_seconds=60)
        await asyncio.sleep(5)
        at_the_height = states.seen[-1]
        await asyncio.gather(*(livekit.room.delete_room(api.DeleteRoomRequest(room=room)) for room in rooms))
        await states.wait_for_sessions(0, timeout_seconds=60)
    records = await eventually(on_disk(tmp_path), SLOTS)

    assert max(len(state.sessions) for state in states.seen) == SLOTS
    assert len(at_the_height.sessions) == SLOTS
    assert at_the_height.refused >= 1
    assert len({record["id"] for record in records}) == len(records) == SLOTS


@pytest.mark.proof
async def test_a_call_whose_process_freezes_is_given_up_and_the_other_goes_on(
    worker: Worker, line: Line, tmp_path: Path
) -> None:
    await ready(worker)
    async with watched(worker) as states, Caller(line, seat=seat_for(worker)) as lives_on:
        await lives_on.listen()
        async with Caller(line, seat=seat_for(worker)) as freezes:
            await freezes.listen()
            (process,) = holders(tmp_path, freezes.seat.room)
            os.kill(process, signal.SIGSTOP)
            await states.wait_for_sessions(1, timeout_seconds=FROZEN_SECONDS)
        turn = await lives_on.say("When are you open?")
    records = await eventually(on_disk(tmp_path), 2)

    assert turn.heard_seconds > 0.8
    assert lives_on.report().cuts == ()
    assert [(record["disposition"], record["room"]) for record in records] == [
        ("Crashed", freezes.seat.room),
        ("CallerHungUp", lives_on.seat.room),
    ]


async def test_a_call_that_takes_ever_more_memory_is_ended_and_the_other_goes_on(
    worker: Worker, control: Control, line: Line, tmp_path: Path
) -> None:
    await ready(worker)
    async with watched(worker) as states, Caller(line, seat=seat_for(worker)) as lives_on:
        await lives_on.listen()
        async with Caller(line, seat=seat_for(worker)) as grows:
            await grows.listen()
            control.break_service("cartesia", "tts", "endless")
            asking = asyncio.create_task(grows.say("When are you open?"))
            await states.wait_for_sessions(1, timeout_seconds=MEMORY_SECONDS)
            control.mend()
            asking.cancel()
        turn = await lives_on.say("When are you open?")
    records = await eventually(on_disk(tmp_path), 2)

    assert any("exceeded memory limit" in record["message"] for record in worker.records())
    assert turn.heard_seconds > 0.8
    assert lives_on.report().cuts == ()
    assert [(record["disposition"], record["room"]) for record in records] == [
        ("Crashed", grows.seat.room),
        ("CallerHungUp", lives_on.seat.room),
    ]


async def test_a_second_sigterm_cuts_nobody(worker: Worker, line: Line) -> None:
    await ready(worker)
    async with Caller(line, seat=seat_for(worker)) as caller:
        await caller.listen()
        for _ in range(2):
            worker.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(1)
        turn = await caller.say("When are you open?")
    status = await exit_status(worker)

    assert (turn.heard_seconds > 0.8, caller.report().cuts, status) == (True, (), 0)


async def test_a_rotated_key_is_the_next_calls_key_and_cuts_nobody(
    worker: Worker, providers: Providers, line: Line, tmp_path: Path
) -> None:
    control, file = Control(providers.control_url), tmp_path / "secrets/openai/api-key"
    old = file.read_text()
    await ready(worker)
    async with Caller(line, seat=seat_for(worker)) as before:
        await before.listen()
        # A client is made when it is first needed, with the key of that moment.
        await before.say("When are you open?")
        replace_secret(tmp_path, "openai", "rotated")
        async with Caller(line, seat=seat_for(worker)) as after:
            await after.listen()
            control.forget()
            answered = await after.say("When are you open?")
            keys_after = {row["key"] for row in control.requests("openai", "chat")}
            control.forget()
            still = await before.say("When are you open?")
            keys_before = {row["key"] for row in control.requests("openai", "chat")}

    assert (keys_after, keys_before) == ({fingerprint("rotated")}, {fingerprint(old)})
    assert min(answered.heard_seconds, still.heard_seconds) > 0.8
    assert (before.report().cuts, after.report().cuts) == ((), ())


async def test_a_refused_key_is_replaced_and_the_only_provider_answers_all_calls_again(
    worker: Worker, control: Control, line: Line, tmp_path: Path
) -> None:
    control.set_script([QUESTION] * 20)
    # The old one was withdrawn, so that the worker would leave its only model alone for five minutes.
    control.set_keys("openai", ["rotated"])
    await ready(worker)
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as before:
        await before.listen()
        refused = await before.say(QUESTION)
        await metric_is(worker, BREAKER, OPEN)
        replaced = time.monotonic()
        replace_secret(tmp_path, "openai", "rotated")
        await metric_is(worker, BREAKER, CLOSED, within_seconds=ROTATED_SECONDS)
        control.forget()
        async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as after:
            await after.listen()
            answered = await after.say(QUESTION, timeout_seconds=ROTATED_SECONDS)
            took_seconds = time.monotonic() - replaced
        still = await before.say(QUESTION)
    asked = {(row["key"], row["outcome"]) for row in control.requests("openai", "chat")}
    print(f"answered {took_seconds:.1f} s after the file")

    assert refused.agent_text != ANSWER
    assert (answered.agent_text, still.agent_text) == (ANSWER, ANSWER)
    assert took_seconds < ROTATED_SECONDS
    assert asked == {(fingerprint("rotated"), "ok")}
    assert (before.report().cuts, after.report().cuts) == ((), ())
    assert worker.process.poll() is None
    assert not any(key in worker.log.read_text() for key in ("rotated", "key-of-openai"))


async def test_a_key_that_is_withdrawn_in_the_middle_of_a_call_costs_it_no_turn(
    worker: Worker, control: Control, line: Line, tmp_path: Path
) -> None:
    control.set_script([QUESTION] * 20)
    await ready(worker)
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
        await caller.listen()
        first = await caller.say(QUESTION)
        replace_secret(tmp_path, "openai", "rotated")
        control.set_keys("openai", ["rotated"])
        control.forget()
        second = await caller.say(QUESTION)
    asked = [(row["key"], row["outcome"]) for row in control.requests("openai", "chat")]

    assert (first.agent_text, second.agent_text) == (ANSWER, ANSWER)
    assert asked == [(fingerprint("key-of-openai"), "unauthorized"), (fingerprint("rotated"), "ok")]
    assert caller.report().cuts == ()
    assert await metric(worker, BREAKER) == CLOSED
