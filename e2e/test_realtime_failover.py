"""Realtime models that fail, as the worker takes them: the stock plugin, two of them, and a caller at each end."""

import asyncio
from collections.abc import Sequence

import pytest
from livekit.agents import llm

from e2e.providers import Control, Providers
from e2e.providers.faults import Mode
from e2e.test_a_failing_provider_costs_a_turn import WAYS
from e2e.test_providers_realtime import HOURS, KEY, STORY, Call
from voicefleet.api.providerpool.providers import Provider
from voicefleet.api.providerpool.spec import RoutingPolicy
from voicefleet.api.voiceagent.records import Transcript
from voicefleet.api.voiceagent.voice import Realtime
from voicefleet.providers.lineup import Lineup, ProviderPlan
from voicefleet.providers.routing import Need
from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.failover import patience
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.failover.conversing import ConversingInTurn, Source
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.failover.switch import Switch
from voicefleet_worker.providers import Ingredients, build_realtime
from voicefleet_worker.records.journal import Journal
from voicefleet_worker.records.notebook import Notebook

FIRST, SECOND, THIRD = "main", "second", "third"
GOES_ON = {"match": "line to you was lost", "on": "instructions", "reply": "Where was I?"}
TELLS = {"match": "(?i)story", "reply": STORY}
ECHO = {"match": r"Say: (.*)$", "on": "instructions", "reply": r"\1"}
pytestmark = pytest.mark.usefixtures("control", "http_session")


def plan(name: str, providers: Providers) -> ProviderPlan:
    url = providers.for_instance(name).openai_url
    provider = Provider.model_validate({"name": name, "role": "Realtime", "plugin": "openai", "baseUrl": url})
    return ProviderPlan(
        provider=provider,
        role="Realtime",
        model=None,
        voice=None,
        options=(),
        language="en",
        timeout_seconds=4.0,
        stall_seconds=3.0,
        retries=0,
    )


def model_of(providers: Providers, *names: str) -> llm.RealtimeModel:
    plans: Sequence[ProviderPlan] = [plan(name, providers) for name in names]
    lineup = Lineup(Need("Realtime", "en"), RoutingPolicy(), tuple(plans), names[0])
    health = CallHealth(plans, Reporter("AJ_1", None), Notebook(Journal(None), Transcript()), BoardReader())
    return ConversingInTurn(Switch(lineup, health, lambda of: Source(build_realtime(Ingredients(of, Realtime(), KEY)))))


def call_with(providers: Providers, *names: str) -> Call:
    return Call(providers, model=model_of(providers, *names))


async def greeting(call: Call) -> list[str]:
    """Have a call greeted, and return what was said."""
    call.session.generate_reply(instructions="Say: Good morning.")
    await call.until(lambda: bool(call.answers()))
    return call.answers()


async def hear_it_go_on(call: Call) -> None:
    """Listen to whoever takes over in the middle of a story, and ask once more."""
    await call.until(lambda: "Where was I?" in call.answers())
    await call.line_in.say(HOURS)
    await call.until(lambda: len(call.answers()) == 3)


def costs_the_rest_of_a_sentence(call: Call, control: Control, then: str) -> None:
    """See that no more was lost, and that this one has gone on and answered."""
    story, goes_on, hours = call.answers()
    assert (story in STORY, len(story) < len(STORY), goes_on) == (True, True, "Where was I?")
    assert hours.startswith("We are open")
    assert control.requests("openai", "realtime", instance=then)[-1]["turns"] == 2


@pytest.mark.parametrize("way", WAYS)
async def test_who_is_broken_from_the_beginning_costs_time(providers: Providers, control: Control, way: Mode) -> None:
    control.set_rules([ECHO])
    control.break_service("openai", "realtime", way, **WAYS[way])

    async with call_with(providers, FIRST, SECOND) as call:
        said = await greeting(call)

    assert said == ["Good morning."]
    assert {row["fault"] for row in control.requests("openai", "realtime", instance=FIRST)} == {way}
    assert control.requests("openai", "realtime", instance=SECOND)


async def test_who_asks_to_be_left_alone_is_left_alone_by_the_next_call(providers: Providers, control: Control) -> None:
    control.set_rules([ECHO])
    control.break_service("openai", "realtime", "throttled", retry_after_seconds=60)
    model = model_of(providers, FIRST, SECOND)
    async with Call(providers, model=model) as call:
        await greeting(call)
    control.mend()
    async with Call(providers, model=model) as call:
        said = await greeting(call)

    assert said == ["Good morning."]
    assert len(control.requests("openai", "realtime", instance=FIRST)) == 1
    assert len(control.requests("openai", "realtime", instance=SECOND)) == 2


