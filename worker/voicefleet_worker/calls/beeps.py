"""Beeps, made here: what a caller hears where there is no voice left."""

import math
from array import array
from collections.abc import AsyncIterator, Iterator

from livekit import rtc

SAMPLE_RATE = 24_000
_TONE_HZ = 440
_TONE_SECONDS = 0.18
_PAUSE_SECONDS = 0.14
# Rising and falling for so long, a tone does not click.
_SLOPE_SECONDS = 0.03
_LOUDNESS = 0.2 * 32_767
_FRAME_SAMPLES = SAMPLE_RATE // 50


async def beeps(number: int) -> AsyncIterator[rtc.AudioFrame]:
    """Yield so many soft beeps."""
    sound = array("h", (sample for _ in range(number) for sample in _beep()))
    for begin in range(0, len(sound), _FRAME_SAMPLES):
        piece = sound[begin : begin + _FRAME_SAMPLES]
        yield rtc.AudioFrame(piece.tobytes(), SAMPLE_RATE, 1, len(piece))


def _beep() -> Iterator[int]:
    length, slope = int(_TONE_SECONDS * SAMPLE_RATE), _SLOPE_SECONDS * SAMPLE_RATE
    for number in range(length):
        envelope = min(1.0, number / slope, (length - number) / slope)
        yield round(_LOUDNESS * envelope * math.sin(2 * math.pi * _TONE_HZ * number / SAMPLE_RATE))
    yield from (0 for _ in range(int(_PAUSE_SECONDS * SAMPLE_RATE)))
