"""Who may speak over a tool: a whole session, whose loudspeaker takes its time."""

import asyncio
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.voice import SpeechHandle, io

from tests.worker.failover.scripted import Speaker, Thinker, lineup, stage
from tests.worker.tools.test_toolbox import Deeds, Http
from voicefleet.api.voiceagent.tools import Tool
from voicefleet_worker.failover.speaking import SpeakingInTurn
from voicefleet_worker.tools.http import HttpTools, ToolFailedError
from voicefleet_worker.tools.toolbox import Toolbox

_PLAY_SECONDS = 0.2


class Loudspeaker(io.AudioOutput):
    """Plays each utterance for a moment."""

    def __init__(self, call: "Call") -> None:
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=False))
        self._call = call
        self._seconds = 0.0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._seconds:
            self.on_playback_started(created_at=0.0)
        self._seconds += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._seconds:
            asyncio.get_running_loop().call_later(_PLAY_SECONDS, self._finish, self._seconds)
            self._seconds = 0.0

    def clear_buffer(self) -> None:
        raise AssertionError("nobody interrupts")

    def _finish(self, seconds: float) -> None:
        self._call.look("spoken")
        self.on_playback_finished(playback_position=seconds, interrupted=False)


class Thoughts(Thinker):
    """Looks at the moments when it is asked."""

    def __init__(self, call: "Call") -> None:
        super().__init__(["Let me see. ", f"call {' '.join(call.tools)}"], ["It was sent."])
        self._call = call

    def chat(self, **asked: Any) -> Any:
        self._call.look("asked")
        return super().chat(**asked)


class Service(Http):
    """Looks at the moment when it answers."""

    def __init__(self, call: "Call") -> None:
        super().__init__()
        self._call = call
        self.seconds_of: dict[str, float] = {}

    async def call(self, tool: Tool, *asked: Any) -> str:
        try:
            await asyncio.sleep(self.seconds_of.get(tool.name, 0.0))
            return await super().call(tool, *asked)
        finally:
            self._call.look("answered")


class Call:
    """One question, and at each moment of it whether the caller may interrupt."""

    def __init__(self, *tools: str, **changes: Any) -> None:
        self.tools = tools or ("look_up",)
        wish = {"description": "x", "http": {"url": "https://x.example.com"}, **changes}
        self.http = Service(self)
        wishes = [Tool.model_validate({"name": name, **wish}) for name in self.tools]
        toolbox = Toolbox(wishes, cast("HttpTools", self.http), Deeds(), language="en", values={})
        self._agent = Agent(instructions="x", tools=toolbox.tools())
        voice = Speaker(1, ["all"], ["all"], ["all"])
        self.session: AgentSession[None] = AgentSession(
            llm=Thoughts(self),
            tts=SpeakingInTurn(stage(lineup("Tts", "a"), lambda _: voice).switch),
            vad=None,
            turn_handling={"turn_detection": None},
        )
        self.session.output.audio = Loudspeaker(self)
        self.session.on("speech_created", lambda event: self._speeches.append(event.speech_handle))
        self._speeches: list[SpeechHandle] = []
        self.seen: list[tuple[str, bool]] = []

    def look(self, moment: str) -> None:
        self.seen.append((moment, self._speeches[0].allow_interruptions if self._speeches else True))

    async def take_place(self) -> None:
        await self.session.start(self._agent)
        await self.session.generate_reply(user_input="go on")
        await self.session.aclose()

    @property
    def fillers(self) -> list[bool]:
        """Whether each filler may be interrupted."""
        return [speech.allow_interruptions for speech in self._speeches[1:]]


QUICK = 0.0
SLOW = 3 * _PLAY_SECONDS
TOOL_FIRST = ["asked", "answered", "spoken", "asked", "spoken"]
WORDS_FIRST = ["asked", "spoken", "answered", "asked", "spoken"]


@pytest.mark.parametrize(("seconds", "moments"), [(QUICK, TOOL_FIRST), (SLOW, WORDS_FIRST)], ids=["quick", "slow"])
@pytest.mark.parametrize("fails", [False, True], ids=["well", "fails"])
async def test_the_words_before_a_tool_are_said_to_their_end(
    seconds: float, moments: list[str], *, fails: bool
) -> None:
    call = Call(interruptible=False)
    call.http.seconds = seconds
    call.http.error = ToolFailedError("out of reach") if fails else None
    await call.take_place()

    # Once it has answered and they are said, the answer may be interrupted.
    assert call.seen == list(zip(moments, [True, False, False, True, True], strict=True))


async def test_of_two_tools_at_once_the_first_that_is_done_lets_nobody_interrupt_the_other() -> None:
    call = Call("look_up", "reckon", interruptible=False)
    call.http.seconds_of["reckon"] = SLOW
    await call.take_place()

    assert [may for moment, may in call.seen if moment == "answered"] == [False, False]
    assert call.seen[-1] == ("spoken", True), "the answer to both may be interrupted again"


async def test_a_tool_may_be_interrupted_unless_the_spec_says_otherwise() -> None:
    call = Call()
    call.http.seconds = SLOW
    await call.take_place()

    assert call.seen == [(moment, True) for moment in WORDS_FIRST]


@pytest.mark.parametrize("interruptible", [True, False])
async def test_a_filler_is_said_to_its_end_as_the_tool_wishes(*, interruptible: bool) -> None:
    call = Call(interruptible=interruptible, filler={"afterMilliseconds": 200, "phrases": ["One moment."]})
    call.http.seconds = 1.0
    await call.take_place()

    assert call.fillers == [interruptible]