@pytest.mark.parametrize("names", [(FIRST, SECOND), (FIRST,)], ids=["two", "only one"])
async def test_a_line_that_is_lost_costs_a_sentence(
    providers: Providers, control: Control, names: tuple[str, ...]
) -> None:
    control.set_script(["Tell me a story.", "When are you open?"])
    control.set_rules([GOES_ON, TELLS])

    async with call_with(providers, *names) as call:
        await call.line_in.say(HOURS)
        await asyncio.wait_for(call.line_out.started.wait(), timeout=20)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(control.drop, service="realtime")
        await hear_it_go_on(call)

    costs_the_rest_of_a_sentence(call, control, names[-1])


async def test_what_the_caller_says_while_another_one_is_dialed_is_answered(
    providers: Providers, control: Control
) -> None:
    control.set_script(["When are you open?"])
    control.set_rules([ECHO])
    control.break_service("openai", "realtime", "silent", instance=SECOND)

    async with call_with(providers, FIRST, SECOND, THIRD) as call:
        await greeting(call)
        await asyncio.to_thread(control.drop, service="realtime")
        await call.until(lambda: bool(control.requests("openai", "realtime", instance=SECOND)))
        await call.line_in.say(HOURS)
        await call.until(lambda: len(call.answers()) == 2)

    assert call.answers()[1].startswith("We are open")
    assert not call.errors


@pytest.mark.parametrize("way", ["silent", "slow", "wrong", "dead_mid_stream"])
async def test_who_fails_in_the_middle_of_a_sentence_costs_the_rest_of_it(
    providers: Providers, control: Control, way: Mode
) -> None:
    """Of these, two leave the line open: nobody tells that there is no more to come."""
    control.set_script(["Tell me a story.", "When are you open?"])
    control.set_rules([GOES_ON, TELLS])
    # As slow as somebody who speaks, so that there is a middle; by itself that is no failure.
    control.break_service("openai", "realtime", "slow", latency_ms=40)

    async with call_with(providers, FIRST, SECOND) as call:
        await call.line_in.say(HOURS)
        await asyncio.wait_for(call.line_out.started.wait(), timeout=20)
        await asyncio.sleep(0.5)
        assert not control.requests("openai", "realtime", instance=SECOND)
        control.break_service("openai", "realtime", way, **WAYS[way])
        await hear_it_go_on(call)

    costs_the_rest_of_a_sentence(call, control, SECOND)


async def test_who_falls_silent_is_replaced_by_one_who_answers(providers: Providers, control: Control) -> None:
    control.set_rules([ECHO])

    async with call_with(providers, FIRST, SECOND) as call:
        call.session.generate_reply(instructions="Say: Good morning.")
        await call.until(lambda: bool(call.answers()))
        control.break_service("openai", "realtime", "silent")
        call.session.generate_reply(instructions="Say: And goodbye.")
        await call.until(lambda: len(call.answers()) == 2)

    assert call.answers() == ["Good morning.", "And goodbye."]


async def test_while_all_are_well_tools_and_interruptions_are_as_ever(providers: Providers, control: Control) -> None:
    control.set_script(["What is the weather in Paris?", "Tell me a story.", "Stop, when are you open?"])
    weather = {"name": "get_weather", "arguments": {"city": "Paris"}}
    sunny = {"match": "sunny", "on": "tool", "reply": "The sun is shining in Paris."}
    control.set_rules([{"match": "weather", "tool_call": weather}, sunny, TELLS])

    async with call_with(providers, FIRST, SECOND) as call:
        await call.line_in.say(HOURS)
        await call.until(lambda: bool(call.answers()))
        call.line_out.started.clear()
        await call.line_in.say(HOURS)
        await asyncio.wait_for(call.line_out.started.wait(), timeout=20)
        await call.line_in.say(HOURS)
        await call.until(lambda: len(call.answers()) == 3)

    told, story, hours = call.answers()
    assert (call.agent.cities, told) == (["Paris"], "The sun is shining in Paris.")
    assert (call.line_out.interruptions, story in STORY, len(story) < len(STORY)) == (1, True, True)
    assert hours.startswith("We are open")
    assert not control.requests("openai", "realtime", instance=SECOND)
    assert not call.errors


async def test_a_call_that_nobody_can_hold_ends(
    providers: Providers, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_GIVE_UP_SECONDS", 1.0)
    control.break_service("openai", "realtime", "error", status=503)
    closed = asyncio.Event()

    async with call_with(providers, FIRST) as call:
        call.session.on("close", lambda _: closed.set())
        call.session.generate_reply(instructions="Say: Good morning.")
        await asyncio.wait_for(closed.wait(), timeout=15)
