"""Turns that the caller begins and ends by a key."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.llm import ChatMessage
from livekit.agents.voice import io

from tests.worker.failover.scripted import Listener, Thinker
from voicefleet.api.voiceagent.conversation import PushToTalk as Wishes
from voicefleet.records.life import News, State
from voicefleet_worker.calls import push_to_talk as under_test
from voicefleet_worker.calls.course import Course
from voicefleet_worker.calls.deeds import CallDeeds
from voicefleet_worker.calls.manners import Manners
from voicefleet_worker.calls.push_to_talk import PushToTalk
from voicefleet_worker.calls.transfers import Transfers

ADA = "ada"


@dataclass
class Line:
    """A session and its room, which note what becomes of the caller's turn."""

    done: list[str] = field(default_factory=list)
    methods: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    handlers: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    speaks_on: bool = False
    is_over: bool = False
    user_state: str = "listening"
    patience: list[float] = field(default_factory=list)
    course: Course = field(default_factory=lambda: Course(begins=State.TALKING))
    signs_of_life: int = 0

    @property
    def input(self) -> Any:
        return SimpleNamespace(set_audio_enabled=lambda on: self.done.append("open" if on else "shut"))

    @property
    def local_participant(self) -> Any:
        return SimpleNamespace(register_rpc_method=self.methods.__setitem__)

    def on(self, event: str, handler: Callable[[Any], None]) -> None:
        self.handlers[event] = handler

    def let_go(self) -> None:
        self.done.append("stays shut")

    def interrupt(self) -> None:
        if self.speaks_on:
            raise RuntimeError("does not allow interruptions")
        self.done.append("interrupt")

    def hear(self) -> None:
        self.signs_of_life += 1

    def reset_away_timer(self) -> None:
        self.signs_of_life += 1

    def clear_user_turn(self) -> None:
        self.done.append("clear")

    def commit_user_turn(self, *, transcript_timeout: float) -> None:
        if self.is_over:
            raise RuntimeError("the session is over")
        self.done.append("commit")
        self.patience.append(transcript_timeout)

    async def ask(self, method: str, *, by: str = ADA) -> str:
        return str(await self.methods[method](SimpleNamespace(caller_identity=by)))

    def state(self, new: str) -> None:
        self.user_state = new
        self.handlers["user_state_changed"](SimpleNamespace(new_state=new))

    def words(self, *, is_final: bool) -> None:
        self.handlers["user_input_transcribed"](SimpleNamespace(is_final=is_final))

    def press(self, digit: str, *, by: str | None = ADA) -> None:
        participant = None if by is None else SimpleNamespace(identity=by)
        self.handlers["sip_dtmf_received"](SimpleNamespace(digit=digit, participant=participant))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_LAST_WORD_SECONDS", 0.0)


def deeds_on(line: Line) -> CallDeeds:
    nobody: Any = None
    presence: Any = SimpleNamespace(identity=ADA)
    return CallDeeds(nobody, line.course, cast("Manners", line), presence, cast("Transfers", line), nobody)


def begun(**wishes: Any) -> Line:
    line = Line()
    session, room = cast("AgentSession[None]", line), cast("rtc.Room", line)
    PushToTalk(session, room, deeds_on(line), Wishes.model_validate(wishes)).begin()
    return line


async def test_an_app_is_heard_while_its_key_is_held() -> None:
    line = begun()
    await line.ask("start_turn")
    line.words(is_final=True)
    await line.ask("end_turn")

    assert line.done == ["shut", "interrupt", "clear", "open", "shut", "commit"]


@pytest.mark.parametrize("meanwhile", [News.HOLD, News.GOODBYE])
async def test_the_key_means_nothing_to_a_caller_who_is(meanwhile: News) -> None:
    app, phone = begun(), begun(commitDigit="#")
    for line in (app, phone):
        line.course.move(meanwhile)
        line.words(is_final=True)
    for method in ("start_turn", "end_turn", "cancel_turn"):
        await app.ask(method)
    phone.press("#")

    assert (app.done, phone.done) == (["shut"], ["open"])


@pytest.mark.parametrize("method", ["end_turn", "cancel_turn"])
async def test_a_key_that_is_let_go_while_the_caller_is_put_through_leaves_the_line_shut(method: str) -> None:
    line = begun()
    await line.ask("start_turn")
    line.words(is_final=True)
    line.course.move(News.HOLD)
    await line.ask(method)
    line.course.move(News.BACK)
    await line.ask(method)

    assert line.done == ["shut", "interrupt", "clear", "open", "stays shut"], "once: who puts through shuts the line"


async def test_a_caller_who_is_put_through_with_the_last_word_is_not_answered_too() -> None:
    line = begun()
    await line.ask("start_turn")
    line.words(is_final=True)
    ends = asyncio.create_task(line.ask("end_turn"))
    await asyncio.sleep(0)
    line.course.move(News.HOLD)
    await ends

    assert line.done[-1] == "stays shut"


async def test_a_phones_line_that_was_open_before_a_caller_is_put_through_is_so_afterwards() -> None:
    line = begun(commitDigit="#")
    await line.ask("start_turn")
    line.course.move(News.HOLD)
    await line.ask("end_turn")

    assert "stays shut" not in line.done


async def test_whoever_holds_the_key_is_there() -> None:
    line = begun()
    await line.ask("start_turn")

    assert line.signs_of_life == 2


