"""Noise goes, and speech stays as long as it was."""

import random
from array import array

import pytest
from livekit import rtc

from voicefleet_worker.voices.noise import WebRtcNoiseSuppression

RATE = 24_000


def energy(frame: rtc.AudioFrame) -> float:
    return sum(sample * sample for sample in frame.data) / len(frame.data)


def hiss(milliseconds: int, *, seed: int) -> rtc.AudioFrame:
    samples = RATE * milliseconds // 1000
    chance = random.Random(seed)  # noqa: S311 - noise
    sound = array("h", (chance.randint(-3000, 3000) for _ in range(samples)))
    return rtc.AudioFrame(sound.tobytes(), RATE, 1, samples)


def test_steady_noise_is_taken_out() -> None:
    cleaner = WebRtcNoiseSuppression(high_pass_filter=True)
    heard = [(frame := hiss(50, seed=number), cleaner._process(frame)) for number in range(100)]

    before = sum(energy(frame) for frame, _ in heard[-20:])
    after = sum(energy(frame) for _, frame in heard[-20:])
    assert after < before / 5


@pytest.mark.parametrize("milliseconds", [10, 25, 50])
def test_a_frame_stays_as_long_as_it_was(milliseconds: int) -> None:
    frame = hiss(milliseconds, seed=1)
    cleaned = WebRtcNoiseSuppression(high_pass_filter=False)._process(frame)

    assert (cleaned.samples_per_channel, cleaned.sample_rate) == (frame.samples_per_channel, RATE)
    assert len(cleaned.data) == len(frame.data)
