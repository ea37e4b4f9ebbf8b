"""ElevenLabs text to speech: `/text-to-speech/{voice}/multi-stream-input`, many contexts on one socket."""

import asyncio
import base64
from collections.abc import AsyncIterator

from aiohttp import web

from e2e.providers.codecs import write_audio
from e2e.providers.espeak import Spoken
from e2e.providers.exchange import Exchange, Socket
from e2e.providers.speaking import pcm_chunks, prepare_speech, stretch
from e2e.providers.wire import Json, parse_json

_QUERY = ("language_code", "output_format", "auto_mode")


async def speak(exchange: Exchange) -> web.StreamResponse:
    """Serve `multi-stream-input`."""
    query = exchange.request.query
    exchange.entry.model = query.get("model_id", "")
    exchange.entry.options |= {"voice": exchange.request.match_info["voice"]}
    exchange.entry.options |= {name: query[name] for name in _QUERY if name in query}
    socket = await exchange.upgrade()
    contexts = _Contexts(exchange, socket, query.get("output_format", "mp3_22050_32"))
    async for message in socket.messages():
        await contexts.take(parse_json(message))
    return socket.socket


class _Contexts:
    """What is to be said, by context; a flush or the end of a context has it said."""

    def __init__(self, exchange: Exchange, socket: Socket, output_format: str) -> None:
        self._exchange = exchange
        self._socket = socket
        self._format, rate_hz, *_ = output_format.split("_")
        self._rate_hz = int(rate_hz)
        self._texts: dict[str, str] = {}
        self._speeds: dict[str, float] = {}

    async def take(self, message: Json) -> None:
        """Take in one message."""
        context_id = str(message.get("context_id", ""))
        self._texts[context_id] = self._texts.get(context_id, "") + str(message.get("text", ""))
        if speed := (message.get("voice_settings") or {}).get("speed"):
            self._speeds[context_id] = float(speed)
        if message.get("flush") or message.get("close_context"):
            await self._say(context_id)
        if message.get("close_context"):
            await self._socket.send({"isFinal": True, "contextId": context_id})
            del self._texts[context_id]

    async def _say(self, context_id: str) -> None:
        text, self._texts[context_id] = self._texts[context_id].strip(), ""
        if not text:
            return
        speed = self._speeds.get(context_id, 1.0)
        spoken = await prepare_speech(self._exchange, text, rate_hz=self._rate_hz, speed=speed)
        alignment: Json | None = _alignment(text, spoken)
        async for chunk in self._encoded(spoken):
            audio = base64.b64encode(chunk).decode()
            told = {"alignment": alignment, "normalizedAlignment": alignment}
            await self._socket.send({"audio": audio, "contextId": context_id, "isFinal": None, **told})
            alignment = None

    async def _encoded(self, spoken: Spoken) -> AsyncIterator[bytes]:
        if self._format == "pcm":
            async for chunk in pcm_chunks(self._exchange, spoken, encoding="pcm_s16le"):
                yield chunk
            return
        data = await asyncio.to_thread(write_audio, spoken.samples, rate_hz=spoken.rate_hz, file_format=self._format)
        async for chunk in stretch(data, seconds=spoken.seconds):
            yield chunk


def _alignment(text: str, spoken: Spoken) -> Json:
    """Say when each letter sounds, spread evenly over the text."""
    step_ms = spoken.seconds * 1000 / max(1, len(text))
    return {
        "chars": list(text),
        "charStartTimesMs": [int(step_ms * index) for index in range(len(text))],
        "charDurationsMs": [int(step_ms)] * len(text),
    }
