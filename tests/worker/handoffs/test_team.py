"""Handoffs with the SDK's own session: what the next agent is told, and who is in charge when something fails."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import Agent, AgentSession, llm
from livekit.agents.voice.run_result import RunResult

from tests.core.test_dialogue import THREE, agent, planned, pool
from tests.worker.failover.scripted import chunk
from voicefleet.api.voiceagent.tools import HttpTool, Tool, ToolPolicy
from voicefleet.conversation.dialogue import AgentPlan
from voicefleet.conversation.phrases import one_moment
from voicefleet.handoffs.floor import Floor, Phase
from voicefleet.handoffs.sight import Member, sight_of, take_in
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.failover.switch import ONCE
from voicefleet_worker.handoffs import summary
from voicefleet_worker.handoffs import team as under_test
from voicefleet_worker.handoffs.stint import Speaker, Stint, Store
from voicefleet_worker.handoffs.team import Means, Team
from voicefleet_worker.tools.builtins import Deeds
from voicefleet_worker.tools.http import HttpTools
from voicefleet_worker.tools.mcp import McpServers
from voicefleet_worker.voices.session import Voices

Step = str | tuple[str, str] | Exception
TO_BILLING = ("hand_over_to_billing", '{"reason": "Wants to pay a bill."}')
TO_DESK = ("hand_over_to_desk", '{"reason": "Asks for opening hours."}')
TO_CLAIMS = ("hand_over_to_claims", '{"reason": "Broke a window."}')
WHEN = "It is about money."


def spec(**handoff: Any) -> dict[str, Any]:
    return {
        "agents": [
            {
                "name": "desk",
                "instructions": "You are the desk of {{company}}, not {{account}}.",
                "tools": ["look_up"],
                "handoffs": [
                    {"agent": "billing", "when": WHEN, **handoff},
                    {"agent": "claims", "when": "Something broke."},
                ],
            },
            {
                "name": "billing",
                "language": "de",
                "instructions": "You are billing. Account: {{account}}.",
                "tools": ["look_up"],
                "handoffs": [{"agent": "desk", "when": "All else.", "context": "Full"}],
                "privateVariables": ["account"],
            },
            {"name": "claims", "instructions": "You are claims.", "greeting": {"text": "Claims for {{company}}."}},
        ],
        "tools": [
            {
                "name": "look_up",
                "description": "Looks something up.",
                "http": {"url": "https://shop.example.com/", "response": [{"variable": "found", "path": "$.x"}]},
            }
        ],
        "variables": {"declared": [{"name": "company"}, {"name": "account"}]},
    }


VALUES = {"company": "Riverside", "account": "DE-12 345"}


class Model(llm.LLM[Any]):
    """Does as its script says, and keeps what it was asked, by the first line of its instructions."""

    def __init__(self, steps: Sequence[Step | list[tuple[str, str]]]) -> None:
        super().__init__()
        self.steps = list(steps)
        self.asked: list[tuple[str, list[str], list[str]]] = []
        self.wait = 0.0

    def chat(self, *, chat_ctx: Any, tools: Any = None, conn_options: Any = None, **_: Any) -> Any:
        items = [item.text_content if item.type == "message" else item.type for item in chat_ctx.items]
        texts = [text for text in items if text != "agent_config_update"]
        offered = [tool.info.name for tool in tools or []]
        self.asked.append((str(texts[0]), [str(text) for text in texts[1:]], offered))
        return _Thought(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options or ONCE)


class _Thought(llm.LLMStream):
    async def _run(self) -> None:
        model = cast("Model", self._llm)
        step = model.steps.pop(0)
        if step == "<slow>":
            await asyncio.sleep(60)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, str):
            self._event_ch.send_nowait(chunk(step))
            return
        calls = step if isinstance(step, list) else [step]
        for number, (name, arguments) in enumerate(calls):
            call = llm.FunctionToolCall(name=name, arguments=arguments, call_id=f"{len(model.steps)}-{number}")
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[call])
            self._event_ch.send_nowait(llm.ChatChunk(id="c", delta=delta))


@dataclass
class Http:
    """Tools of one agent, which set what they find."""

    variables: Any

    async def call(self, _tool: Tool, _http: HttpTool, _arguments: dict[str, object]) -> str:
        self.variables["found"] = "17 euros"
        return '{"x": "17 euros"}'

    async def aclose(self) -> None:
        return


@dataclass
class Table:
    """A call at which a caller types."""

    model: Model
    team: Team
    session: AgentSession[None]
    said: list[str] = field(default_factory=list)

    async def sit(self) -> None:
        await self.session.start(self.team.begin(self.session, cast("Deeds", None)))

    async def ask(self, words: str) -> RunResult[None]:
        return cast("RunResult[None]", await self.session.run(user_input=words))

    @property
    def in_charge(self) -> str:
        assert self.session.current_agent.id == self.team.floor.in_charge
        return self.team.floor.in_charge


def no_servers(*_: object) -> McpServers:
    return McpServers((), SecretFiles(Path()), ToolPolicy(), language="en", values={})


async def table(*steps: Step | list[tuple[str, str]], only_talk: Sequence[str] = (), **handoff: Any) -> Table:
    plan = planned(agent(**spec(**handoff)), pool(*THREE))
    model = Model(steps)
    voices = SimpleNamespace(
        of=lambda agent: SimpleNamespace(llm=object() if agent.name in only_talk else model),
        other_than_entrys=lambda _: None,
    )
    team = Team(plan, VALUES, cast("Voices", voices), Means(cast("Callable[..., HttpTools]", Http), no_servers))
    session: AgentSession[None] = AgentSession(
        llm=model, vad=None, turn_handling={"turn_detection": None}, max_tool_steps=3
    )
    at = Table(model, team, session)
    await at.sit()
    return at


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def outputs(result: RunResult[None]) -> list[tuple[str, bool]]:
    return [(e.item.output, e.item.is_error) for e in result.events if e.type == "function_call_output"]


async def test_the_next_agent_takes_over_and_speaks_with_a_summary() -> None:
    at = await table(TO_BILLING, "The caller wants to pay.", "Billing here.")
    result = await at.ask("I want to pay.")

    result.expect.contains_agent_handoff(new_agent_type=Speaker)
    assert result.expect.contains_message(role="assistant").event().item.text_content == "Billing here."
    assert at.in_charge == "billing"
    assert at.team.language == "de"
    instructions, heard, offered = at.model.asked[2]
    assert instructions == "You are billing. Account: DE-12 345."
    assert heard[0].endswith("The caller wants to pay.")
    assert "I want to pay." not in heard
    assert "hand_over_to_desk" not in offered, "who has just taken over speaks before it hands over again"
    await at.session.aclose()


@pytest.mark.parametrize(
    ("only_talk", "told"),
    [
        pytest.param(["desk"], "The caller wants to pay.", id="the next agent's model writes it"),
        pytest.param(["billing"], "The caller wants to pay.", id="the first agent's does"),
        pytest.param(["desk", "billing"], "Wants to pay a bill.", id="nobody could, and the reason stands for it"),
    ],
)
async def test_a_realtime_model_only_talks_so_a_summary_is_written_by_one_that_thinks(
    only_talk: list[str], told: str
) -> None:
    is_written = told == "The caller wants to pay."
    at = await table(TO_BILLING, *([told] if is_written else []), "Billing here.", only_talk=only_talk)
    await at.ask("I want to pay.")

    assert at.in_charge == "billing"
    assert at.model.asked[-1][1][0].endswith(told)
    await at.session.aclose()


@pytest.mark.parametrize(
    ("context", "passed"),
    [("None", []), ("Full", ["Hello.", "Hi!", "I want to pay."])],
)
async def test_the_next_agent_sees_what_the_handoff_says(context: str, passed: list[str]) -> None:
    at = await table("Hi!", TO_BILLING, "Billing here.", context=context)
    await at.ask("Hello.")
    await at.ask("I want to pay.")

    assert at.model.asked[2][1][:-1] == passed
    await at.session.aclose()


@pytest.mark.parametrize("failure", ["<slow>", "", RuntimeError("x")], ids=["slow", "empty", "broken"])
async def test_without_a_summary_the_next_agent_knows_why_and_no_more(
    failure: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "SUMMARY_SECONDS", 0.05)
    at = await table(TO_BILLING, failure, "Billing here.")
    await at.ask("My secret is 42.")

    assert at.in_charge == "billing"
    heard = at.model.asked[2][1]
    assert heard[0].endswith("Wants to pay a bill.")
    assert not [text for text in heard if "42" in text]
    await at.session.aclose()


async def test_nothing_private_goes_back_with_the_call() -> None:
    """Billing says the account aloud, looks something up with it, and hands everything over that it may."""
    at = await table(
        TO_BILLING, "The caller wants to pay.", "You are D E one two three four five.",
        ("look_up", "{}"), "You owe seventeen.",
        TO_DESK, "Desk here.",
    )  # fmt: skip
    await at.ask("I want to pay.")
    await at.ask("Right, de 12345. How much?")
    await at.ask("When are you open?")

    assert at.in_charge == "desk"
    instructions, heard, _ = at.model.asked[-1]
    assert instructions == "You are the desk of Riverside, not ."
    assert heard[:-1] == [f"{under_test._BEFORE}The caller wants to pay.", "When are you open?"]
    assert dict(at.team.values) == {"company": "Riverside"}, "what was found by means of the account stays there, too"
    await at.session.aclose()


async def test_a_failure_leaves_the_first_agent_in_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    at = await table(TO_BILLING, "The caller wants to pay.", "I am still here.")

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("no voice")

    monkeypatch.setattr(under_test, "Speaker", refuse)
    result = await at.ask("I want to pay.")

    assert outputs(result) == [(under_test._STAYS, True)]
    assert at.in_charge == "desk"
    await at.session.aclose()


async def test_two_handoffs_at_once_are_one() -> None:
    at = await table([TO_BILLING, TO_CLAIMS], "The caller wants to pay.", "Billing here.", "And more.", "And more.")
    result = await at.ask("I want to pay for a window.")

    refused = [text for text, is_error in outputs(result) if is_error]
    assert refused == ["The caller is not handed over: another handoff is under way."]
    assert at.in_charge == "billing"
    await at.session.aclose()


async def test_the_announcement_is_said_by_the_first_agent_when_the_next_one_is_ready() -> None:
    at = await table(TO_BILLING, "The caller wants to pay.", "Billing here.", announcement="One moment, {{company}}.")
    result = await at.ask("I want to pay.")

    kinds = [
        event.item.text_content if event.type == "message" else event.type
        for event in result.events
        if event.type in ("message", "agent_handoff")
    ]
    assert kinds == ["One moment, Riverside.", "agent_handoff", "Billing here."]
    await at.session.aclose()


async def test_a_key_hands_over_by_the_handoff_that_there_is() -> None:
    at = await table("Hi!", "The caller wants to pay.", "Billing here.", announcement="One moment, {{company}}.")
    await at.ask("Hello.")
    assert await at.team.hand_over_to("billing", lambda: True)
    await until(lambda: at.team.floor == Floor("billing"))
    await until(lambda: len(at.model.asked) == 3)

    assert at.in_charge == "billing"
    assert at.model.asked[2][1][0].endswith("The caller wants to pay.")
    history = [item.text_content for item in at.session.history.items if item.type == "message"]
    assert "One moment, Riverside." in history
    await at.session.aclose()


async def test_a_key_hands_over_where_there_is_no_handoff_and_the_next_one_sees_nothing_private() -> None:
    at = await table(TO_BILLING, "The caller wants to pay.", "You are D E one two three four five.", "Claims.")
    await at.ask("I want to pay.")
    assert await at.team.hand_over_to("claims", lambda: True)
    await until(lambda: at.team.floor == Floor("claims"))

    assert at.in_charge == "claims"
    seen = str([asked[:2] for asked in at.model.asked[3:]])
    assert "12 345" not in seen
    assert "one two three" not in seen
    await at.session.aclose()


async def test_the_same_key_twice_is_one_wish() -> None:
    at = await table("Hi!", "<slow>", "Billing here.")
    await at.ask("Hello.")
    first = asyncio.create_task(at.team.hand_over_to("billing", lambda: True))
    await until(lambda: at.team.floor.to == "billing")

    assert await at.team.hand_over_to("billing", lambda: True), "it is on its way, and nobody else is told of the key"
    first.cancel()
    await at.session.aclose()


@pytest.mark.parametrize("to", ["claims", "billing"], ids=["to somebody else", "to the same agent"])
async def test_a_key_during_the_models_own_handoff_waits_for_its_end_and_counts(
    monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    monkeypatch.setattr(summary, "SUMMARY_SECONDS", 0.3)
    at = await table(TO_BILLING, "<slow>", "The window broke.", "I am here.")
    asking = asyncio.create_task(at.ask("I want to pay."))
    await until(lambda: at.team.floor.to == "billing")
    pressing = asyncio.create_task(at.team.hand_over_to(to, lambda: True))
    await at.session.interrupt(force=True)
    await asking

    assert await pressing
    await until(lambda: at.team.floor == Floor(to))
    await at.session.aclose()


@pytest.mark.parametrize("looks", [0, 1])
async def test_a_key_is_no_longer_wanted_by_a_caller_who_is_put_through_meanwhile(looks: int) -> None:
    """They look twice: before the next agent is announced, and before it takes over."""
    at = await table("The caller wants to pay.", announcement="One moment.")
    answers = [True] * looks + [False] * 9
    assert await at.team.hand_over_to("billing", lambda: answers.pop(0))

    assert at.in_charge == "desk"
    assert at.team.floor == Floor("desk")
    assert len(at.model.asked) == 0, "nobody says anything about it"
    await at.session.aclose()


async def test_a_key_for_the_one_in_charge_changes_nothing() -> None:
    at = await table("Hi!")

    assert not await at.team.hand_over_to("desk", lambda: True)
    assert at.in_charge == "desk"
    await at.session.aclose()


async def test_a_key_for_an_agent_that_cannot_be_built_leaves_the_first_in_charge_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = await table("The caller wants to pay.", "I am still here.")

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("no voice")

    monkeypatch.setattr(under_test, "Speaker", refuse)
    assert await at.team.hand_over_to("billing", lambda: True)
    await until(lambda: at.model.asked != [])

    assert at.in_charge == "desk"
    await at.session.aclose()


async def test_an_agent_with_a_greeting_begins_with_it() -> None:
    at = await table(TO_CLAIMS, "A window is broken.")
    result = await at.ask("My window broke.")

    assert result.expect.contains_message(role="assistant").event().item.text_content == "Claims for Riverside."
    assert at.in_charge == "claims"
    await at.session.aclose()


@pytest.mark.parametrize("wish", ["of the model", "of the caller, by a key"])
async def test_a_caller_who_waits_for_the_next_agent_hears_that_it_takes_a_moment(
    monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    monkeypatch.setattr(summary, "SUMMARY_SECONDS", 0.5)
    monkeypatch.setattr(under_test, "_FILLER_SECONDS", 0.05)
    if wish == "of the model":
        at = await table(TO_BILLING, "<slow>", "Billing here.")
        await at.ask("I want to pay.")
    else:
        at = await table("Hi!", "<slow>", "Billing here.")
        await at.ask("I want to pay.")
        await at.team.hand_over_to("billing", lambda: True)
    await until(lambda: at.team.floor == Floor("billing"))

    history = [item.text_content for item in at.session.history.items if item.type == "message"]
    assert one_moment("en") in history
    await at.session.aclose()


async def test_a_caller_who_speaks_while_the_handoff_is_prepared_stays_with_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(summary, "SUMMARY_SECONDS", 0.3)
    at = await table(TO_BILLING, "<slow>", TO_CLAIMS, "A window is broken.")
    asking = asyncio.create_task(at.ask("I want to pay."))
    await until(lambda: len(at.model.asked) == 2)
    await at.session.interrupt(force=True)
    await asking
    await until(lambda: at.team.floor == Floor("desk"))
    assert at.in_charge == "desk"

    await at.ask("No, my window broke.")

    assert at.in_charge == "claims"
    await at.session.aclose()


async def test_a_handoff_that_is_broken_off_at_the_last_moment_did_not_take_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when the time of the call is over while the caller is being told."""
    at = await table(TO_BILLING, "The caller wants to pay.", TO_CLAIMS, "A window is broken.", announcement="Wait.")
    say = at.session.say

    async def interrupted() -> None:
        await at.session.interrupt(force=True)

    monkeypatch.setattr(at.session, "say", lambda *_, **__: interrupted())
    await at.ask("I want to pay.")
    await until(lambda: at.team.floor.phase is Phase.TALKING and at.session.current_agent.id == at.team.floor.in_charge)

    # Now and then the SDK lets the next one speak all the same; then that one is in charge.
    if at.in_charge == "desk":
        monkeypatch.setattr(at.session, "say", say)
        await at.ask("No, my window broke.")
        assert at.in_charge == "claims"
    await at.session.aclose()


