"""The same sound gives the same conversation: recorded callers against a worker's session, without any room."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from livekit.agents import AgentSession, ConversationItemAddedEvent, FunctionToolsExecutedEvent
from livekit.agents.utils import http_context
from livekit.agents.voice import SpeechHandle
from livekit.agents.voice.run_result import ChatMessageEvent, RunResult

from e2e.bench import Bench
from e2e.providers import Control, Providers
from e2e.recorded.line import Loudspeaker, RecordedCaller
from e2e.recorded.recording import MY_ORDER, SOMETHING_ELSE, TOOTHACHE, WHEN_OPEN, Recording
from e2e.working import write_files
from voicefleet.api.voiceagent.telephony import Transfer
from voicefleet.conversation.outcome import CallOutcome
from voicefleet.records.journal import Said, read_journal
from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.flags import Flags
from voicefleet_worker.handoffs.team import Means, Team
from voicefleet_worker.records.journal import Journal
from voicefleet_worker.records.notebook import Notebook
from voicefleet_worker.settings import Settings, load_settings
from voicefleet_worker.tools.http import HttpTools
from voicefleet_worker.tools.mcp import servers_of
from voicefleet_worker.voices.session import Voices, build_session

PATIENCE_SECONDS = 60.0
# Long enough after the last word that it shows who thinks before.
MIN_DELAY_SECONDS = 1.5
PATIENT = {"detection": "Vad", "minDelayMilliseconds": 1500, "maxDelayMilliseconds": 3000}
pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("control")]


@pytest.fixture
def settings(bench: Bench, providers: Providers, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Settings of a worker; a test may have turns taken in another way."""
    write_files(tmp_path, bench, providers, "recorded")
    agent = json.loads((tmp_path / "agent.json").read_text())
    hours = {"timeZone": "Europe/Berlin", "hours": [{"days": ["Mon"], "start": "09:00", "end": "17:00"}]}
    agent["spec"]["tools"] = [
        {"name": "opening", "description": "d", "builtin": {"type": "BusinessHours", "businessHours": hours}}
    ]
    agent["spec"]["agents"][0]["tools"] = ["opening"]
    agent["spec"]["conversation"]["turnTaking"] = getattr(request, "param", {})
    (tmp_path / "agent.json").write_text(json.dumps(agent))
    flags = Flags(
        spec=tmp_path / "agent.json",
        pool=tmp_path / "pool.json",
        secrets=tmp_path / "secrets",
        control_token_file=tmp_path / "token",
        control_host="127.0.0.1",
        control_port=0,
        log_level=None,
    )
    return load_settings(flags, {})


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "call.journal"


class NoDeeds:
    outcome = CallOutcome()
    caller_number = None

    async def put_through(self, transfer: Transfer) -> str | None:
        raise AssertionError(f"nobody wants to speak to {transfer.number}")

    def end_call(self, after: SpeechHandle | None = None) -> None:
        raise AssertionError(f"nobody wants to go after {after}")

    async def send_dtmf(self, digits: str) -> None:
        raise AssertionError(f"nobody presses {digits}")


class Conversation:
    """A recorded caller and a session as the worker builds it; `run` is what happened, as the SDK asserts it."""

    def __init__(self, session: AgentSession[None], caller: RecordedCaller) -> None:
        self.run: RunResult[None] = RunResult(output_type=None)
        self.session = session
        self.caller = caller
        session.on("conversation_item_added", self._on_item)
        session.on("function_tools_executed", self._on_tools)

    @property
    def answers(self) -> int:
        return sum(isinstance(e, ChatMessageEvent) and e.item.role == "assistant" for e in self.run.events)

    async def say(self, recording: Recording) -> None:
        """Say a sentence, and wait until the answer to it was heard or cut off."""
        so_far = self.answers
        self.caller.say(recording)
        await self._until(lambda: self.answers > so_far)

    async def interrupt(self, first: Recording, second: Recording) -> None:
        """Say a sentence, and another one over the answer."""
        self.caller.say(first)
        await self._until(lambda: self.session.agent_state == "speaking")
        await asyncio.sleep(0.3)
        self.caller.say(second)
        await self._until(lambda: self.answers == 2)

    async def _until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not happened():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        self.run._item_added(event.item)  # type: ignore[arg-type]

    def _on_tools(self, event: FunctionToolsExecutedEvent) -> None:
        for item in (item for pair in event.zipped() for item in pair):
            self.run._item_added(item)


