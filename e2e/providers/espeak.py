"""A voice: text to samples by espeak-ng, cached, with estimated word times.

Where espeak-ng is not installed the voice hums for as long as the text would take, so that
everything but understanding still works.
"""

import asyncio
import re
import shutil
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from e2e.providers.audio import SILENCE, Samples, from_wav, resample

# What the small Whisper model understands best: 92 % of the words of ten short sentences at 150 words
# a minute, 79 % at 140, 87 % at 160.
WORDS_PER_MINUTE = 150
_VOICE = "en-us"
_CACHE_SIZE = 256
_HUM_HZ = 220.0
_HUM_RATE_HZ = 22050
_HUM_SECONDS_PER_LETTER = 0.06
_QUIET = 0.01


@dataclass(frozen=True, slots=True)
class Word:
    """One word and when it sounds, in seconds from the start."""

    text: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Spoken:
    """A sentence that has been said."""

    samples: Samples
    rate_hz: int
    words: tuple[Word, ...]

    @property
    def seconds(self) -> float:
        return self.samples.size / self.rate_hz


class Voice:
    """Says things, and remembers how they sounded."""

    def __init__(self) -> None:
        self._binary = shutil.which("espeak-ng")
        self._cache: OrderedDict[tuple[str, int, float], Spoken] = OrderedDict()

    async def say(self, text: str, *, rate_hz: int, speed: float = 1.0) -> Spoken:
        """Return the text spoken at the wanted sample rate."""
        key = (text, rate_hz, speed)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        samples, native_hz = await self._synthesise(text, speed)
        samples = resample(samples, from_hz=native_hz, to_hz=rate_hz)
        spoken = Spoken(samples=samples, rate_hz=rate_hz, words=time_words(text, samples, rate_hz))
        self._cache[key] = spoken
        if len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)
        return spoken

    async def _synthesise(self, text: str, speed: float) -> tuple[Samples, int]:
        if not re.search(r"\w", text):
            return SILENCE, _HUM_RATE_HZ
        if self._binary is None:
            return _hum(text, speed), _HUM_RATE_HZ
        words_per_minute = str(round(WORDS_PER_MINUTE * speed))
        # The text goes through stdin: an argument that starts with a dash would be an option.
        process = await asyncio.create_subprocess_exec(
            self._binary, "-v", _VOICE, "-s", words_per_minute, "--stdin", "--stdout",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        wav, _ = await process.communicate(text.encode())
        return from_wav(wav)


def time_words(text: str, samples: Samples, rate_hz: int) -> tuple[Word, ...]:
    """Spread the words over the sounding part, each in proportion to its letters."""
    words = text.split()
    loud = np.flatnonzero(np.abs(samples) > _QUIET)
    if not words or not loud.size:
        return ()
    start, end = loud[0] / rate_hz, (loud[-1] + 1) / rate_hz
    weights = np.cumsum([0, *(len(word) + 1 for word in words)])
    times = start + (end - start) * weights / weights[-1]
    return tuple(
        Word(text=word, start_seconds=round(float(times[i]), 3), end_seconds=round(float(times[i + 1]), 3))
        for i, word in enumerate(words)
    )


def _hum(text: str, speed: float) -> Samples:
    seconds = max(0.3, len(text) * _HUM_SECONDS_PER_LETTER / speed)
    times = np.arange(int(seconds * _HUM_RATE_HZ)) / _HUM_RATE_HZ
    return (0.3 * np.sin(2 * np.pi * _HUM_HZ * times)).astype(np.float32)
