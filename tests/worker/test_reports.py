"""What calls tell the worker of themselves, over a real socket, and what it makes of it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.llm import AgentHandoff, ChatMessage

from voicefleet.wire import WorkerState
from voicefleet_worker.calls.listening import report_on
from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.desk.reports import CallReport, ReportBox, Reporter, open_reports
from voicefleet_worker.desk.tallies import Tallies


@pytest.fixture
def desk() -> Desk:
    """A desk with one running call."""
    desk = Desk(slots=3, identity=Identity("r1"), clock=lambda: 0.0)
    desk.answer("AJ_1")
    desk.mark_launched("AJ_1")
    return desk


@pytest.fixture
def box(desk: Desk, tmp_path: Path) -> Iterator[ReportBox]:
    box = ReportBox(tmp_path, desk.hear)
    yield box
    box.close()


def ended(desk: Desk, box: ReportBox) -> tuple[int, int, int]:
    """Let the call's process be gone, and return how many calls ended, failed and were hung up early."""
    box.read()
    desk.keep_running(())
    tally = desk.next_state().tally
    return tally.calls_ended, tally.calls_failed, tally.hung_up_early


async def test_a_call_that_says_farewell_has_ended_well(desk: Desk, box: ReportBox) -> None:
    reporter = Reporter("AJ_1", box.address)
    reporter.note_end()
    await reporter.say_farewell()

    assert ended(desk, box) == (1, 0, 0)


async def test_a_call_whose_caller_hangs_up_early_is_counted(desk: Desk, box: ReportBox) -> None:
    reporter = Reporter("AJ_1", box.address)
    reporter.note_end(hung_up_early=True)
    await reporter.say_farewell()

    assert ended(desk, box) == (1, 0, 1)


async def test_a_call_that_broke_has_failed_although_it_says_farewell(desk: Desk, box: ReportBox) -> None:
    reporter = Reporter("AJ_1", box.address)
    reporter.note_failure()
    reporter.note_end()
    await reporter.say_farewell()

    assert ended(desk, box) == (1, 1, 0)


def test_a_process_that_vanishes_without_a_farewell_has_failed(desk: Desk, box: ReportBox) -> None:
    """A real one, killed in the middle of its call."""
    script = f"""
import time, pathlib
from voicefleet_worker.desk.reports import Reporter
reporter = Reporter("AJ_1", pathlib.Path({str(box.address)!r}))
reporter.count_turn(0.55)
print("said", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"said\n"
        os.kill(process.pid, signal.SIGKILL)

    assert ended(desk, box) == (1, 1, 0)
    assert desk.next_state().tally.turn_latency[5] == 1


def test_a_process_that_vanishes_in_the_clean_up_after_its_call_has_not(desk: Desk, box: ReportBox) -> None:
    reporter = Reporter("AJ_1", box.address)
    reporter.note_end()
    assert reporter._socket is not None
    reporter._socket.close()

    assert ended(desk, box) == (1, 0, 0)


async def test_what_a_full_line_drops_the_next_report_makes_good(desk: Desk, box: ReportBox) -> None:
    reporter = Reporter("AJ_1", box.address)
    for number in range(3000):
        reporter.count_turn(0.25)
        reporter.count_request(failed=number % 2 == 0)
    box.read()
    heard = desk.next_state().tally
    assert heard.turn_latency[2] < 3000, "the line took everything, and so proves nothing"

    await reporter.say_farewell()
    assert ended(desk, box) == (1, 0, 0)
    tally = desk.next_state().tally
    assert (tally.turn_latency[2], tally.provider_requests, tally.provider_errors) == (3000, 3000, 1500)


async def test_a_farewell_waits_for_a_line_that_is_full(desk: Desk, box: ReportBox) -> None:
    reporter = Reporter("AJ_1", box.address)
    while reporter._say():
        pass
    going = asyncio.create_task(reporter.say_farewell())
    await asyncio.sleep(0)
    assert not going.done()
    box.read()
    await going

    assert ended(desk, box) == (1, 0, 0)


async def test_news_that_a_full_line_does_not_take_come_later_and_in_their_order(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line in a pod holds ten, and twelve calls that are answered at once tell of more."""
    monkeypatch.setattr("voicefleet_worker.desk.reports._FAREWELL_PAUSE_SECONDS", 0)
    learned: list[int] = []
    reporter = Reporter("AJ_1", tmp_path / "reports")
    with open_reports(tmp_path, desk.hear, lambda news: learned.append(news.in_use)):
        for number in range(100):
            reporter.tell_of("stt-a", in_use=number)
        assert reporter._late, "the line took everything, and so proves nothing"
        async with asyncio.timeout(5):
            while len(learned) < 100:  # noqa: ASYNC110 - it changes where no event is
                await asyncio.sleep(0.01)

    assert learned == list(range(100))
    reporter.tell_of("stt-a")
    assert not reporter._late, "a worker that is gone is told nothing"
    await reporter.say_farewell()


