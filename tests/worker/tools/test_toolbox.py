"""Tools as the model sees them: with the SDK's own session and its own assertions."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from livekit.agents import Agent, AgentSession, llm
from livekit.agents.voice.run_result import RunResult

from tests.worker.failover.scripted import chunk, play
from voicefleet.api.voiceagent.telephony import Transfer
from voicefleet.api.voiceagent.tools import HttpTool, Tool, ToolPolicy
from voicefleet.conversation.dialogue import KNOWN_BUILTINS
from voicefleet.conversation.outcome import CallbackWish, CallOutcome, Rating
from voicefleet.conversation.phrases import one_moment
from voicefleet_worker.tools import toolbox as under_test
from voicefleet_worker.tools.builtins import BUILTINS
from voicefleet_worker.tools.http import DOUBT, HttpTools, ToolFailedError
from voicefleet_worker.tools.toolbox import Toolbox, steps_of

PARAMETERS = {
    "type": "object",
    "properties": {"id": {"type": "string", "pattern": "^[0-9]+$"}},
    "required": ["id"],
    "additionalProperties": False,
}
LOOK_UP = {
    "name": "look_up",
    "description": "Looks an order up.",
    "parameters": PARAMETERS,
    "http": {"url": "https://shop.example.com/"},
}


@dataclass
class Deeds:
    """What was done to the call."""

    done: list[str] = field(default_factory=list)
    outcome: CallOutcome = field(default_factory=CallOutcome)
    caller_number: str | None = "+4930123456"
    failure: str | None = None

    def end_call(self, _: object = None) -> None:
        self.done.append("end")

    async def send_dtmf(self, digits: str) -> None:
        self.done.append(digits)

    async def put_through(self, transfer: Transfer) -> str | None:
        self.done.append(transfer.number)
        return self.failure


class Http:
    """A service that answers at once, or fails."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.error: Exception | None = None
        self.seconds = 0.0
        self.began_at = 0.0

    async def call(self, _tool: Tool, _http: HttpTool, arguments: dict[str, object]) -> str:
        self.asked.append(arguments)
        self.began_at = asyncio.get_running_loop().time()
        await play(self.seconds)
        if self.error is not None:
            raise self.error
        return '{"status": "sent"}'


class Model(llm.LLM[Any]):
    """Calls a tool with some arguments, and then says what came of it."""

    def __init__(self, calls: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.calls = list(calls)
        self.choices: list[object] = []

    def chat(
        self, *, chat_ctx: Any, tools: Any = None, conn_options: Any = None, tool_choice: Any = None, **_: Any
    ) -> Any:
        self.choices.append(tool_choice)
        return _Thought(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Thought(llm.LLMStream):
    async def _run(self) -> None:
        model = cast("Model", self._llm)
        if model.calls and model.choices[-1] != "none":
            name, arguments = model.calls.pop(0)
            call = llm.FunctionToolCall(name=name, arguments=arguments, call_id=f"c{len(model.calls)}")
            self._event_ch.send_nowait(
                llm.ChatChunk(id="c", delta=llm.ChoiceDelta(role="assistant", tool_calls=[call]))
            )
        else:
            self._event_ch.send_nowait(chunk("Done."))


@dataclass
class Table:
    """A session with one caller at it."""

    session: AgentSession[None]
    model: Model
    http: Http
    deeds: Deeds
    agent: Agent

    async def ask(self) -> RunResult[None]:
        await self.session.start(self.agent)
        result = await self.session.run(user_input="go on")
        await self.session.aclose()
        return cast("RunResult[None]", result)


def table(*calls: tuple[str, str], rounds: int = 3, **changes: Any) -> Table:
    tool = Tool.model_validate({**LOOK_UP, **changes})
    model, http, deeds = Model(calls), Http(), Deeds()
    toolbox = Toolbox([tool], cast("HttpTools", http), deeds, language="en", values={"name": "Ada"})
    session: AgentSession[None] = AgentSession(
        llm=model,
        vad=None,
        turn_handling={"turn_detection": None},
        max_tool_steps=steps_of(ToolPolicy(max_rounds=rounds)),
    )
    return Table(session, model, http, deeds, Agent(instructions="x", tools=toolbox.tools()))


def outputs(result: RunResult[None]) -> list[tuple[str, bool]]:
    return [(e.item.output, e.item.is_error) for e in result.events if e.type == "function_call_output"]


async def test_a_tool_is_used_and_its_answer_reaches_the_model() -> None:
    at = table(("look_up", '{"id": "7"}'))
    result = await at.ask()

    result.expect.next_event().is_function_call(name="look_up", arguments={"id": "7"})
    result.expect.next_event().is_function_call_output(output='{"status": "sent"}', is_error=False)
    result.expect.next_event().is_message(role="assistant")
    assert at.http.asked == [{"id": "7"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [('{"id": "seven"}', "id: "), ("{}", "the arguments: "), ('{"id": "7", "more": 1}', "the arguments: ")],
    ids=["wrong", "missing", "too many"],
)
async def test_wrong_arguments_are_told_and_nothing_is_asked(arguments: str, said: str) -> None:
    at = table(("look_up", arguments))
    ((output, is_error),) = outputs(await at.ask())

    assert is_error
    assert output.startswith(said)
    assert at.http.asked == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "This did not work just now. Say so, and offer what else you can do. (out of reach)"),
        ({"onError": "Say that the shop is closed."}, "Say that the shop is closed."),
    ],
    ids=["our words", "the spec's words"],
)
async def test_a_tool_that_fails_is_told_to_the_model(changes: dict[str, Any], said: str) -> None:
    at = table(("look_up", '{"id": "7"}'), **changes)
    at.http.error = ToolFailedError("out of reach")

    assert outputs(await at.ask()) == [(said, True)]


