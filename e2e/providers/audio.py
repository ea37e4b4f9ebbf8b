"""Sound as numpy arrays: sample rates, companding and the raw wire encodings.

Samples are mono float32 in -1..1. Compressed containers live in `codecs`.
"""

import io
import wave
from math import gcd

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

SILENCE: Samples = np.zeros(0, dtype=np.float32)
# The names the three providers give to the same four encodings.
_ENCODINGS = {
    "linear16": "s16",
    "pcm_s16le": "s16",
    "pcm": "s16",
    "mulaw": "mulaw",
    "pcm_mulaw": "mulaw",
    "alaw": "alaw",
    "pcm_alaw": "alaw",
    "pcm_f32le": "f32",
}
BYTES_PER_SAMPLE = {"s16": 2, "mulaw": 1, "alaw": 1, "f32": 4}
_MU = 255.0
_A = 87.6


class UnknownEncodingError(ValueError):
    """The client asked for an encoding that this stand-in does not speak."""


def canonical_encoding(name: str) -> str:
    """Map a provider's name for an encoding to ours."""
    try:
        return _ENCODINGS[name]
    except KeyError:
        raise UnknownEncodingError(f"encoding must be one of {sorted(_ENCODINGS)}, was {name!r}") from None


def resample(samples: Samples, *, from_hz: int, to_hz: int) -> Samples:
    """Change the sample rate in the frequency domain, so nothing aliases on the way down to 8 kHz."""
    if from_hz == to_hz or not samples.size:
        return samples
    # Padding to whole periods of the ratio makes the output length exact: 22050 to 24000 is 147 to 160.
    period = from_hz // gcd(from_hz, to_hz)
    padded = np.pad(samples, (0, -samples.size % period))
    size = padded.size * to_hz // from_hz
    spectrum = np.fft.rfft(padded)
    kept = min(spectrum.size, size // 2 + 1)
    target = np.zeros(size // 2 + 1, dtype=np.complex128)
    target[:kept] = spectrum[:kept]
    return (np.fft.irfft(target, size) * (size / padded.size)).astype(np.float32)


def encode(samples: Samples, encoding: str) -> bytes:
    """Write samples in one of the raw wire encodings."""
    clipped = np.clip(samples, -1.0, 1.0)
    match canonical_encoding(encoding):
        case "mulaw":
            return _mulaw_encode(clipped)
        case "alaw":
            return _alaw_encode(clipped)
        case "f32":
            return clipped.astype("<f4").tobytes()
        case _:
            return (clipped * 32767).astype("<i2").tobytes()


def decode(data: bytes, encoding: str) -> Samples:
    """Read samples in one of the raw wire encodings; a trailing half sample is dropped."""
    kind = canonical_encoding(encoding)
    whole = data[: len(data) - len(data) % BYTES_PER_SAMPLE[kind]]
    match kind:
        case "mulaw":
            return _mulaw_decode(np.frombuffer(whole, dtype=np.uint8))
        case "alaw":
            return _alaw_decode(np.frombuffer(whole, dtype=np.uint8))
        case "f32":
            return np.frombuffer(whole, dtype="<f4").astype(np.float32)
        case _:
            return np.frombuffer(whole, dtype="<i2").astype(np.float32) / np.float32(32768)


def _mulaw_encode(samples: Samples) -> bytes:
    magnitude = np.log1p(_MU * np.abs(samples)) / np.log1p(_MU)
    code = np.minimum(magnitude * 128, 127).astype(np.uint8)
    return bytes(~(np.where(samples < 0, 0x80, 0).astype(np.uint8) | code))


def _mulaw_decode(codes: npt.NDArray[np.uint8]) -> Samples:
    plain = ~codes
    magnitude = np.expm1(((plain & 0x7F) + 0.5) / 128 * np.log1p(_MU)) / _MU
    return np.asarray(np.where(plain & 0x80, -magnitude, magnitude), dtype=np.float32)


def _alaw_encode(samples: Samples) -> bytes:
    magnitude = np.abs(samples)
    scale = 1 + np.log(_A)
    curve = np.where(magnitude < 1 / _A, _A * magnitude / scale, (1 + np.log(np.maximum(_A * magnitude, 1))) / scale)
    code = np.minimum(curve * 128, 127).astype(np.uint8)
    return bytes((np.where(samples < 0, 0, 0x80).astype(np.uint8) | code) ^ 0x55)


def _alaw_decode(codes: npt.NDArray[np.uint8]) -> Samples:
    plain = codes ^ 0x55
    curve = ((plain & 0x7F) + 0.5) / 128
    scale = 1 + np.log(_A)
    magnitude = np.where(curve < 1 / scale, curve * scale / _A, np.exp(curve * scale - 1) / _A)
    return np.asarray(np.where(plain & 0x80, magnitude, -magnitude), dtype=np.float32)


def to_wav(samples: Samples, *, rate_hz: int) -> bytes:
    """Write a 16-bit mono WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(encode(samples, "pcm_s16le"))
    return buffer.getvalue()


def from_wav(data: bytes) -> tuple[Samples, int]:
    """Read a 16-bit WAV file as mono; espeak-ng writes an unfinished header, so the length is taken as is."""
    with wave.open(io.BytesIO(data)) as file:
        channels, rate_hz = file.getnchannels(), file.getframerate()
        samples = decode(file.readframes(len(data)), "pcm_s16le")
    if channels > 1:
        samples = samples[: samples.size - samples.size % channels].reshape(-1, channels).mean(axis=1)
    return samples.astype(np.float32), rate_hz
