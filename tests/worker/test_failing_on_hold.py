"""Providers that fail while a caller is put through: a person may yet pick up, and needs none of them."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import CloseEvent, CloseReason

from tests.worker.test_entry import Job, call_of
from tests.worker.test_ringing import BROWSER, Phone, Session
from voicefleet.records.ends import End
from voicefleet.records.life import News
from voicefleet_worker.calls.call import Call
from voicefleet_worker.calls.presence import Presence
from voicefleet_worker.handoffs.team import Team
from voicefleet_worker.settings import Settings

NO_VOICE = SimpleNamespace(error=SimpleNamespace(type="tts_error", recoverable=False))


class Line(Session):
    """A session whose providers fail when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.handlers: dict[str, list[Callable[[Any], None]]] = {}
        self.said: list[str] = []

    def on(self, *event: Any) -> None:
        name, handler = event
        self.handlers.setdefault(name, []).append(handler)

    async def say(self, words: str, **_: Any) -> None:
        self.said.append(words)

    async def fail(self) -> None:
        for handler in self.handlers["error"]:
            handler(NO_VOICE)
        await asyncio.sleep(0.01)


async def begun(settings: Settings) -> tuple[Call, Line, Job]:
    job, line = Job(settings), Line()
    call = call_of(job, settings, session=line)
    phone = Phone(line, is_answered=True, kind=BROWSER)
    call.presence = call.deeds.presence = call.transfers._presence = cast("Presence", phone)
    call.team = call.apologies._in_charge = cast("Team", line)
    await call.begin()
    return call, line, job


async def test_nobody_apologises_to_a_caller_on_hold_nor_hangs_up_on_one(settings: Settings) -> None:
    call, line, job = await begun(settings)
    call.course.move(News.HOLD)
    for _ in range(3):
        await line.fail()
    assert (line.said, job.told) == ([], [])

    call.course.move(News.BACK)
    await line.fail()

    assert len(line.said) == 1, "who is back with the agent is told"


async def test_a_caller_who_goes_during_the_last_apology_leaves_a_call_that_failed(settings: Settings) -> None:
    call, line, job = await begun(settings)
    call.presence = Presence(call.ctx, call.course)
    call.watch_caller(job.room.join())
    waits = asyncio.Event()

    async def say(words: str, **_: Any) -> None:
        line.said.append(words)
        if len(line.said) == 3:
            await waits.wait()

    line.say = say  # type: ignore[method-assign]
    for _ in range(3):
        await line.fail()
    job.room.leave(rtc.DisconnectReason.CLIENT_INITIATED)

    assert job.told == ["providers failed"]
    assert call.reporter._report.failed


@pytest.mark.parametrize("fails", ["session", "providers"])
@pytest.mark.parametrize("is_reached", [True, False], ids=["a person picks up", "nobody does"])
async def test_a_call_that_cannot_go_on_waits_for_whoever_is_rung(
    settings: Settings, fails: str, *, is_reached: bool
) -> None:
    call, _, job = await begun(settings)
    call.course.move(News.HOLD)
    if fails == "session":
        call._on_close(CloseEvent(reason=CloseReason.ERROR))
    else:
        call._later(call._give_up())
    await asyncio.sleep(0.01)
    assert job.told == []

    if is_reached:
        call._end(End.TRANSFERRED)
    call.course.move(News.BACK)
    await asyncio.sleep(0.01)

    assert job.told == (["transferred"] if is_reached else ["room deleted", f"{fails} failed"])
    assert call.reporter._report.failed != is_reached
