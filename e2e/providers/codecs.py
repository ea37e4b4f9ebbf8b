"""Audio files: WAV and raw samples by hand, everything compressed by PyAV.

PyAV comes with the recogniser and is imported when it is needed: a server without it still speaks.
"""

import io

import numpy as np

from e2e.providers.audio import Samples, UnknownEncodingError, encode, from_wav, to_wav

_DECODE_HZ = 16000
# File format, codec and sample rate, for each response_format of the speech endpoint.
_CODECS = {
    "mp3": ("mp3", "libmp3lame", "audio/mpeg"),
    "flac": ("flac", "flac", "audio/flac"),
    "opus": ("ogg", "libopus", "audio/opus"),
    "aac": ("adts", "aac", "audio/aac"),
}
_OPUS_HZ = 48000


def content_type(file_format: str) -> str:
    """Return the media type of a response_format."""
    if file_format in _CODECS:
        return _CODECS[file_format][2]
    return {"wav": "audio/wav", "pcm": "audio/pcm"}.get(file_format, "application/octet-stream")


def write_audio(samples: Samples, *, rate_hz: int, file_format: str) -> bytes:
    """Write samples in one of the speech endpoint's formats."""
    match file_format:
        case "pcm":
            return encode(samples, "pcm_s16le")
        case "wav":
            return to_wav(samples, rate_hz=rate_hz)
        case _:
            return _compress(samples, rate_hz, file_format)


def read_audio(data: bytes) -> tuple[Samples, int]:
    """Read any audio file as mono samples and their rate."""
    if data[:4] == b"RIFF":
        return from_wav(data)
    import av  # noqa: PLC0415

    resampler = av.AudioResampler(format="flt", layout="mono", rate=_DECODE_HZ)
    parts: list[Samples] = []
    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(audio=0):
            parts.extend(part.to_ndarray().reshape(-1).astype(np.float32) for part in resampler.resample(frame))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32), _DECODE_HZ


def _compress(samples: Samples, rate_hz: int, file_format: str) -> bytes:
    import av  # noqa: PLC0415

    container_format, codec, _ = _CODECS[file_format]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=_OPUS_HZ if file_format == "opus" else rate_hz)
        if not isinstance(stream, av.AudioStream):
            raise UnknownEncodingError(f"{codec} is no audio codec")
        pcm = np.frombuffer(encode(samples, "pcm_s16le"), dtype=np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = rate_hz
        frame.pts = 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return buffer.getvalue()
