"""When a call is over, and that nobody is left in silence."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import AgentSession, CloseEvent, CloseReason, JobContext

from tests.worker.failover.scripted import unread
from tests.worker.files import Mounted
from voicefleet.records.ends import End
from voicefleet.records.life import News
from voicefleet_worker.calls import call as life
from voicefleet_worker.calls import entry, lookup, presence
from voicefleet_worker.calls.call import Call
from voicefleet_worker.calls.manners import Manners
from voicefleet_worker.calls.transfers import Transfers
from voicefleet_worker.desk.reports import CallReport, ReportBox, Reporter
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.handoffs.team import Team
from voicefleet_worker.settings import Settings, load_settings

ADA = "ada"


@dataclass
class Room:
    """A room with one caller, who may go and come back."""

    remote_participants: dict[str, Any] = field(default_factory=dict)
    handlers: dict[str, list[Callable[..., None]]] = field(default_factory=dict)
    number: str = "RM_1"
    connected: bool = True
    connection_state: int = rtc.ConnectionState.CONN_CONNECTED

    @property
    async def sid(self) -> str:
        return self.number

    def on(self, event: str, handler: Callable[..., None]) -> None:
        self.handlers.setdefault(event, []).append(handler)

    def off(self, event: str, handler: Callable[..., None]) -> None:
        self.handlers[event].remove(handler)

    def isconnected(self) -> bool:
        return self.connected

    def put_out(self, reason: int) -> None:
        """Put the agent out."""
        self.connected = False
        for handler in self.handlers["disconnected"]:
            handler(reason)

    def join(self) -> Any:
        self.remote_participants[ADA] = SimpleNamespace(identity=ADA, disconnect_reason=None, attributes={})
        return self.remote_participants[ADA]

    def leave(self, reason: int | None) -> None:
        participant = self.remote_participants.pop(ADA)
        participant.disconnect_reason = reason
        for handler in self.handlers["participant_disconnected"]:
            handler(participant)


class Job:
    """What a call asks of its job."""

    def __init__(self, settings: Settings, reports: Path | None = None) -> None:
        self.room = Room()
        self.job = SimpleNamespace(
            id="AJ_1", dispatch_id="AD_1", metadata="", room=SimpleNamespace(sid="RM_1", name="call-1")
        )
        setup = entry.CallSetup(settings.plan, settings.secrets, settings.livekit, reports)
        self.proc = SimpleNamespace(userdata={"setup": setup})
        self.livekit_answers = asyncio.Event()
        self.livekit_answers.set()
        self.told: list[str] = []
        self.farewells: list[Callable[[str], Any]] = []

    def add_shutdown_callback(self, callback: Callable[[str], Any]) -> None:
        self.farewells.append(callback)

    async def connect(self) -> None:
        await self.livekit_answers.wait()

    async def delete_room(self) -> None:
        await self.livekit_answers.wait()
        self.told.append("room deleted")

    def shutdown(self, reason: str) -> None:
        self.told.append(reason)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "RETURN_SECONDS", 0.02)
    monkeypatch.setattr(life, "HANG_UP_SECONDS", 0.02)


def call_of(job: Job, settings: Settings, *, session: object = None) -> Call:
    ctx = cast("JobContext", job)
    team = cast("Team", None)
    return Call(
        ctx=ctx,
        plan=settings.plan,
        team=team,
        session=cast("AgentSession[None]", session),
        reporter=Reporter("AJ_1", None),
        notebook=unread(),
        board=BoardReader(),
    )


def call_at(job: Job, settings: Settings, *news: News) -> Call:
    """A call whose caller has picked up, and what happened since."""
    call = call_of(job, settings)
    for each in (News.WARM, News.CAME, News.PICKED_UP, *news):
        assert call.course.move(each)
    return call


def begun(settings: Settings) -> Job:
    job = Job(settings)
    call_of(job, settings).watch_caller(job.room.join())
    return job


async def test_who_comes_when_the_room_is_gone_does_not_wait_in_a_new_one(settings: Settings) -> None:
    """LiveKit makes a room anew for whoever joins it by name, and nobody would ever come into that one."""
    job = Job(settings)
    job.room.number = "RM_2"
    call = call_of(job, settings)
    call.session = cast("AgentSession[None]", SimpleNamespace(on=lambda *_: None))

    await call.begin()

    assert job.told == ["the room is gone"]


async def test_a_second_agent_for_one_caller_leaves_without_a_word(settings: Settings) -> None:
    job = Job(settings)
    job.room.join()
    first = SimpleNamespace(identity="agent-1", attributes={"lk.agent_name": settings.plan.dispatch_name})
    job.room.remote_participants["agent-1"] = first
    call = call_of(job, settings)
    call.session = cast("AgentSession[None]", SimpleNamespace(on=lambda *_: None))

    await call.begin()

    assert job.told == ["another agent is here"]


@pytest.mark.parametrize("reason", [rtc.DisconnectReason.CLIENT_INITIATED, rtc.DisconnectReason.SIP_TRUNK_FAILURE])
async def test_a_caller_who_leaves_ends_the_call_at_once(settings: Settings, reason: int) -> None:
    job = begun(settings)
    job.room.leave(reason)

    assert job.told == ["caller left"]


@pytest.mark.parametrize(
    "reason",
    [
        None,
        rtc.DisconnectReason.UNKNOWN_REASON,
        rtc.DisconnectReason.DUPLICATE_IDENTITY,
        rtc.DisconnectReason.CONNECTION_TIMEOUT,
    ],
)
async def test_a_caller_whose_line_broke_may_come_back(settings: Settings, reason: int | None) -> None:
    job = begun(settings)
    job.room.leave(reason)
    job.room.join()
    await asyncio.sleep(0.06)

    assert job.told == []
    job.room.leave(rtc.DisconnectReason.CLIENT_INITIATED)
    assert job.told == ["caller left"]


async def test_a_caller_whose_line_broke_for_good_ends_the_call(settings: Settings) -> None:
    job = begun(settings)
    job.room.leave(rtc.DisconnectReason.CONNECTION_TIMEOUT)
    assert job.told == []
    await asyncio.sleep(0.06)

    assert job.told == ["caller left"]


async def test_nobody_is_gone_for_an_agent_that_is_on_its_way_back_itself(settings: Settings) -> None:
    job = begun(settings)
    job.room.connection_state = rtc.ConnectionState.CONN_RECONNECTING
    job.room.leave(None)
    await asyncio.sleep(0.2)
    assert job.told == []

    job.room.connection_state = rtc.ConnectionState.CONN_CONNECTED
    await asyncio.sleep(0.2)
    assert job.told == ["caller left"]


async def test_a_call_whose_key_is_gone_is_hung_up(mounted: Mounted) -> None:
    settings = await asyncio.to_thread(load_settings, mounted.flags, {})
    (mounted.folder / "secrets/openai/api-key").unlink()
    job = Job(settings)

    await entry.entrypoint(cast("JobContext", job))

    assert job.told == ["room deleted", "secret missing"]


async def test_names_that_nobody_resolves_leave_threads_for_the_next_provider(mounted: Mounted) -> None:
    """Three jobs of one make, tried twice each, are six lookups that hang: as many threads as two cores have."""
    settings = await asyncio.to_thread(load_settings, mounted.flags, {})
    (mounted.folder / "secrets/openai/api-key").unlink()
    await entry.entrypoint(cast("JobContext", Job(settings)))
    loop, answered = asyncio.get_running_loop(), threading.Event()
    lookups = [loop.run_in_executor(None, answered.wait) for _ in range(40)]
    try:
        async with asyncio.timeout(2):
            assert await asyncio.to_thread(lambda: 7) == 7
    finally:
        answered.set()
        await asyncio.gather(*lookups)


async def test_a_call_whose_session_cannot_be_built_is_hung_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("keyterms need another model")

    monkeypatch.setattr(entry, "build_session", refuse)
    job = Job(settings)

    with pytest.raises(ValueError, match="keyterms"):
        await entry.entrypoint(cast("JobContext", job))

    assert job.told == ["room deleted", "call cannot begin"]


async def test_a_livekit_that_does_not_answer_keeps_no_job(settings: Settings) -> None:
    job = Job(settings)
    job.livekit_answers.clear()

    await call_of(job, settings)._hang_up(End.SESSION_FAILED)

    assert job.told == ["session failed"]


async def test_a_room_that_cannot_be_entered_is_left_alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: Call) -> None:
        raise rtc.ConnectError("no way in")

    monkeypatch.setattr(Call, "begin", refuse)
    monkeypatch.setattr(entry, "build_session", lambda *_: None)
    job = Job(settings)

    with pytest.raises(rtc.ConnectError):
        await entry.entrypoint(cast("JobContext", job))

    assert job.told == []


async def test_a_livekit_that_never_lets_the_agent_in_does_not_keep_its_slot(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "CONNECT_SECONDS", 0.02)
    job = Job(settings)
    job.livekit_answers.clear()

    async with asyncio.timeout(5):
        with pytest.raises(rtc.ConnectError, match=r"0\.02 s"):
            await call_of(job, settings)._connect()


class Line(Reporter):
    """What a call reports, without anybody to hear it."""

    def __init__(self) -> None:
        super().__init__("AJ_1", None)

    @property
    def word(self) -> tuple[bool, bool, bool]:
        return self._report.farewell, self._report.failed, self._report.hung_up_early


def call_with(line: Line, job: Job, settings: Settings) -> Call:
    call = call_of(job, settings)
    call.reporter = line
    return call


@pytest.mark.parametrize(
    ("answered_seconds", "status", "early"),
    [(-9.9, "active", True), (-10.5, "active", False), (None, "", True), (None, "ringing", False)],
    ids=["just before ten seconds", "just after", "before we greeted", "without ever picking up"],
)
def test_who_hangs_up_early_is_counted(
    settings: Settings, answered_seconds: float | None, status: str, early: bool
) -> None:
    job, line = Job(settings), Line()
    call = call_with(line, job, settings)
    if answered_seconds is not None:
        call.presence.answered_seconds = time.monotonic() + answered_seconds
    caller = job.room.join()
    caller.attributes = {"sip.callStatus": status}
    call.watch_caller(caller)
    job.room.leave(rtc.DisconnectReason.CLIENT_INITIATED)

    assert line.word == (True, False, early)


async def test_a_line_that_broke_is_nobodys_hanging_up(settings: Settings) -> None:
    job, line = Job(settings), Line()
    call_with(line, job, settings).watch_caller(job.room.join())
    job.room.leave(rtc.DisconnectReason.CONNECTION_TIMEOUT)
    await asyncio.sleep(0.06)

    assert line.word == (True, False, False)


async def test_a_session_that_fails_is_a_call_that_failed(settings: Settings) -> None:
    job, line = Job(settings), Line()
    call = call_with(line, job, settings)
    call._on_close(CloseEvent(reason=CloseReason.ERROR))
    await asyncio.gather(*call._tasks)

    assert (line.word, job.told) == ((True, True, False), ["room deleted", "session failed"])


def test_a_session_that_closes_is_a_call_that_ended(settings: Settings) -> None:
    line = Line()
    call_with(line, Job(settings), settings)._on_close(CloseEvent(reason=CloseReason.JOB_SHUTDOWN))

    assert line.word == (True, False, False)


@pytest.mark.parametrize(
    ("reason", "failed"),
    # LiveKit ends a job whose room somebody deleted, and the SDK calls that what it calls our own leaving.
    [("caller left", 0), ("room disconnected", 0), ("job crashed", 1), ("parent process shutdown", 0)],
)
async def test_the_last_word_says_whether_the_call_failed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reason: str, failed: int
) -> None:
    async def begin(_: Call) -> None:
        return

    monkeypatch.setattr(Call, "begin", begin)
    monkeypatch.setattr(entry, "build_session", lambda *_: None)
    said: list[CallReport] = []
    box = ReportBox(tmp_path, said.append)
    job = Job(settings, box.address)
    await entry.entrypoint(cast("JobContext", job))
    for say_farewell in job.farewells:
        await say_farewell(reason)
    box.read()
    box.close()

    assert (said[-1].job_id, said[-1].farewell, said[-1].failed) == ("AJ_1", True, bool(failed))


async def test_a_call_that_cannot_begin_has_failed(mounted: Mounted, tmp_path: Path) -> None:
    settings = await asyncio.to_thread(load_settings, mounted.flags, {})
    await asyncio.to_thread((mounted.folder / "secrets/openai/api-key").unlink)
    said: list[CallReport] = []
    box = ReportBox(tmp_path, said.append)
    job = Job(settings, box.address)
    await entry.entrypoint(cast("JobContext", job))
    await job.farewells[0]("room disconnected")
    box.read()
    box.close()

    assert said[-1].failed


async def test_what_the_dispatch_says_wins_over_what_is_looked_up(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"PLATFORM_API_URL": "https://crm.example.com/"}
    settings = await asyncio.to_thread(load_settings, mounted.flags, environment)
    asked: list[object] = []

    async def look_up(_lookup: object, _secrets: object, known: object) -> dict[str, str]:
        asked.append(known)
        return {"name": "Grace", "tier": "gold"}

    monkeypatch.setattr(lookup, "look_up", look_up)

    async def found(given: dict[str, str]) -> dict[str, str]:
        return await lookup.find_variables(settings.plan, settings.secrets, given)

    assert await found({"name": "Ada"}) == {"name": "Ada", "tier": "gold"}
    assert await found({}) == {"name": "Grace", "tier": "gold"}
    assert asked == [{"name": "Ada"}, {"name": "there"}]


@pytest.mark.parametrize(
    ("under_way", "told"),
    [
        ((News.HOLD, News.DIAL), ["room deleted", "caller left"]),
        ((News.HOLD, News.DIAL, News.MEET), ["room deleted", "caller left"]),
        ((News.HOLD, News.REFER), ["transferred"]),
        ((News.HOLD,), ["caller left"]),
    ],
    ids=["the person's phone rings", "they meet", "the carrier is asked", "nobody is asked for"],
)
async def test_a_caller_who_goes_while_put_through(
    settings: Settings, under_way: tuple[News, ...], told: list[str]
) -> None:
    """A phone rings on for nobody; and who has been put through is gone before we are told so."""
    job = Job(settings)
    call = call_at(job, settings, *under_way)
    call.watch_caller(job.room.join())
    job.room.leave(rtc.DisconnectReason.CLIENT_INITIATED)
    await asyncio.sleep(0.05)
    # What the carrier answers in the end.
    call._end(End.TRANSFERRED)

    assert job.told == told


@pytest.mark.parametrize("why", [End.WORKER_LEAVES, End.TOO_LONG, End.AGENT_ENDED])
async def test_a_caller_who_goes_during_the_goodbye_is_not_why_the_call_ended(settings: Settings, why: End) -> None:
    job = Job(settings)
    call = call_at(job, settings)
    assert await call.course.close(why)
    call.watch_caller(job.room.join())
    job.room.leave(rtc.DisconnectReason.CLIENT_INITIATED)

    assert job.told == [why]


async def test_when_the_worker_leaves_goodbye_is_said_and_no_phone_rings_on(settings: Settings) -> None:
    call, told = call_at(Job(settings), settings), list[str]()
    call.board = cast("BoardReader", SimpleNamespace(leaving=True))
    call.manners = cast("Manners", SimpleNamespace(leave=lambda: told.append("goodbye")))
    call.transfers = cast("Transfers", SimpleNamespace(hurry=lambda: told.append("no phone rings")))
    await call._leave_with_the_worker()

    assert told == ["goodbye", "no phone rings"]


async def test_a_session_that_fails_while_caller_and_person_talk_cuts_nobody(settings: Settings) -> None:
    job = Job(settings)
    call = call_at(job, settings, News.HOLD, News.DIAL, News.MEET)
    call._on_close(CloseEvent(reason=CloseReason.ERROR))
    await asyncio.sleep(0.05)

    assert job.told == ["transferred"]
