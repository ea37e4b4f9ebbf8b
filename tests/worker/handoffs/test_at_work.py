"""A key for another agent while a tool is at work: nobody could speak if the first agent gave way at once."""

import asyncio

import pytest

from tests.worker.handoffs.test_team import Http, Table, table, until
from voicefleet.conversation.phrases import one_moment
from voicefleet.handoffs.floor import Floor
from voicefleet_worker.handoffs import team as under_test


async def at_work(monkeypatch: pytest.MonkeyPatch, done: asyncio.Event) -> Table:
    """A call with a tool that is at work until that."""

    async def call(*_: object) -> str:
        await done.wait()
        return "{}"

    monkeypatch.setattr(Http, "call", call)
    at = await table("Hi!", ("look_up", "{}"), "The caller wants to pay.", "Billing here.")
    await at.ask("Hello.")
    at.session.generate_reply(user_input="How much is it?")
    await until(lambda: bool(at.team._at_work._calls))
    # As a key does.
    at.session.interrupt()
    return at


async def test_the_first_agent_fills_the_wait_and_gives_way_when_the_tool_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(under_test, "_FILLER_SECONDS", 0.05)
    done = asyncio.Event()
    at = await at_work(monkeypatch, done)
    pressing = asyncio.create_task(at.team.hand_over_to("billing", lambda: True))
    await until(lambda: one_moment("en") in [each.text_content for each in at.session.history.messages()])
    assert at.in_charge == "desk"

    done.set()
    assert await pressing
    await until(lambda: at.team.floor == Floor("billing"))
    await at.session.aclose()


async def test_a_tool_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_TOOLS_SECONDS", 0.05)
    done = asyncio.Event()
    at = await at_work(monkeypatch, done)

    assert await at.team.hand_over_to("billing", lambda: True)
    done.set()
    await until(lambda: at.team.floor == Floor("billing"))
    await at.session.aclose()
