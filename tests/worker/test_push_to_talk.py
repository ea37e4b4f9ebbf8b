"""Turns that the caller begins and ends by a key."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import AgentSession

from voicefleet.api.voiceagent.conversation import PushToTalk as Wishes
from voicefleet_worker import push_to_talk as under_test
from voicefleet_worker.push_to_talk import PushToTalk

ADA = "ada"


@dataclass
class Line:
    """A session and its room, which note what becomes of the caller's turn."""

    done: list[str] = field(default_factory=list)
    methods: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    handlers: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    speaks_on: bool = False
    is_over: bool = False

    @property
    def input(self) -> Any:
        return SimpleNamespace(set_audio_enabled=lambda on: self.done.append("open" if on else "shut"))

    @property
    def local_participant(self) -> Any:
        return SimpleNamespace(register_rpc_method=self.methods.__setitem__)

    def on(self, event: str, handler: Callable[[Any], None]) -> None:
        self.handlers[event] = handler

    def interrupt(self) -> None:
        if self.speaks_on:
            raise RuntimeError("does not allow interruptions")
        self.done.append("interrupt")

    def clear_user_turn(self) -> None:
        self.done.append("clear")

    def commit_user_turn(self, **_: Any) -> None:
        if self.is_over:
            raise RuntimeError("the session is over")
        self.done.append("commit")

    async def ask(self, method: str, *, by: str = ADA) -> str:
        return str(await self.methods[method](SimpleNamespace(caller_identity=by)))

    def press(self, digit: str, *, by: str | None = ADA) -> None:
        participant = None if by is None else SimpleNamespace(identity=by)
        self.handlers["sip_dtmf_received"](SimpleNamespace(digit=digit, participant=participant))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_LAST_WORD_SECONDS", 0.0)


def begun(**wishes: Any) -> Line:
    line = Line()
    session, room = cast("AgentSession[None]", line), cast("rtc.Room", line)
    PushToTalk(session, room, ADA, Wishes.model_validate(wishes)).begin()
    return line


async def test_an_app_is_heard_while_its_key_is_held() -> None:
    line = begun()
    await line.ask("start_turn")
    await line.ask("end_turn")

    assert line.done == ["shut", "interrupt", "clear", "open", "shut", "commit"]


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
    await asyncio.sleep(0)
    await line.ask("end_turn")

    assert limits == [7]
    assert line.done[-2:] == ["shut", "commit"], "once"


async def test_a_phones_key_ends_a_turn_and_the_line_stays_open() -> None:
    line = begun(commitDigit="#")
    for digit in "1#2":
        line.press(digit)

    assert line.done == ["open", "commit"]


@pytest.mark.parametrize("by", ["eve", None])
async def test_somebody_elses_key_means_nothing(by: str | None) -> None:
    line = begun(commitDigit="#")
    line.press("#", by=by)

    assert line.done == ["open"]


async def test_a_key_after_the_end_does_no_harm() -> None:
    line = begun(commitDigit="#")
    line.is_over = True
    line.press("#")
    await line.ask("start_turn")
    await line.ask("end_turn")

    assert "commit" not in line.done
