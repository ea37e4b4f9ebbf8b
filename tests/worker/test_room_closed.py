"""A room that somebody else closes ends the call, whoever of those who have to go is heard of first."""

import asyncio
import dataclasses
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from livekit import rtc
from livekit.agents import CloseEvent, CloseReason, JobContext

from tests.worker.test_entry import Job, Line, call_at, call_of, call_with
from tests.worker.test_ringing import Session
from voicefleet.records.ends import Disposition, End
from voicefleet.records.journal import Ended, read_journal
from voicefleet.records.life import News
from voicefleet_worker.calls import entry
from voicefleet_worker.calls.call import Call
from voicefleet_worker.calls.presence import Presence
from voicefleet_worker.failover.board import BoardReader, HealthBoard
from voicefleet_worker.handoffs.team import Team
from voicefleet_worker.records.journal import journal_path
from voicefleet_worker.settings import Settings

DELETED = rtc.DisconnectReason.ROOM_DELETED


def test_a_caller_who_has_to_go_with_the_room_has_not_hung_up(settings: Settings) -> None:
    job, line = Job(settings), Line()
    call = call_with(line, job, settings)
    call.presence.answered_seconds = time.monotonic()
    call.watch_caller(job.room.join())
    job.room.leave(DELETED)

    assert (job.told, line.word) == (["room disconnected"], (True, False, False))


def test_an_agent_that_has_to_go_with_the_room_leaves_nobody_to_a_person(settings: Settings) -> None:
    job = Job(settings)
    call = call_at(job, settings, News.HOLD, News.DIAL, News.MEET)
    call.watch_caller(job.room.join())
    job.room.put_out(DELETED)
    job.room.leave(rtc.DisconnectReason.UNKNOWN_REASON)
    call._on_close(CloseEvent(reason=CloseReason.USER_INITIATED))

    assert job.told == ["room disconnected"]


@pytest.mark.parametrize(("seconds", "early"), [(1, True), (11, False)])
def test_a_room_that_livekit_closes_was_left_by_its_caller(settings: Settings, seconds: float, early: bool) -> None:
    """LiveKit sweeps rooms once a second, and may close one before its agent hears that the caller went."""
    job, line = Job(settings), Line()
    call = call_with(line, job, settings)
    call.presence.answered_seconds = time.monotonic() - seconds
    call.watch_caller(job.room.join())
    job.room.put_out(rtc.DisconnectReason.ROOM_CLOSED)
    job.room.leave(rtc.DisconnectReason.UNKNOWN_REASON)
    call._on_close(CloseEvent(reason=CloseReason.USER_INITIATED))

    assert (job.told, line.word) == (["caller left"], (True, False, early))
    assert End(job.told[0]).disposition is Disposition.CALLER_HUNG_UP


def test_who_seems_to_go_because_the_agent_was_put_out_has_not_hung_up(settings: Settings) -> None:
    job = Job(settings)
    call = call_at(job, settings)
    call.watch_caller(job.room.join())
    job.room.put_out(rtc.DisconnectReason.PARTICIPANT_REMOVED)
    job.room.leave(rtc.DisconnectReason.UNKNOWN_REASON)
    assert job.told == []

    call._on_close(CloseEvent(reason=CloseReason.USER_INITIATED))
    assert job.told == ["session closed"]


@pytest.mark.parametrize(("is_there", "told"), [(True, "no caller came"), (False, "room disconnected")])
async def test_a_room_that_is_closed_before_anybody_came(settings: Settings, is_there: bool, told: str) -> None:
    async def nobody() -> None:
        job.room.connected = is_there

    job, session = Job(settings), Session()
    call = call_of(job, settings, session=session)
    call.presence = cast("Presence", SimpleNamespace(arrival=nobody))
    call.team = cast("Team", session)
    await call.begin()

    assert job.told == [told]


@pytest.mark.parametrize(("leaves", "told"), [(True, End.CUT), (False, End.SESSION_CLOSED)])
def test_a_call_that_is_cut_is_told_from_one_that_livekit_ends(settings: Settings, leaves: bool, told: End) -> None:
    job = Job(settings)
    call = call_at(job, settings)
    call.board = cast("BoardReader", SimpleNamespace(leaving=leaves))
    call._on_close(CloseEvent(reason=CloseReason.USER_INITIATED))

    assert job.told == [told]


@pytest.mark.parametrize(("leaves", "disposition"), [(True, Disposition.CUT), (False, Disposition.ROOM_CLOSED)])
async def test_what_the_sdk_calls_our_leaving_is_recorded_as_such_only_if_we_leave(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, leaves: bool, disposition: Disposition
) -> None:
    async def begin(_: Call) -> None:
        return

    monkeypatch.setattr(Call, "begin", begin)
    monkeypatch.setattr(entry, "build_session", lambda *_: None)
    board = await asyncio.to_thread(HealthBoard, tmp_path / "health", [])
    if leaves:
        board.say_goodbye()
    job = Job(settings)
    setup = job.proc.userdata["setup"]
    job.proc.userdata["setup"] = dataclasses.replace(setup, board=board.path, journals=tmp_path)
    await entry.entrypoint(cast("JobContext", job))
    for say_farewell in job.farewells:
        await say_farewell("parent process shutdown")
    board.close()
    lines = (await asyncio.to_thread(journal_path(tmp_path, "AJ_1").read_bytes)).splitlines()

    assert [End(each.reason).disposition for each in read_journal(lines) if isinstance(each, Ended)] == [disposition]
