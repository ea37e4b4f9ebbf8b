"""What tests and scenarios need round the stand-ins: a caller's audio, and how well words were heard."""

import asyncio
import re
import time
from collections import deque
from difflib import SequenceMatcher

import numpy as np
from livekit import rtc
from livekit.agents import Agent, function_tool
from livekit.agents.voice import io

from e2e.providers.audio import decode, encode
from e2e.providers.espeak import Voice
from e2e.providers.recogniser import Recogniser

_FRAME_SECONDS = 0.05


async def caller_says(text: str, *, rate_hz: int = 16000, lead_seconds: float = 0.3) -> list[rtc.AudioFrame]:
    """Return a sentence between silences, as a line would bring it: frames of 50 ms."""
    spoken = await Voice().say(text, rate_hz=rate_hz)
    lead = np.zeros(int(rate_hz * lead_seconds), np.float32)
    tail = np.zeros(rate_hz, np.float32)
    return to_frames(np.concatenate([lead, spoken.samples, tail]), rate_hz=rate_hz)


def silence(seconds: float, *, rate_hz: int = 16000) -> list[rtc.AudioFrame]:
    """Return a quiet line."""
    return to_frames(np.zeros(int(rate_hz * seconds), np.float32), rate_hz=rate_hz)


def to_frames(samples: np.typing.NDArray[np.float32], *, rate_hz: int) -> list[rtc.AudioFrame]:
    """Cut samples into frames of 50 ms; the last may be shorter."""
    pcm = encode(samples, "pcm_s16le")
    step = int(rate_hz * _FRAME_SECONDS) * 2
    pieces = (pcm[start : start + step] for start in range(0, len(pcm), step))
    return [rtc.AudioFrame(piece, rate_hz, 1, len(piece) // 2) for piece in pieces]


async def understand(frames: list[rtc.AudioFrame]) -> str:
    """Return the words in the audio, as another recogniser hears them."""
    frame = rtc.combine_audio_frames(frames)
    recogniser = Recogniser()
    try:
        samples = decode(frame.data.tobytes(), "pcm_s16le")
        return await recogniser.transcribe(samples, rate_hz=frame.sample_rate)
    finally:
        recogniser.close()


def word_overlap(wanted: str, got: str) -> float:
    """Return the share of the wanted words that were got, in order."""
    wanted_words, got_words = _words(wanted), _words(got)
    matcher = SequenceMatcher(None, wanted_words, got_words, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / max(1, len(wanted_words))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


class LineIn(io.AudioInput):
    """A caller's microphone: silence, with whatever is said in between, at a multiple of real time."""

    def __init__(self, *, times_real_time: float = 1.0, rate_hz: int = 16000) -> None:
        super().__init__(label="LineIn")
        self._times_real_time = times_real_time
        self._rate_hz = rate_hz
        self._waiting: deque[rtc.AudioFrame] = deque()
        self._next_at = 0.0

    async def say(self, text: str) -> None:
        """Queue a sentence."""
        self._waiting.extend(await caller_says(text, rate_hz=self._rate_hz))

    async def __anext__(self) -> rtc.AudioFrame:
        now = asyncio.get_running_loop().time()
        self._next_at = max(self._next_at, now - 1.0) + _FRAME_SECONDS / self._times_real_time
        await asyncio.sleep(max(0.0, self._next_at - now))
        if self._waiting:
            return self._waiting.popleft()
        return silence(_FRAME_SECONDS, rate_hz=self._rate_hz)[0]


class LineOut(io.AudioOutput):
    """A caller's loudspeaker: keeps what was played, and plays at a multiple of real time."""

    def __init__(self, *, times_real_time: float = 1.0) -> None:
        super().__init__(label="LineOut", capabilities=io.AudioOutputCapabilities(pause=False))
        self._times_real_time = times_real_time
        self.frames: list[rtc.AudioFrame] = []
        self.interruptions = 0
        self.started = asyncio.Event()
        self._started_at = 0.0
        self._pushed_seconds = 0.0
        self._finisher: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._pushed_seconds:
            self._started_at = asyncio.get_running_loop().time()
            self.on_playback_started(created_at=time.time())
        self._pushed_seconds += frame.duration
        self.frames.append(frame)
        self.started.set()

    def flush(self) -> None:
        super().flush()
        if self._pushed_seconds:
            left = (self._pushed_seconds - self._played_seconds()) / self._times_real_time
            loop = asyncio.get_running_loop()
            self._finisher = loop.call_later(left, self._finish, self._pushed_seconds, False)

    def clear_buffer(self) -> None:
        if self._finisher is not None:
            self._finisher.cancel()
        if self._pushed_seconds:
            self.interruptions += 1
            self._finish(self._played_seconds(), True)

    def _played_seconds(self) -> float:
        since = (asyncio.get_running_loop().time() - self._started_at) * self._times_real_time
        return min(since, self._pushed_seconds)

    def _finish(self, position: float, interrupted: bool) -> None:
        self._pushed_seconds, self._finisher = 0.0, None
        self.on_playback_finished(playback_position=position, interrupted=interrupted)


class Receptionist(Agent):
    """An agent with one tool, which remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(instructions="Answer the telephone.")
        self.cities: list[str] = []

    @function_tool
    async def get_weather(self, city: str) -> str:
        """Tell the weather in a city."""
        self.cities.append(city)
        return f"sunny in {city}"
