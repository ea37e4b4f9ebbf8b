"""What is said and asked while nobody holds a call that one model holds alone: whoever comes hears all of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit.agents import NOT_GIVEN, llm

from tests.worker.failover.scripted import TIMEOUT_SECONDS, sound
from tests.worker.failover.test_conversing import DOWN, Call, Talker, call, until
from voicefleet_worker.failover import conversing, patience


@asynccontextmanager
async def between(*, state: str = "listening") -> AsyncIterator[Call]:
    """Have a call that the first has lost, and will hold again, dialed anew, once the second has not begun."""
    async with call(a=Talker(), b=Talker("silent")) as held:
        await until(held.conversation._life.done)
        held.agent.agent_state = state
        held.conversation.push_audio(sound(1))
        held.current.fail(DOWN)
        await until(lambda: bool(held.models["b"].talks))
        yield held


async def caught_up(held: Call) -> Any:
    """Return who takes over, once it holds the call."""
    await until(lambda: held.is_with("a", 1) and not held.conversation._swapping)
    return held.current


async def test_what_is_said_in_between_is_heard_by_who_takes_over_once_it_knows_what_was_said_before() -> None:
    async with between() as held:
        for number in (2, 3, 4):
            held.conversation.push_audio(sound(number))
        next_one = await caught_up(held)
        held.conversation.push_audio(sound(5))

        assert next_one.heard == ["what was said", 2, 3, 4, 5]
        assert held.models["a"].talks[0].heard == ["what was said", 1]
        assert held.models["b"].talks[0].heard == []
        assert next_one.asked == []


async def test_what_is_said_while_a_sentence_is_broken_off_is_heard_as_well() -> None:
    async with call(a=Talker(), b=Talker()) as held:
        await until(held.conversation._life.done)

        async def speak_over(*, force: bool) -> None:  # noqa: ARG001
            held.conversation.push_audio(sound(7))

        held.agent.interrupt = speak_over  # type: ignore[method-assign]
        held.current.fail(DOWN)
        await until(lambda: held.is_with("b"))

        assert held.current.heard == ["what was said", 7]


async def test_what_was_played_once_is_not_played_to_the_one_after() -> None:
    async with between() as held:
        held.conversation.push_audio(sound(2))
        next_one = await caught_up(held)
        held.conversation.push_audio(sound(3))
        next_one.fail(DOWN)
        await until(lambda: held.current is not next_one and not held.conversation._swapping)

        assert held.current.heard == ["what was said"]


async def test_no_more_is_kept_than_anybody_waits_for_an_answer_to() -> None:
    async with between() as held:
        for number in range(400):
            held.conversation.push_audio(sound(number, seconds=0.1))
        next_one = await caught_up(held)

        assert next_one.heard == ["what was said", *range(100, 400)]


async def test_turns_that_the_worker_tells_end_where_they_ended() -> None:
    async with between() as held:
        held.conversation.push_audio(sound(2))
        held.conversation.commit_audio()
        held.conversation.push_audio(sound(3))
        held.conversation.clear_audio()
        held.conversation.push_audio(sound(4))
        next_one = await caught_up(held)
        held.conversation.commit_audio()
        held.conversation.clear_audio()

        assert next_one.heard == ["what was said", 2, "end of turn", 4, "end of turn", "never mind"]


async def test_a_reply_that_is_asked_for_in_between_is_asked_of_who_takes_over_in_place_of_the_rest() -> None:
    """Not of who is dialed: it would answer before it has heard anything."""
    async with between(state="speaking") as held:
        reply = held.conversation.generate_reply()
        await asyncio.sleep(TIMEOUT_SECONDS / 2)
        assert held.models["b"].talks[0].asked == []
        next_one = await caught_up(held)
        spoken = next_one.answer("Here I am.", asked_for=True)

        assert await asyncio.wait_for(reply, 5) is spoken.event
        assert next_one.asked == [NOT_GIVEN]


async def test_a_reply_that_nobody_wants_any_more_is_not_asked_for() -> None:
    async with between(state="speaking") as held:
        held.conversation.generate_reply(instructions="Say goodbye.").cancel()
        next_one = await caught_up(held)

        assert next_one.asked == [conversing.GO_ON]


async def test_a_reply_that_is_given_up_later_is_given_up_by_who_was_asked() -> None:
    async with between() as held:
        reply = held.conversation.generate_reply(instructions="Say goodbye.")
        next_one = await caught_up(held)
        reply.cancel()
        await asyncio.sleep(0)

        assert next_one.asked == ["Say goodbye."]
        assert next_one.replies[0].cancelled()


async def test_a_reply_that_fails_later_fails() -> None:
    async with between() as held:
        reply = held.conversation.generate_reply(instructions="Say goodbye.")
        next_one = await caught_up(held)
        next_one.replies[0].set_exception(llm.RealtimeError("busy", code="busy"))

        with pytest.raises(llm.RealtimeError, match="busy"):
            await asyncio.wait_for(reply, 5)


@pytest.mark.parametrize("end", ["nobody is left", "the call is over"])
async def test_nobody_waits_for_a_reply_for_ever(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversing, "_TRY_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(patience, "_GIVE_UP_SECONDS", 0.3)
    async with call(a=Talker("well", *[DOWN] * 99)) as held:
        await until(held.conversation._life.done)
        held.current.fail(DOWN)
        await until(lambda: held.conversation._swapping)
        reply = held.conversation.generate_reply()
        if end == "nobody is left":
            await until(lambda: bool(held.errors))
        else:
            await held.conversation.aclose()

        with pytest.raises(llm.RealtimeError):
            await asyncio.wait_for(reply, 1)
