"""A caller who speaks while a tool is at work: the model may use it again, and nothing is done twice."""

import asyncio

import pytest

from tests.worker.tools.test_toolbox import Table, table
from voicefleet_worker.tools.http import ToolFailedError


async def asked_twice(at: Table) -> list[str]:
    """Let a caller speak over a tool, and the model use it again; return what it read of the second use."""
    await at.session.start(at.agent)
    at.session.generate_reply(user_input="Book it.")
    while not at.http.asked:  # noqa: ASYNC110 - the service tells nobody else
        await asyncio.sleep(0.01)
    at.session.interrupt()
    await at.session.generate_reply(user_input="Are you still there?")
    outputs = [item.output for item in at.session.history.items if item.type == "function_call_output"]
    await at.session.aclose()
    return outputs


@pytest.mark.parametrize("arguments", ['{"id": "7"}', '{ "id":"7" }'])
async def test_the_same_use_at_the_same_time_is_one(arguments: str) -> None:
    at = table(("look_up", '{"id": "7"}'), ("look_up", arguments))
    at.http.seconds = 0.5

    assert await asked_twice(at) == ['{"status": "sent"}'] * 2
    assert len(at.http.asked) == 1


async def test_another_use_is_another_one() -> None:
    at = table(("look_up", '{"id": "7"}'), ("look_up", '{"id": "8"}'))
    at.http.seconds = 0.5
    await asked_twice(at)

    assert at.http.asked == [{"id": "7"}, {"id": "8"}]


async def test_what_is_over_may_be_done_again() -> None:
    at = table(("look_up", '{"id": "7"}'), ("look_up", '{"id": "7"}'))
    await at.ask()

    assert len(at.http.asked) == 2


async def test_a_failure_is_told_to_both() -> None:
    at = table(("look_up", '{"id": "7"}'), ("look_up", '{"id": "7"}'))
    at.http.seconds = 0.5
    at.http.error = ToolFailedError("out of reach")
    first, second = await asked_twice(at)

    assert "out of reach" in first
    assert first == second
    assert len(at.http.asked) == 1
