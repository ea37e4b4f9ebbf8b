"""A worker whose agent is one realtime model, on a real LiveKit server, with a caller who asks and interrupts."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.bench import Bench
from e2e.caller import Caller, Line
from e2e.caller.report import EndReason
from e2e.providers import Control, Providers
from e2e.providers.faults import Mode
from e2e.test_a_failing_provider_costs_a_turn import ON_DIALING, WAYS
from e2e.working import (
    Worker,
    eventually,
    on_disk,
    pool_manifest,
    ready,
    rested,
    run_worker,
    seat_for,
    watched,
    write_files,
)

SECOND = "second"
GREETING = "Hello there, this is Riverside Dental. How can I help you?"
QUESTION = "When are you open?"
ANSWER = "We are open from nine to five, Monday to Friday."
STORY = "Once upon a time there was a cat, and the cat sat on a mat. " * 4 + "That is the end."
WORD_FOR_WORD = {"match": r"nothing else: (.*)$", "on": "instructions", "reply": r"\1"}
TELLS = {"match": "(?i)story", "reply": STORY}
LOOKS_UP = {"match": "(?i)order", "tool_call": {"name": "hours"}}
ONCE_MORE = {"match": "open", "on": "tool", "tool_call": {"name": "hours"}}
TOLD = {"match": "open", "on": "tool", "reply": "I have looked it up."}
TALKER = "This is the talker speaking, what would you like?"
BACK = "Here is the desk again."
GOES_ON = {"match": "line to you was lost", "on": "instructions", "reply": "Where was I?"}
BREAKER = {"failures": 1, "failureFraction": 0, "openSeconds": 1, "maxOpenSeconds": 1}
OPEN = [{"days": ["Mon"], "start": "09:00", "end": "17:00"}]
HOURS = {"type": "BusinessHours", "businessHours": {"timeZone": "Europe/Berlin", "hours": OPEN}}
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def control(providers: Providers) -> Control:
    control = Control(providers.control_url)
    control.reset()
    control.set_rules([WORD_FOR_WORD, GOES_ON, TELLS, LOOKS_UP, TOLD])
    return control


def pool(livekit_url: str, providers: Providers) -> dict[str, Any]:
    """Return a pool of two realtime models, and of voices for those that do without their own."""
    manifest = pool_manifest(livekit_url, providers)
    *_, speaking = manifest["spec"]["providers"]
    key = {"name": "openai", "key": "api-key"}
    patience = {"timeoutMilliseconds": 8_000}
    first = {"name": "first", "role": "Realtime", "plugin": "openai", "apiKey": key, "attempt": patience}
    first |= {"baseUrl": providers.openai_url, "breaker": BREAKER}
    second = {**first, "name": SECOND, "baseUrl": providers.for_instance(SECOND).openai_url, "priority": 200}
    manifest["spec"]["providers"] = [speaking, first, second]
    return manifest


@contextmanager
def realtime_worker(folder: Path, bench: Bench, providers: Providers, name: str, **wish: object) -> Iterator[Worker]:
    arguments = write_files(folder, bench, providers, name)
    (folder / "pool.json").write_text(json.dumps(pool(bench.livekit.ws_url, providers)))
    agent = json.loads((folder / "agent.json").read_text())
    agent["spec"]["voice"] = {"realtime": wish}
    agent["spec"]["tools"] = [{"name": "hours", "description": "Tells when we are open.", "builtin": HOURS}]
    agent["spec"]["agents"][0]["tools"] = ["hours"]
    (folder / "agent.json").write_text(json.dumps(agent))
    with run_worker(folder, [*arguments, "--data", str(folder / "data")], name) as running:
        yield running


@pytest.fixture(scope="module")
def worker(bench: Bench, providers: Providers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with realtime_worker(tmp_path_factory.mktemp("worker"), bench, providers, "all-in-one") as running:
        yield running


async def speaks(control: Control, words: str) -> None:
    """Wait until the model begins to say these words."""
    async with asyncio.timeout(40):
        while not any(words in said for said in control.spoken()):  # noqa: ASYNC110 - another process speaks
            await asyncio.sleep(0.1)


async def hear(caller: Caller, words: str) -> str:
    """Listen until the agent has said these words, or nothing for long; return all that it said."""
    said = ""
    for _ in range(4):
        said += (await caller.listen(timeout_seconds=20)).agent_text
        if words in said:
            break
    return said


async def record_of(worker: Worker, room: str) -> dict[str, Any]:
    every = on_disk(worker.log.parent)
    (record,) = await eventually(lambda: [record for record in every() if record["room"] == room], 1)
    return record


async def waits_of(worker: Worker, room: str) -> list[float | None]:
    """Return what the caller in a room waited for each answer, by the call's record."""
    record = await record_of(worker, room)
    return [turn["stages"].get("totalSeconds") for turn in record["turns"]]


