"""A line without a room: a recording goes in, at its own pace, and what the agent says is played to nobody."""

import asyncio
import time
from collections import deque

from livekit import rtc
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities

from e2e.recorded.recording import Recording, frames_of, silence

_FRAME_SECONDS = 0.02


class RecordedCaller(AudioInput):
    """Says what was recorded when it is told to, and is silent in between."""

    def __init__(self) -> None:
        super().__init__(label="recorded caller")
        self._frames: deque[rtc.AudioFrame] = deque()
        self._silence = silence()
        self._next_seconds = time.monotonic()

    def say(self, recording: Recording) -> None:
        """Begin to say something."""
        self._frames.extend(frames_of(recording))

    async def __anext__(self) -> rtc.AudioFrame:
        # What was held up comes all at once, as from a network: a gap would be silence to whoever hears.
        self._next_seconds += _FRAME_SECONDS
        await asyncio.sleep(max(0.0, self._next_seconds - time.monotonic()))
        return self._frames.popleft() if self._frames else self._silence


class Loudspeaker(AudioOutput):
    """Takes as long for what it plays as it would sound, and stops when it is interrupted."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False))
        self._pushed_seconds = 0.0
        self._began_seconds = 0.0
        self._ending: asyncio.Task[None] | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._pushed_seconds:
            self._began_seconds = time.monotonic()
            self.on_playback_started(created_at=time.time())
        self._pushed_seconds += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._pushed_seconds and self._ending is None:
            self._ending = asyncio.create_task(self._play_to_the_end())

    def clear_buffer(self) -> None:
        if self._pushed_seconds:
            played = min(self._pushed_seconds, time.monotonic() - self._began_seconds)
            self._finish(played, interrupted=played < self._pushed_seconds)

    async def _play_to_the_end(self) -> None:
        await asyncio.sleep(max(0.0, self._began_seconds + self._pushed_seconds - time.monotonic()))
        self._ending = None
        self._finish(self._pushed_seconds, interrupted=False)

    def _finish(self, played_seconds: float, *, interrupted: bool) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        self._pushed_seconds = 0.0
        self.on_playback_finished(playback_position=played_seconds, interrupted=interrupted)
