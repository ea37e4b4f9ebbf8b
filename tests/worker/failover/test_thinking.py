"""Who thinks: an answer comes to its end, whoever falls silent when, and no word comes twice."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from livekit.agents import NOT_GIVEN, APIConnectionError, APIConnectOptions, APIStatusError, function_tool, llm

from tests.worker.failover.scripted import TIMEOUT_SECONDS, Rotating, Stage, Step, Thinker, lineup, stage
from voicefleet.providers.breaker import State
from voicefleet_worker.failover.thinking import ThinkingInTurn

DOWN = APIStatusError("down", status_code=503)
LOST = APIConnectionError("lost")
REFUSED = APIStatusError("no such key", status_code=401)


def thinkers(retries: int = 0, **scripts: list[list[Step]]) -> tuple[dict[str, Thinker], Stage]:
    models = {name: Thinker(*answers) for name, answers in scripts.items()}
    of = lineup("Llm", *models)
    of = replace(of, plans=tuple(replace(plan, retries=retries) for plan in of.plans))
    return models, stage(of, lambda plan: models[plan.name])


async def answer(of: Stage, **wishes: Any) -> tuple[str, list[str]]:
    """Ask one question; return what was said and which tools were called."""
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="how late is it?")
    text, tools = "", []
    options = APIConnectOptions(max_retry=0)
    async with ThinkingInTurn(of.switch).chat(chat_ctx=context, conn_options=options, **wishes) as stream:
        async for chunk in stream:
            if chunk.delta:
                text += chunk.delta.content or ""
                tools += [call.name for call in chunk.delta.tool_calls]
    return text, tools


@pytest.mark.parametrize(
    "fails",
    [
        [DOWN],
        [REFUSED],
        [APIStatusError("slow down", status_code=429)],
        [LOST],
        [ValueError("a bug of the plugin")],
        [10.0],
        [],
    ],
    ids=["503", "401", "429", "lost", "bug", "slow", "empty answer"],
)
async def test_before_the_first_word_another_one_answers(fails: list[Step]) -> None:
    models, set_stage = thinkers(a=[fails], b=[["It is ", "noon."]])

    assert await answer(set_stage) == ("It is noon.", [])
    assert len(models["b"].asked[0].items) == 1, "it is asked the same question"


@pytest.mark.parametrize("fails", [LOST, 10.0], ids=["lost", "stalled"])
async def test_in_the_middle_another_one_goes_on_with_the_next_word(fails: Step) -> None:
    models, set_stage = thinkers(a=[["It is ha", "lf past el", fails]], b=[["eleven, ", "I think."]])

    assert await answer(set_stage) == ("It is half past eleven, I think.", [])
    said, wish = models["b"].asked[0].items[-2:]
    assert isinstance(said, llm.ChatMessage)
    assert isinstance(wish, llm.ChatMessage)
    # The piece of a word that was never heard is not there.
    assert (said.role, said.text_content) == ("assistant", "It is half past ")
    assert wish.role == "system"


async def test_a_third_one_goes_on_where_the_second_fell_silent() -> None:
    models, set_stage = thinkers(a=[["One ", LOST]], b=[["two ", LOST]], c=[["three."]])

    assert await answer(set_stage) == ("One two three.", [])
    said = models["c"].asked[0].items[-2]
    assert isinstance(said, llm.ChatMessage)
    assert said.text_content == "One two "


async def test_tools_that_were_called_are_called_once() -> None:
    models, set_stage = thinkers(a=[["Let me see. ", "call look_up", LOST]], b=[["call look_up"]])

    assert await answer(set_stage) == ("Let me see. ", ["look_up"])
    assert models["b"].asked == []


async def test_when_nobody_is_left_the_turn_fails_and_says_why() -> None:
    _, set_stage = thinkers(a=[[DOWN]], b=[[LOST]])

    with pytest.raises(APIConnectionError, match="a: has just failed at this; b: has just failed at this"):
        await answer(set_stage)


async def test_who_may_try_again_does_and_each_try_is_known_to_the_breaker() -> None:
    models, set_stage = thinkers(retries=2, a=[[DOWN], [LOST], ["Yes."]], b=[["No."]])

    assert await answer(set_stage) == ("Yes.", [])
    assert (len(models["a"].asked), models["b"].asked) == (3, [])
    (found,) = [c for c in set_stage.health.candidates(set_stage.switch.lineup) if c.name == "a"]
    assert (found.breaker.window.failures, found.breaker.window.successes) == (2, 1)


async def test_who_wants_fewer_requests_is_not_asked_again_however_often_it_may_be() -> None:
    models, set_stage = thinkers(retries=5, a=[[APIStatusError("slow down", status_code=429)]], b=[["Yes."]])

    assert await answer(set_stage) == ("Yes.", [])
    assert len(models["a"].asked) == 1


async def test_a_slow_one_has_its_time_for_each_try_and_no_more() -> None:
    _, set_stage = thinkers(retries=1, a=[[10.0], [10.0]], b=[["Yes."]])
    loop = asyncio.get_running_loop()
    began = loop.time()

    await answer(set_stage)

    assert loop.time() - began == pytest.approx(2 * TIMEOUT_SECONDS, abs=0.2)


async def test_who_failed_too_often_is_not_asked_any_more() -> None:
    models, set_stage = thinkers(a=[[DOWN]] * 9, b=[["Yes."]] * 9)

    for _ in range(9):
        await answer(set_stage)

    # The call has gone on with who answered; the first is tried only by those who come fresh.
    assert len(models["a"].asked) == 1
    assert len(models["b"].asked) == 9


async def test_a_refused_key_closes_the_door_at_once() -> None:
    _, set_stage = thinkers(a=[[APIStatusError("no", status_code=401)]], b=[["Yes."]])
    await answer(set_stage)

    states = {c.name: c.breaker.state for c in set_stage.health.candidates(set_stage.switch.lineup)}
    assert states == {"a": State.OPEN, "b": State.CLOSED}


async def test_a_request_that_no_provider_would_take_is_nobodys_fault() -> None:
    _, set_stage = thinkers(a=[[APIStatusError("too long", status_code=400)]] * 9, b=[["Yes."]] * 9)
    for _ in range(9):
        await answer(set_stage)

    assert set_stage.reporter._report.provider_errors == 0


async def test_requests_and_errors_are_counted() -> None:
    _, set_stage = thinkers(a=[[DOWN]], b=[["Yes."], ["No."]])
    await answer(set_stage)
    await answer(set_stage)

    report = set_stage.reporter._report
    assert (report.provider_requests, report.provider_errors) == (3, 1)


async def test_an_answer_that_is_not_wanted_any_more_says_nothing_of_its_provider() -> None:
    models, set_stage = thinkers(a=[[10.0]])
    context = llm.ChatContext.empty()
    stream = ThinkingInTurn(set_stage.switch).chat(chat_ctx=context)
    await asyncio.sleep(0.05)

    await stream.aclose()

    report = set_stage.reporter._report
    assert (report.provider_requests, report.provider_errors) == (0, 0)
    candidates: list[Any] = list(set_stage.health.candidates(set_stage.switch.lineup))
    assert [candidate.in_use for candidate in candidates] == [0]
    assert len(models["a"].asked) == 1


async def test_a_first_word_is_a_success_although_the_caller_interrupts() -> None:
    _, set_stage = thinkers(a=[["One ", 10.0]])
    stream = ThinkingInTurn(set_stage.switch).chat(chat_ctx=llm.ChatContext.empty())
    await anext(aiter(stream))
    await stream.aclose()

    report = set_stage.reporter._report
    assert (report.provider_requests, report.provider_errors) == (1, 0)
    assert set_stage.switch.current.name == "a"


async def test_who_takes_over_and_finds_that_all_was_said_says_nothing() -> None:
    _, set_stage = thinkers(a=[["It is noon.", LOST]], b=[[]])

    assert await answer(set_stage) == ("It is noon.", [])


async def test_only_words_keep_an_answer_from_being_given_up() -> None:
    models, set_stage = thinkers(a=[["", *[0.3, ""] * 20]], b=[["Yes."]])

    assert await answer(set_stage) == ("Yes.", [])
    assert len(models["a"].asked) == 1


async def test_what_was_measured_is_handed_on_once_however_many_answers_are_under_way() -> None:
    _, set_stage = thinkers(a=[[0.05, "One."], [0.1, "Two."]])
    thinking = ThinkingInTurn(set_stage.switch)
    measured: list[object] = []
    thinking.on("metrics_collected", measured.append)

    async def ask() -> None:
        async with thinking.chat(chat_ctx=llm.ChatContext.empty()) as stream:
            async for _ in stream:
                pass

    await asyncio.gather(ask(), ask())

    assert len(measured) == 2


async def test_tokens_are_counted_once_although_they_are_told_with_each_piece() -> None:
    told: list[int] = []
    models, set_stage = thinkers(a=[["Nine ", "o'clock."]])
    set_stage.health.use_tokens = lambda _, tokens: told.append(tokens)  # type: ignore[method-assign]
    models["a"].totals = [40, 55]
    await answer(set_stage)

    assert sum(told) == 55


async def test_a_call_that_is_older_than_its_key_asks_once_more_with_the_new_one() -> None:
    rotating = Rotating()
    models = {1: Thinker([0.05, REFUSED]), 2: Thinker(["It is ", "noon."])}
    set_stage = stage(lineup("Llm", "only"), rotating.building(models.__getitem__), rotating.of)
    asking = asyncio.create_task(answer(set_stage))
    await asyncio.sleep(0.01)
    rotating.key = 2

    assert await asking == ("It is noon.", [])


async def test_a_key_that_stays_refused_ends_the_turn() -> None:
    rotating = Rotating()
    set_stage = stage(lineup("Llm", "only"), rotating.building(lambda _: Thinker([REFUSED])), rotating.of)

    with pytest.raises(APIConnectionError, match="only: has just failed at this"):
        await answer(set_stage)


async def called(of: Stage, *, parallel_tool_calls: bool, has_tools: bool = True) -> list[str]:
    """Ask one question and return which tools are to be called."""
    thinking = ThinkingInTurn(of.switch, parallel_tool_calls=parallel_tool_calls)
    tools: list[llm.Tool] = [look_up] if has_tools else []
    async with thinking.chat(chat_ctx=llm.ChatContext.empty(), tools=tools) as stream:
        return [call.name async for chunk in stream if chunk.delta for call in chunk.delta.tool_calls]


@function_tool
async def look_up() -> str:
    """Look something up."""
    return ""


@pytest.mark.parametrize(
    ("parallel", "has_tools", "told"),
    [(False, True, False), (True, True, NOT_GIVEN), (False, False, NOT_GIVEN)],
    ids=["one at a time", "as the model likes", "no tools"],
)
async def test_a_model_is_told_to_call_one_tool_at_a_time(told: object, *, parallel: bool, has_tools: bool) -> None:
    """Servers refuse the wish in a request without tools."""
    models, set_stage = thinkers(a=[[DOWN]], b=[["Yes."]])
    await called(set_stage, parallel_tool_calls=parallel, has_tools=has_tools)

    assert [model.wishes[0]["parallel_tool_calls"] for model in models.values()] == [told, told]


@pytest.mark.parametrize("name", ["o4-mini", "openai/o3"])
async def test_a_model_that_refuses_to_be_told_is_not(name: str) -> None:
    model = Thinker(["call one", "call two"])
    set_stage = stage(lineup("Llm", "a", model=name), lambda _: model)

    assert await called(set_stage, parallel_tool_calls=False) == ["one"]
    assert model.wishes[0]["parallel_tool_calls"] is NOT_GIVEN


@pytest.mark.parametrize("pieces", [["call one", "call two", "call three"], ["call one two three"]])
async def test_of_several_calls_the_first_is_made_where_they_are_made_one_at_a_time(pieces: list[str]) -> None:
    _, set_stage = thinkers(a=[["Let me see. ", *pieces]] * 2)

    assert await called(set_stage, parallel_tool_calls=False) == ["one"]
    assert await called(set_stage, parallel_tool_calls=True) == ["one", "two", "three"]


async def test_a_model_that_calls_a_tool_where_it_may_not_has_said_nothing() -> None:
    """After the last round, and at the goodbye: the SDK passes over the call, and there would be silence."""
    models, set_stage = thinkers(a=[["call look_up"]], b=[["It is ", "call look_up", "noon."]])

    assert await answer(set_stage, tool_choice="none") == ("It is noon.", [])
    assert len(models["b"].asked) == 1