async def test_a_key_that_is_only_touched_is_no_turn() -> None:
    line = begun()
    await line.ask("start_turn")
    await line.ask("end_turn")

    assert line.done[-2:] == ["open", "shut"]


async def test_what_is_called_off_is_forgotten() -> None:
    line = begun()
    await line.ask("start_turn")
    await line.ask("cancel_turn")
    await line.ask("end_turn")

    assert line.done[-2:] == ["shut", "clear"]
    assert "commit" not in line.done


async def test_what_may_not_be_interrupted_does_not_keep_the_caller_from_speaking() -> None:
    line = begun()
    line.speaks_on = True
    await line.ask("start_turn")

    assert line.done[-1] == "open"


@pytest.mark.parametrize("method", ["start_turn", "end_turn", "cancel_turn"])
async def test_nobody_but_the_caller_has_the_key(method: str) -> None:
    line = begun()
    with pytest.raises(rtc.RpcError, match="only the caller"):
        await line.ask(method, by="eve")

    assert line.done == ["shut"]


async def test_a_key_that_is_held_for_too_long_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    loop = asyncio.get_running_loop()

    def call_later(seconds: float, callback: Callable[[], None]) -> asyncio.Handle:
        limits.append(seconds)
        return loop.call_soon(callback)

    monkeypatch.setattr(under_test.asyncio, "get_running_loop", lambda: SimpleNamespace(call_later=call_later))
    line = begun(maxHoldSeconds=7)
    await line.ask("start_turn")
    line.words(is_final=True)
    await asyncio.sleep(0)
    await line.ask("end_turn")

    assert limits == [7]
    assert line.done[-2:] == ["shut", "commit"], "once"


async def test_a_key_that_is_held_for_too_long_while_the_caller_is_put_through_leaves_the_line_shut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    at_once = SimpleNamespace(call_later=lambda _, callback: loop.call_soon(callback))
    monkeypatch.setattr(under_test.asyncio, "get_running_loop", lambda: at_once)
    line = begun()
    await line.ask("start_turn")
    line.course.move(News.HOLD)
    await asyncio.sleep(0)

    assert line.done[-1] == "stays shut"


async def test_a_phones_key_ends_a_turn_and_the_line_stays_open() -> None:
    line = begun(commitDigit="#")
    line.words(is_final=True)
    for digit in "1##2":
        line.press(digit)

    assert line.done == ["open", "commit"]


@pytest.mark.parametrize(
    ("events", "waits"),
    [
        pytest.param(("speaking",), True, id="still speaking"),
        pytest.param(("speaking", "listening"), True, id="spoken, and not a word yet"),
        pytest.param(("speaking", "listening", "final"), False, id="all is written down"),
        pytest.param(("speaking", "final"), True, id="a sentence is written down, and another one goes on"),
        pytest.param(("speaking", "listening", "final", "interim"), True, id="words that may still change"),
    ],
)
async def test_words_are_waited_for_if_there_are_any_to_come(events: tuple[str, ...], *, waits: bool) -> None:
    line = begun()
    await line.ask("start_turn")
    for event in events:
        if event in ("final", "interim"):
            line.words(is_final=event == "final")
        else:
            line.state(event)
    await line.ask("end_turn")

    assert (line.patience[0] > 1) is waits


@pytest.mark.parametrize("by", ["eve", None])
async def test_somebody_elses_key_means_nothing(by: str | None) -> None:
    line = begun(commitDigit="#")
    line.words(is_final=True)
    line.press("#", by=by)

    assert line.done == ["open"]


async def test_a_key_after_the_end_does_no_harm() -> None:
    line = begun(commitDigit="#")
    line.is_over = True
    line.words(is_final=True)
    line.press("#")
    await line.ask("start_turn")
    line.words(is_final=True)
    await line.ask("end_turn")

    assert "commit" not in line.done


class Microphone(io.AudioInput):
    """Silence in frames of ten milliseconds, while somebody listens."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._is_heard = asyncio.Event()

    def on_attached(self) -> None:
        self._is_heard.set()

    def on_detached(self) -> None:
        self._is_heard.clear()

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.sleep(0.01)
        await self._is_heard.wait()
        return rtc.AudioFrame(bytes(320), 16_000, 1, 160)


async def test_the_sdk_answers_when_the_key_is_let_go_and_not_before() -> None:
    """What is written down while the key is held is one turn, however many sentences it has."""
    # With each turn the SDK has somebody hear anew, so that nothing of the last one comes late.
    listener = Listener([10_000], [20, "When are you open?", 40, "I mean on Mondays.", 10_000])
    thinker = Thinker(["From nine to five."])
    session: AgentSession[None] = AgentSession(
        vad=None, stt=listener, llm=thinker, turn_handling={"turn_detection": "manual"}
    )
    session.input.set_audio_enabled(False)
    session.input.audio = Microphone()
    await session.start(Agent(instructions="Help."))
    line = Line()
    PushToTalk(session, cast("rtc.Room", line), deeds_on(line), Wishes()).begin()
    await asyncio.sleep(0.3)
    assert listener.heard == [[]], "nobody is heard yet"

    await line.ask("start_turn")
    while len(listener.heard[-1]) < 60:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    assert thinker.asked == []
    await line.ask("end_turn")
    while not thinker.asked:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    await session.aclose()

    heard = [item for item in thinker.asked[0].items if isinstance(item, ChatMessage) and item.role == "user"]
    assert heard[-1].text_content == "When are you open? I mean on Mondays."