async def test_a_conversation_with_a_tool_and_an_interruption(worker: Worker, control: Control, line: Line) -> None:
    await rested(worker)
    async with watched(worker) as states:
        await states.wait_for_sessions(0)
        before = states.seen[-1].tally
        async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
            greeting = await caller.listen(timeout_seconds=40)
            answer = await caller.say(QUESTION, timeout_seconds=40)
            looked_up = await caller.say("Where is my order?", timeout_seconds=40)
            await caller.say("Tell me a story.", answer=False)
            await speaks(control, "Once upon")
            await caller.hold(2)
            await caller.say(QUESTION, answer=False)
            interrupted = await hear(caller, ANSWER)
        await states.wait_for_sessions(0)
    print(caller.report().as_text())

    assert greeting.agent_text == GREETING
    assert greeting.heard_seconds > 2
    assert answer.agent_text == ANSWER
    assert answer.response_ms is not None
    assert looked_up.agent_text == "I have looked it up."
    assert ANSWER in interrupted
    assert "That is the end" not in interrupted
    assert caller.report().end_reason is EndReason.HUNG_UP
    tally = states.seen[-1].tally
    assert tally.calls_ended - before.calls_ended == 1
    greeted, *waited = await waits_of(worker, caller.seat.room)
    assert greeted is None, "it answers nobody"
    assert [seconds is not None and 0 < seconds < 20 for seconds in waited] == [True] * 4
    assert sum(tally.turn_latency) - sum(before.turn_latency) == 4
    assert (tally.calls_failed, tally.provider_errors) == (before.calls_failed, before.provider_errors)
    said = worker.log.read_text()
    assert not [word for word in ("key-of-", "Riverside", "story", caller.seat.room) if word in said]


async def test_a_model_that_wants_a_tool_after_each_tool_answers_after_three(
    worker: Worker, control: Control, line: Line
) -> None:
    await rested(worker)
    control.set_rules([WORD_FOR_WORD, GOES_ON, LOOKS_UP, ONCE_MORE, TOLD])
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
        await caller.listen(timeout_seconds=40)
        looked_up = await caller.say("Where is my order?", timeout_seconds=40)
    print(caller.report().as_text())

    assert looked_up.agent_text == "I have looked it up."
    assert (await record_of(worker, caller.seat.room))["toolCalls"] == 3


async def test_a_line_that_is_lost_in_the_middle_costs_a_sentence(worker: Worker, control: Control, line: Line) -> None:
    await rested(worker)
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
        await caller.listen(timeout_seconds=40)
        await caller.say("Tell me a story.", answer=False)
        await speaks(control, "Once upon")
        await caller.hold(2)
        dropped = control.drop(provider="openai", service="realtime", instance="main")
        goes_on = await hear(caller, "Where was I?")
        answer = await caller.say(QUESTION, timeout_seconds=40)
    print(caller.report().as_text())

    assert dropped == 1
    assert "Where was I?" in goes_on
    assert "That is the end" not in goes_on
    assert answer.agent_text == ANSWER
    assert caller.report().cuts == ()
    assert control.requests("openai", "realtime", instance=SECOND)


@pytest.mark.proof
@pytest.mark.parametrize("way", [way for way in WAYS if way not in ON_DIALING])
async def test_a_model_that_fails_in_the_middle_of_a_sentence_costs_the_rest_of_it(
    worker: Worker, control: Control, line: Line, way: Mode
) -> None:
    """Of these, some leave the line open: nobody tells that there is no more to come."""
    await rested(worker)
    # As slow as somebody who speaks, so that there is a middle; by itself that is no failure.
    control.break_service("openai", "realtime", "slow", latency_ms=40)
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
        await caller.listen(timeout_seconds=40)
        await caller.say("Tell me a story.", answer=False)
        await speaks(control, "Once upon")
        await caller.hold(1)
        control.break_service("openai", "realtime", way, **WAYS[way])
        goes_on = await hear(caller, "Where was I?")
        answer = await caller.say(QUESTION, timeout_seconds=40)
    print(caller.report().as_text())

    assert "Where was I?" in goes_on
    assert "That is the end" not in goes_on
    assert answer.agent_text == ANSWER
    assert caller.report().cuts == ()
    assert control.requests("openai", "realtime", instance=SECOND)


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=() if way in ("unauthorized", "silent") else pytest.mark.proof) for way in WAYS]
)
async def test_a_model_that_is_broken_from_the_beginning_costs_time(
    worker: Worker, control: Control, line: Line, way: Mode
) -> None:
    await rested(worker)
    control.break_service("openai", "realtime", way, **WAYS[way])
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
        greeting = await hear(caller, GREETING)
        answer = await caller.say(QUESTION, timeout_seconds=40)
    print(caller.report().as_text())

    assert greeting == GREETING
    assert answer.agent_text == ANSWER
    assert caller.report().cuts == ()


