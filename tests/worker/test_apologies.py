"""A caller whom nobody can answer hears that, and is not kept for ever."""

import asyncio
import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, APIStatusError
from livekit.agents.voice import SpeechHandle, io
from livekit.agents.voice.agent_session import SessionConnectOptions

from tests.worker.failover.scripted import Speaker, Step, Thinker, lineup, stage
from voicefleet.conversation.apologies import MOST_IN_A_ROW, apologise
from voicefleet.records.life import News, State
from voicefleet_worker.calls.apologies import Apologies
from voicefleet_worker.calls.beeps import beeps
from voicefleet_worker.calls.course import Course
from voicefleet_worker.calls.manners import InCharge
from voicefleet_worker.failover.speaking import SpeakingInTurn
from voicefleet_worker.failover.switch import ONCE
from voicefleet_worker.failover.thinking import ThinkingInTurn

DOWN = APIStatusError("down", status_code=503)
VOICE = 1
"""The sample of which a scripted voice's sound consists."""
WELL: Sequence[Step] = ["All is ", "well."]
SAID: Sequence[Step] = ["all"]


ENGLISH = cast("InCharge", SimpleNamespace(language="en", values={}))


class Loudspeaker(io.AudioOutput):
    """Plays at once and keeps which sound it was, utterance by utterance."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=False))
        self.heard: list[str] = []
        self._seconds = 0.0
        self._loudest = 0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._seconds:
            self.on_playback_started(created_at=0.0)
        self._seconds += frame.duration
        self._loudest = max(self._loudest, *frame.data)

    def flush(self) -> None:
        super().flush()
        if self._seconds:
            self.heard.append("voice" if self._loudest == VOICE else "beeps")
            seconds, self._seconds, self._loudest = self._seconds, 0.0, 0
            self.on_playback_finished(playback_position=seconds, interrupted=False)

    def clear_buffer(self) -> None:
        raise AssertionError("nobody interrupts")


class Talk:
    """A call in which models do what their scripts say."""

    def __init__(self, thoughts: list[Sequence[Step]], speeches: list[Sequence[Step]]) -> None:
        thinker, speaker = Thinker(*thoughts), Speaker(VOICE, *speeches)
        llm_stage = stage(lineup("Llm", "a"), lambda _: thinker)
        tts_stage = stage(lineup("Tts", "b"), lambda _: speaker)
        # Each request finds its provider well again.
        for each in (llm_stage, tts_stage):
            each.health.learn = lambda *_, **__: None  # type: ignore[method-assign]
        self.session: AgentSession[None] = AgentSession(
            vad=None,
            llm=ThinkingInTurn(llm_stage.switch),
            tts=SpeakingInTurn(tts_stage.switch),
            turn_handling={"turn_detection": None},
            conn_options=SessionConnectOptions(stt_conn_options=ONCE, llm_conn_options=ONCE, tts_conn_options=ONCE),
        )
        self.loudspeaker = Loudspeaker()
        self.session.output.audio = self.loudspeaker
        self.speaker = speaker
        self.given_up = 0
        self.course = Course(begins=State.TALKING)
        self.apologies = Apologies(self.session, ENGLISH, self.course, self._give_up)

    async def _give_up(self) -> None:
        self.given_up += 1

    async def take_turns(self, number: int) -> None:
        await self.session.start(Agent(instructions="Help."))
        self.apologies.begin()
        for _ in range(number):
            await self.session.generate_reply(user_input="Hello?")
            while self.apologies._tasks:
                await asyncio.gather(*self.apologies._tasks)
        await self.session.aclose()

    @property
    def words(self) -> list[str]:
        return [spoken.text for spoken in self.speaker.spoken]


async def test_when_nobody_thinks_the_voice_says_so_and_the_call_goes_on() -> None:
    talk = Talk([[DOWN], WELL], [SAID, SAID])
    await talk.take_turns(2)

    assert talk.words == ["I'm sorry, that did not work just now. Could you say it again, please?", "All is well."]
    assert talk.loudspeaker.heard == ["voice", "voice"]
    assert talk.given_up == 0


async def test_when_nobody_speaks_it_beeps() -> None:
    talk = Talk([WELL, WELL], [[DOWN], SAID])
    await talk.take_turns(2)

    assert talk.loudspeaker.heard == ["beeps", "voice"]


async def test_when_nobody_thinks_or_speaks_it_beeps_once() -> None:
    talk = Talk([[DOWN], WELL], [[DOWN], SAID])
    await talk.take_turns(2)

    assert talk.loudspeaker.heard == ["beeps", "voice"]


@pytest.mark.parametrize(
    ("thought", "speech", "sounds"), [([DOWN], SAID, "voice"), (WELL, [DOWN], "beeps"), ([DOWN], [DOWN], "beeps")]
)
async def test_after_three_in_a_row_it_says_goodbye(
    thought: Sequence[Step], speech: Sequence[Step], sounds: str
) -> None:
    talk = Talk([thought] * MOST_IN_A_ROW, [speech] * MOST_IN_A_ROW)
    await talk.take_turns(MOST_IN_A_ROW)

    assert talk.loudspeaker.heard == [sounds] * MOST_IN_A_ROW
    assert talk.given_up == 1


async def test_an_answer_in_between_begins_the_count_anew() -> None:
    thoughts: list[Sequence[Step]] = [[DOWN], [DOWN], WELL, [DOWN], [DOWN]]
    talk = Talk(thoughts, [SAID] * len(thoughts))
    await talk.take_turns(len(thoughts))

    assert talk.loudspeaker.heard == ["voice"] * len(thoughts)
    assert talk.given_up == 0


async def test_a_goodbye_that_fails_is_no_turn() -> None:
    talk = Talk([[DOWN]], [])
    talk.course.move(News.GOODBYE)
    await talk.take_turns(1)

    assert talk.loudspeaker.heard == []


async def test_what_was_thought_ahead_and_thrown_away_needs_no_apology() -> None:
    talk = Talk([], [])
    talk.apologies.begin()
    speech = SpeechHandle.create()
    talk.session.emit("speech_created", cast("Any", SimpleNamespace(speech_handle=speech)))
    speech._error = DOWN
    speech._mark_done()
    await asyncio.sleep(0)

    assert not talk.apologies._tasks


async def test_a_beep_begins_and_ends_softly_and_each_is_heard() -> None:
    sound = [sample async for frame in beeps(2) for sample in frame.data]
    quiet = [abs(sample) < 200 for sample in sound]
    pauses = sum(1 for a, b in itertools.pairwise(quiet[::240]) if b and not a)

    assert max(map(abs, sound)) == pytest.approx(0.2 * 32_767, rel=0.05)
    assert max(abs(b - a) for a, b in itertools.pairwise(sound)) < 900, "it would click"
    assert pauses >= 2
    assert quiet[-1]


@pytest.mark.parametrize(
    ("in_a_row", "is_last"), [(1, False), (MOST_IN_A_ROW - 1, False), (MOST_IN_A_ROW, True), (MOST_IN_A_ROW + 1, True)]
)
def test_the_last_apology_is_a_goodbye(in_a_row: int, *, is_last: bool) -> None:
    apology = apologise("thinking", in_a_row, language="de-AT")

    assert apology.is_last is is_last
    assert ("Auf Wiederhören" in apology.words) is is_last
    assert apology.has_voice
    assert not apologise("speaking", in_a_row, language="de").has_voice