def test_a_tool_that_comes_late_does_not_make_an_agent_quotable_that_has_seen_something() -> None:
    reception, billing = Member("reception", frozenset({"note"})), Member("billing", frozenset({"account"}))
    team = (reception, billing)
    store = Store(team, take_in(team, {**VALUES, "note": "is a friend"}))
    first, second = (
        Stint(cast("AgentPlan", SimpleNamespace(name=member.name)), store, sight_of(team, member.name))
        for member in team
    )
    assert second["account"] == "DE-12 345"

    first["account"] = "none"

    assert "account" not in second
    assert "account" in second.marks
    assert {"account", "note"} == first.marks, "who has set it knows it"


async def test_nobody_waits_for_servers_of_tools() -> None:
    asked: list[str] = []

    class Slow:
        """Servers that never answer when they are asked for their tools."""

        async def equip(self, agent: Agent) -> None:
            asked.append(agent.id)
            await asyncio.Event().wait()

        async def aclose(self) -> None:
            """Nothing is open."""

    at = await table("Good morning.")
    team = at.team
    team._means = replace(team._means, servers_for=lambda *_: cast("McpServers", Slow()))
    team._enter(team._stint)
    await asyncio.sleep(0)

    assert asked == [team._stint.plan.name]
    await team.aclose()
    await at.session.aclose()