async def test_a_call_that_nobody_can_hold_is_ended_and_counted(worker: Worker, control: Control, line: Line) -> None:
    await ready(worker)
    async with watched(worker) as states:
        await states.wait_for_sessions(0)
        failed = states.seen[-1].tally.calls_failed
        for instance in ("main", SECOND):
            control.break_service("openai", "realtime", "error", instance=instance, status=503)
        async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
            is_there = await caller.hold(60)
        await states.wait_for_sessions(0)

    assert not is_there
    assert states.seen[-1].tally.calls_failed == failed + 1


async def test_another_voice_speaks_and_the_worker_tells_turns(
    bench: Bench, providers: Providers, control: Control, line: Line, tmp_path: Path
) -> None:
    wish = {"turnDetection": "Local", "tts": {}}
    with realtime_worker(tmp_path, bench, providers, "two-in-one", **wish) as worker:
        await ready(worker)
        async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
            greeting = await caller.listen(timeout_seconds=40)
            answer = await caller.say(QUESTION, timeout_seconds=40)
        print(caller.report().as_text())

    assert greeting.agent_text == GREETING
    assert answer.agent_text == ANSWER
    assert answer.heard_seconds > 1
    assert control.requests("cartesia", "tts")


@pytest.fixture
def mixed(bench: Bench, providers: Providers, tmp_path: Path) -> Iterator[Worker]:
    """A desk that is a pipeline, and a talker that is a realtime model."""
    arguments = write_files(tmp_path, bench, providers, "mixed")
    manifest = pool_manifest(bench.livekit.ws_url, providers)
    manifest["spec"]["providers"] += pool(bench.livekit.ws_url, providers)["spec"]["providers"][1:]
    (tmp_path / "pool.json").write_text(json.dumps(manifest))
    agent = json.loads((tmp_path / "agent.json").read_text())
    desk, *_ = agent["spec"]["agents"]
    desk |= {"name": "desk", "handoffs": [{"agent": "talker", "when": "Asks for the talker."}]}
    talker: dict[str, Any] = {"name": "talker", "instructions": "Talk.", "voice": {"realtime": {}}}
    talker |= {"greeting": {"text": TALKER}, "handoffs": [{"agent": "desk", "when": "Asks for the desk."}]}
    agent["spec"]["agents"] = [desk, talker]
    (tmp_path / "agent.json").write_text(json.dumps(agent))
    with run_worker(tmp_path, arguments, "mixed") as worker:
        yield worker


def turns_of(control: Control) -> dict[str, int]:
    """Return what went through the desk's own voice and recogniser."""
    counts, services = control.counts(), {"spoken": "main/cartesia/tts", "heard": "main/deepgram/listen"}
    return {name: counts.get(service, {}).get("turns", 0) for name, service in services.items()}


def hands_over(match: str, to: str) -> dict[str, Any]:
    return {"match": match, "tool_call": {"name": f"hand_over_to_{to}", "arguments": {"reason": "as it is"}}}


async def test_a_pipeline_and_a_realtime_model_hand_over_to_each_other(
    mixed: Worker, control: Control, line: Line
) -> None:
    """Each hears and speaks by its own means: the talker neither by the recogniser nor with the voice of the desk."""
    back = {"match": "taken over", "on": "instructions", "reply": BACK}
    there_and_back = (hands_over("(?i)talker", "talker"), hands_over("(?i)back to", "desk"))
    control.set_rules([WORD_FOR_WORD, back, *there_and_back])
    await ready(mixed)
    async with Caller(line, seat=seat_for(mixed), gap_ms=60_000) as caller:
        await caller.listen(timeout_seconds=40)
        by_desk = turns_of(control)
        await caller.say("Give me the talker, please.", answer=False)
        greeted = await hear(caller, TALKER)
        answer = await caller.say(QUESTION, timeout_seconds=40)
        by_talker = turns_of(control)
        await caller.say("Bring me back to the desk.", answer=False)
        is_back = await hear(caller, BACK)
        again = await caller.say(QUESTION, timeout_seconds=40)
    print(caller.report().as_text())

    assert TALKER in greeted
    assert answer.agent_text == ANSWER
    assert BACK in is_back
    assert again.agent_text == ANSWER
    assert caller.report().cuts == ()
    assert (by_talker["spoken"], by_talker["heard"]) == (by_desk["spoken"], by_desk["heard"] + 1), "but the wish itself"
    assert turns_of(control)["spoken"] > by_talker["spoken"]
