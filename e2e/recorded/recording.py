"""What recorded callers say, and how it sounded, without loss."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from livekit import rtc

from e2e.providers.espeak import Voice

FOLDER = Path(__file__).parent
# As a room hands it on.
RATE_HZ = 24_000
_FRAME_SAMPLES = RATE_HZ // 50


@dataclass(frozen=True, slots=True)
class Recording:
    """One sentence of a caller."""

    name: str
    words: str

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.flac"


WHEN_OPEN = Recording("when_open", "When are you open?")
TOOTHACHE = Recording("toothache", "I have a toothache.")
SOMETHING_ELSE = Recording("something_else", "Wait, I would like to speak about something else.")
MY_ORDER = Recording("my_order", "Where is my order?")
RECORDINGS = (WHEN_OPEN, TOOTHACHE, SOMETHING_ELSE, MY_ORDER)


async def record(recording: Recording, voice: Voice) -> None:
    """Say a sentence and keep its sound."""
    samples = (await voice.say(recording.words, rate_hz=RATE_HZ)).samples
    _write(recording.path, (np.clip(samples, -1, 1) * 32_767).astype(np.int16))


def frames_of(recording: Recording) -> list[rtc.AudioFrame]:
    """Return a recording as frames of 20 ms."""
    with av.open(str(recording.path)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        pieces = [out.to_ndarray() for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    samples = np.concatenate([piece.reshape(-1) for piece in pieces])
    whole = len(samples) // _FRAME_SAMPLES
    return [_frame(piece) for piece in samples[: whole * _FRAME_SAMPLES].reshape(whole, _FRAME_SAMPLES)]


def silence() -> rtc.AudioFrame:
    """Return 20 ms of nothing."""
    return _frame(np.zeros(_FRAME_SAMPLES, dtype=np.int16))


def _frame(samples: "np.ndarray[tuple[int], np.dtype[np.int16]]") -> rtc.AudioFrame:
    return rtc.AudioFrame(samples.tobytes(), RATE_HZ, 1, len(samples))


def _write(path: Path, samples: "np.ndarray[tuple[int], np.dtype[np.int16]]") -> None:
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
