"""What an agent does by itself: silent callers, time that runs out, words that end a call."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import NOT_GIVEN, AgentSession

from tests.worker.files import AGENT, Mounted
from voicefleet.records.life import News, State
from voicefleet_worker.calls import manners as under_test
from voicefleet_worker.calls.course import Course
from voicefleet_worker.calls.manners import Manners
from voicefleet_worker.settings import load_settings


@dataclass
class Session:
    """A session that notes what it is asked to say, and says it at once."""

    said: list[str] = field(default_factory=list)
    handlers: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    resets: int = 0
    is_over: bool = False
    refuses: int = 0
    llm: None = None
    tts: None = None
    error: Exception | None = None

    @property
    def current_agent(self) -> Any:
        return SimpleNamespace(llm=NOT_GIVEN, tts=NOT_GIVEN)

    def on(self, event: str, handler: Callable[[Any], None]) -> None:
        self.handlers[event] = handler

    async def _note(self, words: str) -> Any:
        if self.is_over or self.refuses:
            self.refuses -= 1
            raise RuntimeError("the session is over, or between two agents")
        self.said.append(words)
        return SimpleNamespace(exception=lambda: self.error)

    @property
    def current_speech(self) -> Any:
        return None

    def say(self, words: str, **_: Any) -> Any:
        return self._note(words)

    def generate_reply(self, *, instructions: str, tool_choice: str, **_: Any) -> Any:
        assert tool_choice == "none", "one of the tools may be to end the call"
        return self._note(f"<{instructions}>")

    async def interrupt(self, *, force: bool) -> None:
        assert force

    def reset_away_timer(self) -> None:
        self.resets += 1

    def state(self, new: str) -> None:
        self.handlers["user_state_changed"](SimpleNamespace(new_state=new))

    def words(self, text: str, *, is_final: bool = True) -> None:
        self.handlers["user_input_transcribed"](SimpleNamespace(transcript=text, is_final=is_final))


@dataclass(frozen=True)
class InCharge:
    """The only agent of a call."""

    language: str
    values: dict[str, str]


class Call:
    """A call with these manners."""

    def __init__(self, mounted: Mounted, **conversation: Any) -> None:
        mounted.write("agent.json", {**AGENT, "spec": {**AGENT["spec"], "conversation": conversation}})
        plan = load_settings(mounted.flags, {}).plan
        self.session = Session()
        self.ends: list[str] = []
        session = cast("AgentSession[None]", self.session)
        self.course = Course(begins=State.TALKING)
        self.manners = Manners(session, plan, InCharge("en", {"name": "Ada"}), self.course, self._hang_up)

    async def _hang_up(self, reason: str) -> None:
        self.ends.append(reason)


async def begun(mounted: Mounted, **conversation: Any) -> Call:
    call = await asyncio.to_thread(Call, mounted, **conversation)
    call.manners.begin()
    return call


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_silent_caller_is_called_back_and_then_let_go(mounted: Mounted) -> None:
    call = await begun(mounted, away={"prompts": ["{{name}}?", "Hello?"], "maxPrompts": 2})
    for _ in range(3):
        call.session.state("away")
        await settle()

    assert call.session.said[:2] == ["Ada?", "Hello?"]
    assert "Goodbye" in call.session.said[2]
    assert call.ends == ["caller is silent"]
    assert call.session.resets == 3, "from the beginning, and after each call the silence is counted anew"


async def test_who_speaks_again_begins_anew(mounted: Mounted) -> None:
    call = await begun(mounted, away={"maxPrompts": 1})
    for _ in range(4):
        call.session.state("away")
        await settle()
        call.session.state("speaking")

    assert call.ends == []
    assert call.session.said == ["Are you still there?"] * 4


async def test_without_prompts_silence_ends_the_call_at_once(mounted: Mounted) -> None:
    call = await begun(mounted, away={"maxPrompts": 0})
    call.session.state("away")
    await settle()

    assert call.ends == ["caller is silent"]


async def test_words_of_the_caller_end_the_call(mounted: Mounted) -> None:
    call = await begun(mounted, endPhrases=["that is all"])
    call.session.words("That is", is_final=False)
    call.session.words("That is all", is_final=False)
    await settle()
    assert call.ends == [], "it may still become something else"

    call.session.words("That is all, thank you.")
    await settle()

    assert call.ends == ["caller said so"]
    assert len(call.session.said) == 1


async def test_a_goodbye_is_said_once_however_many_reasons_there_are(mounted: Mounted) -> None:
    call = await begun(mounted, endPhrases=["bye"], away={"maxPrompts": 0})
    call.session.words("Bye.")
    call.session.words("Bye bye.")
    call.manners.end_call()
    call.session.state("away")
    await settle()

    assert len(call.session.said) == 1
    assert call.ends == ["caller said so"]


async def test_where_nobody_can_think_of_a_goodbye_it_is_said_all_the_same(mounted: Mounted) -> None:
    call = await begun(mounted, endPhrases=["bye"])
    call.session.error = RuntimeError("nobody can be asked")
    call.session.words("Bye.")
    await settle()

    assert call.session.said[-1] == "Goodbye."
    assert call.ends == ["caller said so"]


async def test_time_runs_out_with_a_warning_and_a_goodbye(mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(under_test.asyncio, "sleep", sleep)
    call = await asyncio.to_thread(
        Call, mounted, duration={"maxSeconds": 60, "warnAtSeconds": 50, "goodbye": "Bye, {{name}}."}
    )
    call.manners.begin()
    await asyncio.gather(*call.manners._tasks)

    assert slept == [50, 60]
    assert "soon be over" in call.session.said[0]
    assert call.session.said[1] == "Bye, Ada."
    assert call.ends == ["too long"]


async def test_a_session_that_is_over_keeps_nobody_from_hanging_up(mounted: Mounted) -> None:
    call = await begun(mounted, away={"maxPrompts": 0})
    call.session.is_over = True
    call.session.handlers["close"](None)
    call.session.state("away")
    await settle()

    assert call.ends == ["caller is silent"]


async def test_a_caller_between_two_agents_is_said_goodbye_to_a_moment_later(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "_LOOK_SECONDS", 0.0)
    call = await begun(mounted)
    call.session.refuses = 2
    call.manners.leave()
    await settle()

    assert len(call.session.said) == 1
    assert call.ends == ["the worker leaves"]


async def test_a_caller_who_falls_silent_between_two_agents_is_called_back_later(mounted: Mounted) -> None:
    call = await begun(mounted)
    call.session.refuses = 1
    call.session.state("away")
    await settle()

    assert call.session.said == []
    assert call.session.resets == 2, "from the beginning, and because nobody could call them back"


async def test_a_goodbye_does_not_wait_for_a_tool_that_is_at_work(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK waits for it for five seconds, in silence, and a short grace has no more."""
    monkeypatch.setattr(under_test, "_STOP_SECONDS", 0.01)
    call = await begun(mounted)
    call.session.interrupt = lambda **_: asyncio.Future()  # type: ignore[method-assign]
    call.manners.leave()
    async with asyncio.timeout(1.0):
        while not call.ends:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)

    assert len(call.session.said) == 1


async def test_a_session_that_refuses_for_good_keeps_nobody_for_long(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "_GIVING_WAY_SECONDS", -1.0)
    call = await begun(mounted)
    call.session.is_over = True
    call.manners.leave()
    await settle()

    assert call.ends == ["the worker leaves"]


async def test_a_call_that_is_given_up_hears_one_goodbye(mounted: Mounted) -> None:
    """The last apology is one."""
    call = await begun(mounted, away={"maxPrompts": 0}, endPhrases=["bye"])
    call.course.move(News.GIVE_UP)
    call.session.state("away")
    call.session.words("Bye.")
    call.manners.leave()
    await settle()

    assert (call.session.said, call.ends) == ([], [])


async def test_who_is_on_hold_is_neither_called_back_nor_cut_off(mounted: Mounted) -> None:
    call = await begun(mounted, away={"maxPrompts": 0}, endPhrases=["bye"])
    call.course.move(News.HOLD)
    call.session.state("away")
    call.session.words("Bye.")
    await settle()
    assert call.session.said == []
    assert call.ends == []

    call.course.move(News.BACK)
    call.manners.go_on()
    await settle()

    assert call.ends == ["caller said so"], "it is done when they are back"
    assert call.session.resets == 2, "who has waited has not been silent"
