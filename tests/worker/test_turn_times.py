"""How long a caller waits for a model that does it all."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest
from livekit import rtc
from livekit.agents import (
    NOT_GIVEN,
    AgentSession,
    AgentStateChangedEvent,
    ConversationItemAddedEvent,
    UserStateChangedEvent,
)
from livekit.agents.llm import ChatMessage

from tests.worker.failover.scripted import Listener, lineup, stage
from tests.worker.test_saying import Talker
from voicefleet_worker.calls.listening import report_on
from voicefleet_worker.calls.turn_times import measure_turns
from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.failover.hearing import HearingInTurn
from voicefleet_worker.failover.patience import CallerSpeaks
from voicefleet_worker.records.notebook import stages_of


class Session(rtc.EventEmitter[str]):
    """A session whose caller and agent do what a test says, at the second that it says."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.llm, self.tts, self.stt = model, None, None
        self.current_agent = SimpleNamespace(llm=NOT_GIVEN, tts=NOT_GIVEN, stt=NOT_GIVEN)
        self.current_speech: Any = None
        self._states: dict[str, Any] = {"user": "listening", "agent": "listening"}
        self.reporter = Reporter("AJ_1", None)
        measure_turns(cast("AgentSession[None]", self))
        report_on(cast("AgentSession[None]", self), self.reporter)
        self.waited: list[float | None] = []
        self.on(
            "conversation_item_added", lambda event: self.waited.append(stages_of(event.item.metrics).total_seconds)
        )

    def caller(self, state: Any, at: float) -> None:
        before, self._states["user"] = self._states["user"], state
        event = UserStateChangedEvent(old_state=before, new_state=state, created_at=at)
        self.emit("user_state_changed", event)

    def agent(self, state: Any, at: float, *, asked_by: Literal["text", "audio"] = "audio") -> None:
        self.current_speech = SimpleNamespace(input_details=SimpleNamespace(modality=asked_by))
        before, self._states["agent"] = self._states["agent"], state
        self.emit("agent_state_changed", AgentStateChangedEvent(old_state=before, new_state=state, created_at=at))

    def caller_says(self, begin: float, end: float) -> None:
        self.caller("speaking", begin)
        self.caller("listening", end)

    def agent_says(self, begin: float, end: float, *, asked_by: Literal["text", "audio"] = "audio") -> None:
        self.agent("speaking", begin, asked_by=asked_by)
        self.agent("listening", end)
        self.item("assistant")

    def item(self, role: Any, **metrics: Any) -> None:
        item = ChatMessage(role=role, content=["words"], metrics=cast("Any", metrics))
        self.emit("conversation_item_added", ConversationItemAddedEvent(item=item))


def turns_go_on(session: Session) -> None:
    session.agent_says(1, 2, asked_by="text")
    session.caller_says(3, 5)
    session.agent("speaking", 5.75)
    session.item("user")
    session.agent("listening", 8)
    session.item("assistant")
    session.caller_says(9, 10)
    session.agent_says(12, 13)


def test_a_turn_takes_from_the_callers_silence_to_the_agents_first_sound() -> None:
    session = Session(Talker())
    turns_go_on(session)

    greeting, caller, first, second = session.waited
    assert (greeting, caller, first, second) == (None, None, 0.75, 2.0)
    report = session.reporter._report
    assert (sum(report.turn_latency), report.latency_seconds) == (2, 2.75)


def test_a_pipeline_is_measured_by_nobody_but_the_sdk() -> None:
    session = Session(object())
    turns_go_on(session)
    session.caller_says(14, 15)
    session.agent("speaking", 16)
    session.item("assistant", e2e_latency=0.25)

    assert session.waited == [None, None, None, None, 0.25]
    assert sum(session.reporter._report.turn_latency) == 1


def test_how_long_who_hears_took_after_the_last_sound_is_known_of_that_provider() -> None:
    set_stage = stage(lineup("Stt", "a", "b"), lambda _: Listener())
    session = Session(object())
    session.current_agent.stt = HearingInTurn(set_stage.switch, CallerSpeaks())
    told = list[tuple[str, float | None]]()
    set_stage.reporter.tell_of = lambda name, **news: told.append((name, news.get("first_seconds")))  # type: ignore[method-assign]

    session.item("user", transcription_delay=0.31)
    session.item("assistant", e2e_latency=0.9)

    assert told == [("a", 0.31)]


def nobody_was_answered(session: Session) -> None:
    session.caller_says(3, 5)
    session.agent_says(9, 10, asked_by="text")


def answers_over_the_caller(session: Session) -> None:
    session.caller_says(3, 5)
    session.caller("speaking", 6)
    session.agent_says(7, 8)


def goes_on_by_itself(session: Session) -> None:
    session.caller_says(3, 5)
    session.agent("speaking", 6)
    session.agent("listening", 7)
    session.agent_says(8, 9)


@pytest.mark.parametrize(
    "happen",
    [nobody_was_answered, answers_over_the_caller, goes_on_by_itself],
    ids=["it was asked to say something", "the caller speaks again", "it says more, and said nothing at first"],
)
def test_what_answers_nobody_who_waits_took_no_time(happen: Callable[[Session], None]) -> None:
    session = Session(Talker())
    happen(session)

    assert session.waited == [None]


def test_a_filler_does_not_end_the_wait_for_the_answer() -> None:
    session = Session(Talker())
    session.caller_says(3, 5)
    session.agent_says(6.5, 7, asked_by="text")
    session.agent_says(8, 9)

    assert session.waited == [None, 3.0]


def test_an_answer_in_two_pieces_is_one_turn() -> None:
    session = Session(Talker())
    session.caller_says(3, 5)
    session.agent_says(6, 7)
    session.item("assistant")

    assert session.waited == [1.0, None]


def test_a_caller_who_is_away_after_a_turn_has_waited_since_the_last_word() -> None:
    session = Session(Talker())
    session.caller_says(3, 5)
    session.caller("away", 20)
    session.caller("listening", 21)
    session.agent_says(22, 23)

    assert session.waited == [17.0]


def test_what_the_sdk_has_measured_itself_stays() -> None:
    session = Session(Talker())
    session.caller_says(3, 5)
    session.agent("speaking", 6)
    session.item("assistant", e2e_latency=0.5)

    assert session.waited == [0.5]
