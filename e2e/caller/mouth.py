"""Speaking: sentences as sound in real time, and silence in between, without which no VAD finds an end."""

import asyncio
import atexit
import time

import numpy as np
from livekit import rtc

from e2e.providers.espeak import Voice

RATE_HZ = 48_000
_FRAME_SAMPLES = RATE_HZ // 50
_QUEUE_MS = 200
_LEAST_LEVEL = 0.01
_FULL_SCALE = 32_767
# Longer than a frame of speech: a caller is silent most of the time, and each frame crosses into native code.
_SILENCE = bytes(_FRAME_SAMPLES * 2 * 5)

Frames = tuple[bytes, ...]

# The library shuts down at exit too, but its threads still call into Python for a moment, and a thread that does
# so while the interpreter goes down aborts the process. Registered earlier, this runs later, and gives them time.
atexit.register(time.sleep, 0.3)


class Mouth:
    """One caller's microphone. `run` never ends: it is cancelled with the call."""

    def __init__(self, voice: Voice) -> None:
        self.source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=_QUEUE_MS)
        self._voice = voice
        self._waiting: asyncio.Queue[tuple[Frames, asyncio.Future[float]]] = asyncio.Queue()

    async def run(self) -> None:
        """Feed the microphone; the full queue of the source keeps the pace."""
        while True:
            if self._waiting.empty():
                await self._feed(_SILENCE)
                continue
            frames, spoken = self._waiting.get_nowait()
            for frame in frames:
                await self._feed(frame)
            if not spoken.done():
                # What is queued has yet to sound.
                spoken.set_result(time.monotonic() + self.source.queued_duration)

    async def say(self, text: str) -> float:
        """Say a sentence and return when its last sound is heard, on the monotonic clock."""
        frames = await self.prepare(text)
        spoken: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((frames, spoken))
        end_seconds = await spoken
        await asyncio.sleep(max(0.0, end_seconds - time.monotonic()))
        return end_seconds

    async def prepare(self, text: str) -> Frames:
        """Return the sentence as frames of 20 ms, without the silence round it."""
        spoken = await self._voice.say(text, rate_hz=RATE_HZ)
        loud = np.flatnonzero(np.abs(spoken.samples) > _LEAST_LEVEL)
        if not loud.size:
            return ()
        samples = spoken.samples[loud[0] : loud[-1] + 1]
        samples = np.pad(samples, (0, -samples.size % _FRAME_SAMPLES))
        pcm = (np.clip(samples, -1, 1) * _FULL_SCALE).astype("<i2").tobytes()
        step = _FRAME_SAMPLES * 2
        return tuple(pcm[start : start + step] for start in range(0, len(pcm), step))

    async def _feed(self, pcm: bytes) -> None:
        await self.source.capture_frame(rtc.AudioFrame(pcm, RATE_HZ, 1, len(pcm) // 2))