async def test_the_specs_own_words_hide_from_nobody_that_something_may_have_been_done() -> None:
    at = table(("look_up", '{"id": "7"}'), onError="Say that the shop is closed.")
    at.http.error = ToolFailedError(f"the service did not answer in time; {DOUBT}")
    ((said, _),) = outputs(await at.ask())

    assert said.startswith("Say that the shop is closed. (")
    assert DOUBT in said


async def test_a_bug_of_ours_is_no_traceback_for_anybody() -> None:
    at = table(("look_up", '{"id": "7"}'))
    at.http.error = KeyError("secret")
    ((output, is_error),) = outputs(await at.ask())

    assert is_error
    assert output == "This did not work just now. Say so, and offer what else you can do."


@pytest.mark.parametrize("rounds", [1, 3])
async def test_after_some_rounds_the_agent_answers_without_tools(rounds: int) -> None:
    at = table(*[("look_up", '{"id": "7"}')] * 20, rounds=rounds)
    result = await at.ask()

    assert len(at.http.asked) == rounds
    assert at.model.choices[-1] == "none"
    result.expect.contains_message(role="assistant")


async def test_the_call_is_ended_by_its_goodbye_and_no_other_word() -> None:
    at = table(("done", "{}"), name="done", http=None, parameters=None, builtin={"type": "EndCall"})
    result = await at.ask()

    assert at.deeds.done == ["end"]
    assert not [event for event in result.events if event.type == "message"]


async def test_keys_are_pressed() -> None:
    at = table(("keys", '{"digits": "12#"}'), name="keys", http=None, parameters=None, builtin={"type": "SendDtmf"})
    await at.ask()

    assert at.deeds.done == ["12#"]


async def test_opening_hours_are_told() -> None:
    hours = {"timeZone": "UTC", "hours": [{"days": ["Mon"], "start": "09:00", "end": "17:00"}]}
    at = table(
        ("hours", "{}"), name="hours", http=None, parameters=None,
        builtin={"type": "BusinessHours", "businessHours": hours},
    )  # fmt: skip
    ((output, is_error),) = outputs(await at.ask())

    assert not is_error
    assert '"open": ' in output


def builtin_table(*arguments: str, **builtin: Any) -> Table:
    calls = [("it", each) for each in arguments]
    return table(*calls, name="it", http=None, parameters=None, builtin=builtin)


async def test_a_caller_who_was_put_through_hears_no_more_of_the_agent() -> None:
    at = builtin_table("{}", type="Transfer", transfer={"number": "+4930100"})
    result = await at.ask()

    assert at.deeds.done == ["+4930100"]
    assert not [event for event in result.events if event.type == "message"]


@pytest.mark.parametrize(
    ("on_error", "said"), [(None, "Nobody picked up. Go on."), ("Say sorry.", "Say sorry.")],
    ids=["our words", "the spec's words"],
)  # fmt: skip
async def test_a_transfer_that_failed_is_told_to_the_model(on_error: str | None, said: str) -> None:
    transfer = {"type": "Transfer", "transfer": {"number": "+4930100"}}
    at = table(("it", "{}"), name="it", http=None, parameters=None, builtin=transfer, onError=on_error)
    at.deeds.failure = "Nobody picked up. Go on."

    assert outputs(await at.ask()) == [(said, False)]


