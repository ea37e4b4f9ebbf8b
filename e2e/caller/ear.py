"""Listening: when the agent makes a sound, for how long, and where it breaks off.

Loudness decides, at 20 ms a frame: what a caller hears is sound, whatever the agent's own state says.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from livekit import rtc

RATE_HZ = 16_000
FRAME_SECONDS = 0.02
_LEAST_RMS = 130.0
"""About -48 dB: below are comfort noise and the tail of a codec."""


@dataclass(slots=True)
class Heard:
    """Sound between two marks."""

    first_seconds: float | None = None
    last_seconds: float | None = None
    loud_seconds: float = 0.0


class Ear:
    """What one caller hears of the agent.

    A gap is silence, longer than allowed, between two sounds of one utterance. It is counted in frames, not
    by the clock, so that a busy machine under the test makes none.
    """

    def __init__(self, *, gap_ms: float, on_gap: Callable[[float], None]) -> None:
        self._gap_seconds = gap_ms / 1000
        self._on_gap = on_gap
        self._heard = Heard()
        self._within_utterance = False
        self._quiet_frames = 0
        self._speaking = False

    @property
    def heard(self) -> Heard:
        """Sound since the last mark."""
        return self._heard

    def mark(self) -> None:
        """Begin a new turn."""
        self._heard = Heard()

    def note_state(self, state: str) -> None:
        """Take in the agent's own word about what it does; with every change another utterance begins."""
        self._speaking = state == "speaking"
        self._within_utterance = False

    def quiet_seconds(self, now_seconds: float) -> float:
        """Return how long it has been quiet; for ever if nothing was heard since the mark."""
        last = self._heard.last_seconds
        return float("inf") if last is None else now_seconds - last

    async def listen(self, track: rtc.Track) -> None:
        """Take in a track until it ends."""
        frame_ms = int(FRAME_SECONDS * 1000)
        stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=frame_ms, capacity=500)
        try:
            async for event in stream:
                self.take(np.frombuffer(event.frame.data, np.int16), now_seconds=time.monotonic())
        finally:
            await stream.aclose()

    def take(self, samples: "np.ndarray[Any, np.dtype[np.int16]]", *, now_seconds: float) -> None:
        """Take in one frame."""
        wide = samples.astype(np.float32)
        if float(np.sqrt(np.dot(wide, wide) / max(1, wide.size))) < _LEAST_RMS:
            self._quiet_frames += 1
            return
        silence_seconds = self._quiet_frames * FRAME_SECONDS
        if self._within_utterance and silence_seconds > self._gap_seconds:
            self._on_gap(silence_seconds)
        self._quiet_frames = 0
        self._within_utterance = self._speaking
        heard = self._heard
        if heard.first_seconds is None:
            heard.first_seconds = now_seconds
        heard.last_seconds = now_seconds
        heard.loud_seconds += FRAME_SECONDS
