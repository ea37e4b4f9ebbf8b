"""Deepgram text to speech (Aura): `/v1/speak` over a WebSocket and by POST."""

import asyncio

from aiohttp import web

from e2e.providers.codecs import content_type, write_audio
from e2e.providers.exchange import Exchange, Socket
from e2e.providers.speaking import pcm_chunks, prepare_speech
from e2e.providers.wire import Json, parse_json

_RAW = frozenset({"linear16", "mulaw", "alaw"})


async def speak(exchange: Exchange) -> web.StreamResponse:
    """Serve `/v1/speak`."""
    if not exchange.is_socket:
        return await _speak_once(exchange)
    speaker = _Speaker(exchange, await exchange.upgrade())
    await speaker.run()
    return speaker.socket.socket


async def _speak_once(exchange: Exchange) -> web.StreamResponse:
    text = str(parse_json(await exchange.request.read()).get("text", ""))
    encoding = exchange.request.query.get("encoding", "linear16")
    spoken = await prepare_speech(exchange, text, rate_hz=_rate_hz(exchange), speed=_speed(exchange))
    if encoding not in _RAW:
        data = await asyncio.to_thread(write_audio, spoken.samples, rate_hz=spoken.rate_hz, file_format=encoding)
        return await exchange.reply(data, content_type=content_type(encoding))
    stream = await exchange.start_stream("audio/l16" if encoding == "linear16" else f"audio/{encoding}")
    async for chunk in pcm_chunks(exchange, spoken, encoding=encoding):
        await stream.write(chunk)
    return stream.response


class _Speaker:
    """One socket: words are gathered until a Flush, then said."""

    def __init__(self, exchange: Exchange, socket: Socket) -> None:
        self._exchange = exchange
        self.socket = socket
        self._gathered = ""
        self._jobs: asyncio.Queue[Json | None] = asyncio.Queue()
        self._sequence = 0

    async def run(self) -> None:
        """Serve until the client closes."""
        await self.socket.send({"type": "Metadata", "request_id": self._exchange.request_id})
        async with asyncio.TaskGroup() as group:
            group.create_task(self._say_all())
            async for message in self.socket.messages():
                if isinstance(message, str):
                    self._take(parse_json(message))
            self._jobs.put_nowait(None)

    def _take(self, message: Json) -> None:
        match message.get("type"):
            case "Speak":
                self._gathered += str(message.get("text", ""))
            case "Flush":
                self._jobs.put_nowait({"text": self._gathered.strip()})
                self._gathered = ""
            case "Clear":
                self._gathered = ""
                while not self._jobs.empty():
                    self._jobs.get_nowait()
                self._jobs.put_nowait({"clear": True})
            case "Close":
                self._jobs.put_nowait({"close": True})
            case _:
                pass

    async def _say_all(self) -> None:
        while (job := await self._jobs.get()) is not None:
            if job.get("close"):
                await self.socket.close()
                return
            if job.get("text"):
                await self._say(job["text"])
            kind = "Cleared" if job.get("clear") else "Flushed"
            await self.socket.send({"type": kind, "sequence_id": self._sequence})
            self._sequence += 1

    async def _say(self, text: str) -> None:
        rate_hz, speed = _rate_hz(self._exchange), _speed(self._exchange)
        spoken = await prepare_speech(self._exchange, text, rate_hz=rate_hz, speed=speed)
        encoding = self._exchange.request.query.get("encoding", "linear16")
        async for chunk in pcm_chunks(self._exchange, spoken, encoding=encoding):
            await self.socket.send_bytes(chunk)


def _rate_hz(exchange: Exchange) -> int:
    return int(exchange.request.query.get("sample_rate", "24000"))


def _speed(exchange: Exchange) -> float:
    return float(exchange.request.query.get("speed", "1.0"))
