"""A recording hears both sides of the SDK's own session, and is in nobody's way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.voice import io

from tests.worker.failover.scripted import sound
from voicefleet_worker.recording.recorder import Recorder
from voicefleet_worker.recording.taps import tap

PIECES = 5


class Microphone(io.AudioInput):
    def __init__(self) -> None:
        super().__init__(label="microphone")

    def __aiter__(self) -> AsyncIterator[rtc.AudioFrame]:
        return self

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.sleep(0.01)
        return sound(1)


class Loudspeaker(io.AudioOutput):
    """Plays everything at once."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=True), sample_rate=24_000)
        self.seconds = 0.0
        self._unheard = 0.0
        self.told: list[str] = []

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        self.seconds += frame.duration
        self._unheard += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._unheard:
            asyncio.get_running_loop().call_later(0.01, self._finish, self._unheard)
            self._unheard = 0.0

    def _finish(self, seconds: float) -> None:
        self.on_playback_finished(playback_position=seconds, interrupted=False)

    def clear_buffer(self) -> None:
        self.told.append("clear")

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")


class Tape:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.caller = 0
        self.agent = 0
        self.told: list[str] = []

    def hear_caller(self, _: rtc.AudioFrame) -> None:
        self.caller += 1

    def hear_agent(self, _: rtc.AudioFrame) -> None:
        self.agent += 1

    def interrupt_agent(self) -> None:
        self.told.append("clear")

    def pause_agent(self) -> None:
        self.told.append("pause")

    def resume_agent(self) -> None:
        self.told.append("resume")


async def words() -> AsyncIterator[rtc.AudioFrame]:
    for number in range(PIECES):
        yield sound(number)


def silent_session() -> AgentSession[None]:
    handling: Any = {"turn_detection": None}
    return AgentSession(vad=None, turn_handling=handling)


async def test_both_sides_are_heard_once_somebody_records() -> None:
    session, loudspeaker, tape = silent_session(), Loudspeaker(), Tape()
    session.input.audio, session.output.audio = Microphone(), loudspeaker
    current: list[Tape] = []
    await session.start(Agent(instructions="x"))
    assert tap(session, lambda: cast("Recorder", current[0]) if current else None)
    await session.say("one", audio=words())
    await asyncio.sleep(0.1)
    assert (tape.caller, tape.agent) == (0, 0)

    current.append(tape)
    await session.say("two", audio=words())
    await asyncio.sleep(0.1)
    await session.aclose()

    assert tape.agent == PIECES
    assert tape.caller > 2
    # What the caller hears is the same with and without.
    assert round(loudspeaker.seconds / sound(1).duration) == 2 * PIECES


async def test_what_stops_the_loudspeaker_is_told_to_both() -> None:
    session, loudspeaker, tape = silent_session(), Loudspeaker(), Tape()
    session.input.audio, session.output.audio = Microphone(), loudspeaker
    await session.start(Agent(instructions="x"))
    tap(session, lambda: cast("Recorder", tape))
    output = session.output.audio
    assert output is not None
    output.pause()
    output.resume()
    output.clear_buffer()
    await session.aclose()

    assert tape.told[:3] == ["pause", "resume", "clear"]
    assert loudspeaker.told[:3] == ["pause", "resume", "clear"]


async def test_a_session_without_sound_is_left_alone() -> None:
    assert not tap(silent_session(), lambda: None)