async def test_a_call_says_farewell_behind_its_last_news(tmp_path: Path) -> None:
    heard: list[str] = []
    reporter = Reporter("AJ_1", tmp_path / "reports")
    with open_reports(tmp_path, lambda _: heard.append("farewell"), lambda _: heard.append("news")):
        for _ in range(50):
            reporter.tell_of("stt-a")
        await reporter.say_farewell()
        await asyncio.sleep(0.05)

    assert heard == ["news"] * 50 + ["farewell"]


async def test_a_call_outlives_the_worker_that_it_reports_to(box: ReportBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicefleet_worker.desk.reports._FAREWELL_PAUSE_SECONDS", 0)
    box.close()
    reporter = Reporter("AJ_1", box.address)
    reporter.count_turn(1)
    await reporter.say_farewell()
    reporter.note_failure()


@pytest.mark.parametrize("said", [b"", b"{", b"\xff", b'{"jobId": "AJ_1", "providerRequests": -1}', b"x" * 5000])
def test_nonsense_is_not_heard(desk: Desk, box: ReportBox, said: bytes) -> None:
    reporter = Reporter("AJ_1", box.address)
    assert reporter._socket is not None
    reporter._socket.sendto(said, str(box.address))
    reporter.count_turn(1)
    reporter._socket.close()
    box.read()

    assert sum(desk.next_state().tally.turn_latency) == 1


def test_a_call_that_is_not_on_this_worker_is_not_heard(desk: Desk) -> None:
    desk.hear(CallReport(job_id="AJ_2", provider_requests=5))

    assert desk.next_state().tally.provider_requests == 0


def test_the_tally_of_live_calls_is_told_as_far_as_it_has_come(desk: Desk) -> None:
    desk.hear(CallReport(job_id="AJ_1", provider_requests=5, provider_errors=1))
    tally = desk.next_state().tally

    assert (tally.calls_ended, tally.provider_requests, tally.provider_errors) == (0, 5, 1)


async def test_the_box_is_read_as_soon_as_something_comes(tmp_path: Path) -> None:
    heard = asyncio.Event()
    with open_reports(tmp_path, lambda _: heard.set()) as box:
        reporter = Reporter("AJ_1", box.address)
        reporter.count_request()
        async with asyncio.timeout(5):
            await heard.wait()
        await reporter.say_farewell()


REPORTS = st.builds(
    CallReport,
    job_id=st.sampled_from(["a", "b", "c"]),
    turn_latency=st.tuples(*[st.integers(0, 9)] * 18),
    latency_seconds=st.floats(0, 1e6),
    provider_requests=st.integers(0, 9),
    provider_errors=st.integers(0, 9),
    farewell=st.booleans(),
    failed=st.booleans(),
    hung_up_early=st.booleans(),
)


@given(st.lists(REPORTS | st.sampled_from(["a", "b", "c"])))
def test_no_count_ever_falls_and_every_tally_can_be_told(said: list[CallReport | str]) -> None:
    tallies = Tallies()
    before = tallies.total
    for word in said:
        if isinstance(word, str):
            tallies.end([word])
        else:
            tallies.hear(word)
        now = tallies.total
        for (name, old), (_, new) in zip(before, now, strict=True):
            assert new >= old, name
        assert all(map(int.__ge__, now.turn_latency, before.turn_latency))
        state = WorkerState(sequence=1, revision="r", slots=1, tally=now)
        assert WorkerState.model_validate_json(state.model_dump_json(by_alias=True)).tally == now
        before = now

    assert before.calls_ended == sum(isinstance(word, str) for word in said)


class Session:
    """A session with three providers."""

    def __init__(self) -> None:
        self.own = rtc.EventEmitter[str]()
        self.stt, self.llm, self.tts = (rtc.EventEmitter[str]() for _ in range(3))
        self.on = self.own.on
        self.current_agent = SimpleNamespace(stt=None, llm=None)


def counted(happen: Any) -> Reporter:
    session, reporter = Session(), Reporter("AJ_1", None)
    report_on(cast("AgentSession[None]", session), reporter)
    happen(session)
    return reporter


def test_turns_are_counted_by_what_the_caller_waited_and_greetings_are_not() -> None:
    def happen(session: Session) -> None:
        for item in (
            AgentHandoff(new_agent_id="desk"),
            ChatMessage(role="assistant", content=["Hello!"]),
            ChatMessage(role="user", content=["When?"], metrics={"stopped_speaking_at": 1.0}),
            ChatMessage(role="assistant", content=["At nine."], metrics={"e2e_latency": 0.75}),
            ChatMessage(role="assistant", content=["At ten."], metrics={"e2e_latency": -3.0}),
            ChatMessage(role="assistant", content=["At noon."], metrics={"e2e_latency": 1e12}),
        ):
            session.own.emit("conversation_item_added", SimpleNamespace(item=item))

    report = counted(happen)._report

    assert {number: count for number, count in enumerate(report.turn_latency) if count} == {0: 1, 6: 1, 17: 1}