@asynccontextmanager
async def conversation(settings: Settings, journal: Path) -> AsyncIterator[Conversation]:
    plan = settings.plan
    notebook = Notebook(Journal(journal), plan.records.transcript)
    # What a job's process has, and a test has not.
    async with http_context.open():
        health = CallHealth(plan.providers, Reporter("AJ_1", None), notebook, BoardReader())
        voices = Voices(plan.entry, settings.secrets, health)
        session = build_session(plan, voices)
        http = partial(HttpTools, settings.secrets, plan.tool_policy)
        servers = partial(servers_of, secrets=settings.secrets, policy=plan.tool_policy)
        team = Team(plan, {"name": "Ada"}, voices, Means(http, servers))
        talk = Conversation(session, RecordedCaller())
        notebook.follow(session)
        session.input.audio, session.output.audio = talk.caller, Loudspeaker()
        await session.start(team.begin(session, NoDeeds()))
        try:
            yield talk
        finally:
            await session.aclose()
            # A job's process takes them with it.
            models = voices.of(plan.entry)
            for model in (models.llm, models.stt, models.tts):
                if model is not None:
                    await model.aclose()
            await team.aclose()
            await notebook.aclose()


def said(journal: Path) -> list[Said]:
    return [entry for entry in read_journal(journal.read_bytes().splitlines()) if isinstance(entry, Said)]


def transcript(journal: Path) -> list[tuple[str, str]]:
    return [(line.who, " ".join(re.findall(r"[a-z]+", (line.text or "").lower()))) for line in said(journal)]


def heard_as(providers: Providers, *recordings: Recording) -> None:
    """Have the sound heard as what it says: where a sentence ends is for the test, and no recogniser's ear."""
    Control(providers.control_url).set_script([recording.words for recording in recordings])


async def test_two_questions_are_two_turns(settings: Settings, providers: Providers, journal: Path) -> None:
    heard_as(providers, WHEN_OPEN, TOOTHACHE)
    async with conversation(settings, journal) as talk:
        await talk.say(WHEN_OPEN)
        await talk.say(TOOTHACHE)

    expect = talk.run.expect
    for role in ("user", "assistant", "user", "assistant"):
        expect.next_event().is_message(role=role)
    expect.no_more_events()
    assert transcript(journal) == [
        ("Caller", "when are you open"),
        ("Agent", "we are open from nine to five monday to friday"),
        ("Caller", "i have a toothache"),
        ("Agent", "you said i have a toothache"),
    ]
    assert not any(line.interrupted for line in said(journal))


async def test_whoever_speaks_over_the_answer_is_heard_and_the_answer_stops(
    settings: Settings, providers: Providers, journal: Path
) -> None:
    heard_as(providers, WHEN_OPEN, SOMETHING_ELSE)
    async with conversation(settings, journal) as talk:
        await talk.interrupt(WHEN_OPEN, SOMETHING_ELSE)

    expect = talk.run.expect
    events = [expect.next_event().is_message(role=role).event() for role in ("user", "assistant", "user", "assistant")]
    expect.no_more_events()
    assert [event.item.interrupted for event in events] == [False, True, False, False]
    assert [event.item.text_content for event in events[::2]] == [WHEN_OPEN.words, SOMETHING_ELSE.words]
    assert [line.interrupted for line in said(journal)] == [False, True, False, False]


@pytest.mark.parametrize(
    ("settings", "is_early"),
    [(PATIENT, True), ({**PATIENT, "preemptiveGeneration": False}, False)],
    ids=["it may", "it may not"],
    indirect=["settings"],
)
async def test_the_model_thinks_before_the_turn_is_certain_if_it_may(
    settings: Settings, providers: Providers, journal: Path, control: Control, *, is_early: bool
) -> None:
    heard_as(providers, WHEN_OPEN)
    async with conversation(settings, journal) as talk:
        await talk.say(WHEN_OPEN)

    took = talk.run.expect.next_event().is_message(role="user").event().item.metrics
    (request,) = control.requests("openai", "chat")
    certain_at = took["stopped_speaking_at"] + took["end_of_turn_delay"]
    lead_seconds = certain_at - request["time_seconds"]
    assert took["end_of_turn_delay"] >= MIN_DELAY_SECONDS
    assert lead_seconds > 0.5 if is_early else lead_seconds <= 0


async def test_a_question_that_needs_a_tool_is_answered_by_it(
    settings: Settings, providers: Providers, journal: Path
) -> None:
    Control(providers.control_url).set_rules([
        {"match": "(?i)order", "tool_call": {"name": "opening", "arguments": {}}},
        {"match": '(?s)"open"', "on": "tool", "reply": "I have looked it up."},
    ])  # fmt: skip
    heard_as(providers, MY_ORDER)
    async with conversation(settings, journal) as talk:
        await talk.say(MY_ORDER)

    expect = talk.run.expect
    expect.next_event().is_message(role="user")
    expect.next_event().is_function_call(name="opening", arguments={})
    expect.next_event().is_function_call_output(is_error=False)
    expect.next_event().is_message(role="assistant")
    expect.no_more_events()
    assert transcript(journal) == [("Caller", "where is my order"), ("Agent", "i have looked it up")]
