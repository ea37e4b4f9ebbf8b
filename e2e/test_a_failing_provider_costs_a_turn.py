"""Promise 7: a failing provider costs a turn, not a call, whatever fails at which moment.

Each provider of the pool stands there twice. The first of each pair is broken in every way, in the middle of calls; the
second is well. A real caller talks on and hears each answer once.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.bench import Bench
from e2e.caller import Caller, Line
from e2e.caller.report import EndReason, Turn
from e2e.providers import Control, Providers
from e2e.working import Worker, pool_manifest, ready, rested, run_worker, seat_for, write_files

SECOND = "second"
QUESTION = "When are you open?"
ANSWER = "We are open from nine to five, Monday to Friday."
# Long enough for two shared cores, and short enough to be waited for.
ATTEMPT = {"timeoutMilliseconds": 3_000, "stallMilliseconds": 2_000}
# It rests for as long as a caller takes to ask again, so that each way to fail meets a call that is with the first.
BREAKER = {"failures": 1, "failureFraction": 0, "openSeconds": 1, "maxOpenSeconds": 1}
# What the stand-in for a model makes of the wish to go on after the first word.
GOES_ON = {"match": "line to you was lost", "on": "instructions", "reply": ANSWER.partition(" ")[2]}
SERVICES = {"chat": ("openai", "chat"), "speech": ("cartesia", "tts"), "hearing": ("deepgram", "listen")}
WAYS: dict[str, dict[str, Any]] = {
    "error": {"status": 503},
    "unauthorized": {},
    "throttled": {"retry_after_seconds": 1},
    "refuse": {},
    "wrong": {},
    "silent": {},
    "slow": {"first_byte_ms": 20_000},
    "dead_mid_stream": {"after_chunks": 2},
    "stalled_mid_stream": {"after_chunks": 2},
}
# Words are written down within two messages: whoever is to die or stall before that does after one.
HEARING_WAYS = {**WAYS, "dead_mid_stream": {"after_chunks": 1}, "stalled_mid_stream": {"after_chunks": 1}}
# Only a new line meets these.
ON_DIALING = ("error", "unauthorized", "throttled", "refuse")
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def control(providers: Providers) -> Control:
    control = Control(providers.control_url)
    control.reset()
    control.set_rules([GOES_ON])
    return control


@pytest.fixture(scope="module")
def worker(bench: Bench, providers: Providers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("worker")
    arguments = write_files(folder, bench, providers, "standing-by")
    (folder / "pool.json").write_text(json.dumps(pool_of_pairs(bench.livekit.ws_url, providers)))
    agent = json.loads((folder / "agent.json").read_text())
    agent["spec"]["voice"] = {"pipeline": {"stt": {"silenceTimeoutMilliseconds": 2_000}}}
    (folder / "agent.json").write_text(json.dumps(agent))
    with run_worker(folder, arguments, "standing-by") as running:
        yield running


def pool_of_pairs(livekit_url: str, providers: Providers) -> dict[str, Any]:
    pool = pool_manifest(livekit_url, providers)
    spec = pool["spec"]
    seconds = pool_manifest(livekit_url, providers.for_instance(SECOND))["spec"]["providers"]
    firsts = [{**each, "attempt": ATTEMPT, "breaker": BREAKER} for each in spec["providers"]]
    standby = {"breaker": BREAKER, "priority": 200}
    spec["providers"] = [*firsts, *({**each, "name": f"{each['name']}-{SECOND}", **standby} for each in seconds)]
    # Back to the first as soon as it is well: that is whom the next way to fail is meant for.
    spec["routing"] = {"sticky": False}
    return pool


def asked(control: Control, what: str, instance: str) -> int:
    """Count requests; over one line there are many of them."""
    provider, service = SERVICES[what]
    return sum(max(1, row["turns"]) for row in control.requests(provider, service, instance=instance))


async def ask(caller: Caller) -> Turn:
    """Ask once the breaker lets the first one be asked again."""
    await asyncio.sleep(1.5)
    return await caller.say(QUESTION, timeout_seconds=40)


async def ask_until_the_first_answers(caller: Caller, control: Control, what: str) -> Turn:
    """Ask until whoever comes first is asked: another test may have had it throttled for a while."""
    for _ in range(10):
        turn = await ask(caller)
        if asked(control, what, "main"):
            return turn
    raise AssertionError("the first is left alone for ever")


@pytest.mark.parametrize("what", ["chat", "speech"])
async def test_every_way_to_fail_costs_no_more_than_time(
    worker: Worker, control: Control, line: Line, what: str
) -> None:
    await ready(worker)
    provider, service = SERVICES[what]
    turns: dict[str, Turn] = {}
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
        await caller.listen()
        well = await ask_until_the_first_answers(caller, control, what)
        # A line that stays open would not notice most of what follows; that one is lost between turns is one more way.
        control.drop(provider=provider, service=service, instance="main")
        turns["line lost"] = await ask(caller)
        for way, options in WAYS.items():
            before = asked(control, what, "main"), asked(control, what, SECOND)
            control.break_service(provider, service, way, **options)  # type: ignore[arg-type]
            turns[way] = await ask(caller)
            control.mend()
            after = asked(control, what, "main"), asked(control, what, SECOND)
            assert after[0] > before[0], f"{way}: the first was not asked"
            assert after[1] > before[1], f"{way}: the second was not asked"
    print(caller.report().as_text())

    assert caller.report().end_reason is EndReason.HUNG_UP
    assert caller.report().cuts == ()
    for way, turn in turns.items():
        assert turn.agent_text == ANSWER, way
        # Once, and not twice: sound without the pauses in it.
        assert turn.heard_seconds == pytest.approx(well.heard_seconds, rel=0.35), way


async def test_who_hears_may_fail_while_the_caller_speaks(worker: Worker, control: Control, line: Line) -> None:
    await ready(worker)
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
        await caller.listen()
        speaking = asyncio.create_task(caller.say(QUESTION, timeout_seconds=40))
        await asyncio.sleep(0.6)
        dropped = control.drop(provider="deepgram", service="listen", instance="main")
        turn = await speaking
    print(caller.report().as_text())

    assert dropped == 1
    assert turn.agent_text == ANSWER
    assert asked(control, "hearing", SECOND)
    assert caller.report().cuts == ()


@pytest.mark.parametrize("way", HEARING_WAYS)
async def test_who_hears_may_be_broken_from_the_beginning(
    worker: Worker, control: Control, line: Line, way: str
) -> None:
    await rested(worker)
    control.break_service("deepgram", "listen", way, **HEARING_WAYS[way])  # type: ignore[arg-type]
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
        await caller.listen()
        turn = await caller.say(QUESTION, timeout_seconds=40)
    print(caller.report().as_text())

    assert turn.agent_text == ANSWER
    assert {row["fault"] for row in control.requests("deepgram", "listen", instance="main")} == {way}
    assert asked(control, "hearing", SECOND)
    assert caller.report().cuts == ()


@pytest.mark.parametrize("way", HEARING_WAYS)
async def test_no_word_is_lost_whoever_hears_fails_in_the_middle_of_it(
    worker: Worker, control: Control, line: Line, way: str
) -> None:
    """Of the ways that only a new line meets, whoever takes over dies, with the words that the first one had heard."""
    await rested(worker)
    broken = SECOND if way in ON_DIALING else "main"
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
        await caller.listen()
        assert asked(control, "hearing", "main") == 1
        speaking = asyncio.create_task(caller.say(QUESTION, timeout_seconds=40))
        await asyncio.sleep(0.6)
        control.break_service("deepgram", "listen", way, instance=broken, **HEARING_WAYS[way])  # type: ignore[arg-type]
        if way in ON_DIALING:
            control.drop(provider="deepgram", service="listen", instance="main")
        turn = await speaking
    print(caller.report().as_text())

    assert turn.agent_text == ANSWER
    assert way in [row["fault"] for row in control.requests("deepgram", "listen", instance=broken)]
    assert caller.report().cuts == ()


async def test_what_one_call_has_found_out_the_next_one_knows(worker: Worker, control: Control, line: Line) -> None:
    await rested(worker)
    control.break_service("openai", "chat", "throttled", retry_after_seconds=60)
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as first:
        await first.listen()
        await first.say(QUESTION, timeout_seconds=40)
    before = asked(control, "chat", "main")
    control.mend()
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as second:
        await second.listen()
        turn = await second.say(QUESTION, timeout_seconds=40)

    assert before >= 1
    assert asked(control, "chat", "main") == before, "it asked to be left alone for a minute"
    assert turn.agent_text == ANSWER


async def test_the_log_says_which_provider_failed_and_how(worker: Worker, control: Control, line: Line) -> None:
    await ready(worker)
    async with Caller(line, seat=seat_for(worker), gap_ms=60_000) as caller:
        await caller.listen()
        await ask_until_the_first_answers(caller, control, "chat")
        control.break_service("openai", "chat", "unauthorized")
        await ask(caller)
        control.mend()
    records = [record for record in worker.records() if record["message"] == "provider failed"]
    said = {(record["provider"], record["problem"]) for record in records}
    print(sorted(said))

    assert ("openai", "APIStatusError 401") in said
    assert "key-of-" not in worker.log.read_text()
    ours = [record for record in worker.records() if record["logger"].startswith("voicefleet")]
    assert not [record for record in ours if "exception" in record]
