"""Saying a text on a stream: real speech in chunks, faster than anybody could listen."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from e2e.providers.audio import encode
from e2e.providers.espeak import Spoken
from e2e.providers.exchange import Exchange
from e2e.providers.wire import chunks

_CHUNK_SECONDS = 0.1
# A provider sends speech well ahead of the listener, but not all at once: interruptions need a middle.
_TIMES_REAL_TIME = 20.0
# A minute of speech in each piece, sent as fast as it is taken.
_ENDLESS_SECONDS = 60


async def prepare_speech(exchange: Exchange, text: str, *, rate_hz: int, speed: float = 1.0) -> Spoken:
    """Synthesise a text and write down that it was asked for."""
    exchange.begin_turn()
    spoken = await exchange.studio.voice.say(text, rate_hz=rate_hz, speed=speed)
    exchange.entry.text_in_chars += len(text)
    exchange.entry.audio_out_seconds = round(exchange.entry.audio_out_seconds + spoken.seconds, 3)
    exchange.studio.spoken.append(
        {
            "instance": exchange.instance,
            "provider": exchange.key[1],
            "text": text,
            "seconds": round(spoken.seconds, 3),
        }
    )
    return spoken


async def pcm_chunks(exchange: Exchange, spoken: Spoken, *, encoding: str) -> AsyncIterator[bytes]:
    """Yield the speech piece by piece at its pace."""
    step = max(1, int(spoken.rate_hz * _CHUNK_SECONDS))
    for start in range(0, spoken.samples.size, step):
        data = encode(spoken.samples[start : start + step], encoding)
        exchange.entry.audio_out_bytes += len(data)
        yield data
        await asyncio.sleep(_CHUNK_SECONDS / _TIMES_REAL_TIME)
    while exchange.current_fault().mode == "endless":
        yield encode(np.zeros(spoken.rate_hz * _ENDLESS_SECONDS, dtype=spoken.samples.dtype), encoding)
        await asyncio.sleep(0)


async def stretch(data: bytes, *, seconds: float) -> AsyncIterator[bytes]:
    """Yield an encoded file in pieces, at the same pace as raw samples."""
    step = max(256, int(len(data) * _CHUNK_SECONDS / max(seconds, _CHUNK_SECONDS)))
    for piece in chunks(data, step):
        yield piece
        await asyncio.sleep(_CHUNK_SECONDS / _TIMES_REAL_TIME)
