"""Where an utterance starts and ends, by loudness alone.

Counts audio, not the clock: audio pushed faster than real time gives the same answer.
"""

from dataclasses import dataclass

import numpy as np

from e2e.providers.audio import SILENCE, Samples

_FRAME_SECONDS = 0.02
_LOUD = 0.008  # RMS; -42 dB of full scale, above line noise and below any voice
_LOUD_OVER_NOISE = 3.0
_START_FRAMES = 3
_PREROLL_SECONDS = 0.3
_LONGEST_SECONDS = 25.0  # the recogniser's window is 30 s


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody began to speak."""

    at_seconds: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """Somebody stopped; here is what they said."""

    samples: Samples
    start_seconds: float
    end_seconds: float


class Endpointer:
    """Cuts one stream of audio into utterances."""

    def __init__(self, *, rate_hz: int, silence_ms: int) -> None:
        self.rate_hz = rate_hz
        self.heard_seconds = 0.0
        self.speaking = False
        self._frame = int(rate_hz * _FRAME_SECONDS)
        self._silence_frames = max(1, round(silence_ms / 1000 / _FRAME_SECONDS))
        self._rest = SILENCE
        self._kept: list[Samples] = []
        self._kept_from_seconds = 0.0
        self._noise = 0.0
        self._loud_run = 0
        self._quiet_run = 0

    def feed(self, samples: Samples) -> list[SpeechStarted | SpeechEnded]:
        """Take in more audio and say what it began or ended."""
        events: list[SpeechStarted | SpeechEnded] = []
        pending = np.concatenate([self._rest, samples])
        whole = pending.size - pending.size % self._frame
        for start in range(0, whole, self._frame):
            events.extend(self._take(pending[start : start + self._frame]))
        self._rest = pending[whole:]
        return events

    def flush(self) -> list[SpeechStarted | SpeechEnded]:
        """End the utterance in progress, if there is one."""
        return [self._end()] if self.speaking else []

    def so_far(self) -> Samples:
        """Return the audio of the utterance in progress."""
        return np.concatenate(self._kept) if self.speaking else SILENCE

    def _take(self, frame: Samples) -> list[SpeechStarted | SpeechEnded]:
        self._kept.append(frame)
        self.heard_seconds += _FRAME_SECONDS
        loudness = float(np.sqrt(np.mean(frame * frame)))
        loud = loudness > max(_LOUD, self._noise * _LOUD_OVER_NOISE)
        self._loud_run = self._loud_run + 1 if loud else 0
        self._quiet_run = 0 if loud else self._quiet_run + 1
        if not self.speaking:
            # A slow average of what is not speech: a noisy line must not look like one long sentence.
            self._noise = 0.98 * self._noise + 0.02 * min(loudness, 0.05)
            return self._maybe_start()
        too_long = self.heard_seconds - self._kept_from_seconds > _LONGEST_SECONDS
        return [self._end()] if self._quiet_run >= self._silence_frames or too_long else []

    def _maybe_start(self) -> list[SpeechStarted | SpeechEnded]:
        keep = round(_PREROLL_SECONDS / _FRAME_SECONDS)
        self._kept = self._kept[-keep:]
        if self._loud_run < _START_FRAMES:
            return []
        self.speaking = True
        self._kept_from_seconds = max(0.0, self.heard_seconds - len(self._kept) * _FRAME_SECONDS)
        return [SpeechStarted(at_seconds=self.heard_seconds - _START_FRAMES * _FRAME_SECONDS)]

    def _end(self) -> SpeechEnded:
        ended = SpeechEnded(
            samples=np.concatenate(self._kept),
            start_seconds=round(self._kept_from_seconds, 3),
            end_seconds=round(self.heard_seconds - self._quiet_run * _FRAME_SECONDS, 3),
        )
        self.speaking, self._kept, self._loud_run = False, [], 0
        return ended