async def test_a_caller_who_still_speaks_while_put_on_hold_hears_that_nobody_was_reached() -> None:
    at = builtin_table("{}", type="Transfer", transfer={"number": "+4930100"})
    rings, is_over = asyncio.Event(), asyncio.Event()

    async def put_through(_: Transfer) -> str:
        rings.set()
        await is_over.wait()
        return "Nobody picked up. Go on."

    at.deeds.put_through = put_through  # type: ignore[method-assign]
    await at.session.start(at.agent)
    answer = at.session.generate_reply(user_input="connect me")
    await rings.wait()
    while at.session.current_speech is not None:  # noqa: ASYNC110 - nobody says when what comes before it is said
        await asyncio.sleep(0)
    # As the SDK does when the last words are written down.
    at.session.interrupt()
    is_over.set()
    await answer
    await at.session.aclose()

    assert not answer.interrupted
    assert "Done." in [message.text_content for message in at.session.history.messages()]


FEEDBACK = {"question": "How was this call, {{name}}?", "scale": 5}


@pytest.mark.parametrize("rating", ["4", "4.0"])
async def test_a_rating_is_asked_for_and_kept(rating: str) -> None:
    at = builtin_table("{}", f'{{"rating": {rating}}}', type="CollectFeedback", feedback=FEEDBACK)
    asked, noted = outputs(await at.ask())

    assert "How was this call, Ada?" in asked[0]
    assert not noted[1]
    assert at.deeds.outcome == CallOutcome(feedback=Rating(4, 5))


@pytest.mark.parametrize("rating", ["0", "6", "2.5", '"four"', "true"])
async def test_a_rating_that_is_none_is_not_kept(rating: str) -> None:
    at = builtin_table(f'{{"rating": {rating}}}', type="CollectFeedback", feedback=FEEDBACK)
    ((_, is_error),) = outputs(await at.ask())

    assert is_error
    assert at.deeds.outcome == CallOutcome()


async def test_who_wants_no_more_calls_is_noted_and_told() -> None:
    at = builtin_table("{}", type="OptOut")
    ((output, _),) = outputs(await at.ask())

    assert "Confirm" in output
    assert at.deeds.outcome == CallOutcome(opted_out=True)


@pytest.mark.parametrize(
    ("arguments", "number"),
    [("{}", "+4930123456"), ('{"number": "+49 30 998877"}', "+4930998877")],
    ids=["the caller's own", "another one"],
)
async def test_who_wants_to_be_called_back_is_noted(arguments: str, number: str) -> None:
    at = builtin_table(arguments, type="Callback", number="+4930199")
    await at.ask()

    assert at.deeds.outcome == CallOutcome(callback=CallbackWish(number, None, "+4930199"))


async def test_a_callback_that_cannot_be_is_told_with_its_reason() -> None:
    at = builtin_table('{"when": "2020-01-01T10:00"}', type="Callback")
    ((output, is_error),) = outputs(await at.ask())

    assert is_error
    assert "that is past" in output
    assert at.deeds.outcome == CallOutcome()


async def test_who_waits_is_told_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    at = table(("look_up", '{"id": "7"}'), filler={"afterMilliseconds": 200, "phrases": ["Let me see, {{name}}."]})
    at.http.seconds = 1.0
    monkeypatch.setattr(at.session, "say", lambda words, **_: said.append(words))
    await at.ask()

    assert said == ["Let me see, Ada."]


async def test_who_waits_for_long_is_told_so_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(under_test, "_AGAIN_SECONDS", 0.1)
    at = table(("look_up", '{"id": "7"}'), filler={"afterMilliseconds": 200})
    at.http.seconds = 1.0
    monkeypatch.setattr(at.session, "say", lambda words, **_: said.append(words))
    await at.ask()

    assert len(said) in (2, 3)


async def test_who_waits_for_a_second_and_a_half_is_told_so_unless_the_tool_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said_at: list[float] = []
    at = table(("look_up", '{"id": "7"}'))
    at.http.seconds = 2.0
    monkeypatch.setattr(at.session, "say", lambda *_, **__: said_at.append(asyncio.get_running_loop().time()))
    await at.ask()

    (waited_seconds,) = (each - at.http.began_at for each in said_at)
    assert 1.4 <= waited_seconds < 2.0


async def test_who_need_not_wait_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    at = table(("look_up", '{"id": "7"}'))
    monkeypatch.setattr(at.session, "say", lambda words, **_: said.append(words))
    await at.ask()

    assert said == []


def test_what_the_plan_takes_for_known_is_what_there_is() -> None:
    assert sorted(BUILTINS) == sorted(KNOWN_BUILTINS)


def test_somebody_who_waits_is_told_so_in_the_agents_language() -> None:
    assert one_moment("de-DE") != one_moment("en")
