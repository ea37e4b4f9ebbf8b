"""Cartesia text to speech: `/tts/websocket`, many contexts on one socket, and `/tts/bytes`."""

import asyncio
import base64

from aiohttp import web

from e2e.providers.codecs import write_audio
from e2e.providers.exchange import Exchange, Socket
from e2e.providers.speaking import pcm_chunks, prepare_speech
from e2e.providers.wire import Json, parse_json


async def speak(exchange: Exchange) -> web.StreamResponse:
    """Serve `/tts/websocket`."""
    socket = await exchange.upgrade()
    studio = _Contexts(exchange, socket)
    async with asyncio.TaskGroup() as group:
        async for message in socket.messages():
            studio.take(parse_json(message), group)
        studio.stop()
    return socket.socket


async def speak_bytes(exchange: Exchange) -> web.StreamResponse:
    """Serve `/tts/bytes`."""
    body = parse_json(await exchange.request.read())
    _describe(exchange, body)
    output = body.get("output_format", {})
    spoken = await prepare_speech(exchange, body.get("transcript", ""), rate_hz=_rate_hz(body), speed=_speed(body))
    if output.get("container", "raw") != "raw":
        data = await asyncio.to_thread(
            write_audio, spoken.samples, rate_hz=spoken.rate_hz, file_format=output["container"]
        )
        return await exchange.reply(data, content_type="application/octet-stream")
    stream = await exchange.start_stream("application/octet-stream")
    async for chunk in pcm_chunks(exchange, spoken, encoding=output.get("encoding", "pcm_s16le")):
        await stream.write(chunk)
    return stream.response


class _Contexts:
    """The conversations on one socket; each is said in the order it was sent."""

    def __init__(self, exchange: Exchange, socket: Socket) -> None:
        self._exchange = exchange
        self._socket = socket
        self._queues: dict[str, asyncio.Queue[Json | None]] = {}

    def take(self, message: Json, group: asyncio.TaskGroup) -> None:
        """Take in one request."""
        context_id = str(message.get("context_id", ""))
        if message.get("cancel"):
            self._queue(context_id, group).put_nowait(None)
            return
        self._queue(context_id, group).put_nowait(message)

    def stop(self) -> None:
        """End every context once the client has gone."""
        for queue in self._queues.values():
            queue.put_nowait(None)

    def _queue(self, context_id: str, group: asyncio.TaskGroup) -> asyncio.Queue[Json | None]:
        if context_id not in self._queues:
            self._queues[context_id] = asyncio.Queue()
            group.create_task(self._say_context(context_id, self._queues[context_id]))
        return self._queues[context_id]

    async def _say_context(self, context_id: str, queue: asyncio.Queue[Json | None]) -> None:
        """Say the sentences of one context until the last, then report it done."""
        said_seconds = 0.0
        while (message := await queue.get()) is not None:
            if str(message.get("transcript", "")).strip():
                said_seconds += await self._say(message, context_id, after_seconds=said_seconds)
            if message.get("flush"):
                done = {"type": "flush_done", "done": False, "flush_done": True, "context_id": context_id}
                await self._socket.send(done)
            if not message.get("continue"):
                await self._socket.send({"type": "done", "done": True, "status_code": 200, "context_id": context_id})
                break
        del self._queues[context_id]

    async def _say(self, message: Json, context_id: str, *, after_seconds: float) -> float:
        """Say one sentence and return how long it is."""
        _describe(self._exchange, message)
        text = str(message["transcript"]).strip()
        spoken = await prepare_speech(self._exchange, text, rate_hz=_rate_hz(message), speed=_speed(message))
        common = {"status_code": 206, "done": False, "context_id": context_id}
        if message.get("add_timestamps"):
            times = {
                "words": [word.text for word in spoken.words],
                "start": [round(word.start_seconds + after_seconds, 3) for word in spoken.words],
                "end": [round(word.end_seconds + after_seconds, 3) for word in spoken.words],
            }
            await self._socket.send({"type": "timestamps", "word_timestamps": times, **common})
        encoding = message.get("output_format", {}).get("encoding", "pcm_s16le")
        async for chunk in pcm_chunks(self._exchange, spoken, encoding=encoding):
            data = base64.b64encode(chunk).decode()
            await self._socket.send({"type": "chunk", "data": data, "step_time": 5.0, **common})
        return spoken.seconds


def _describe(exchange: Exchange, body: Json) -> None:
    entry = exchange.entry
    entry.model, entry.language = str(body.get("model_id", "")), str(body.get("language") or "")
    told = ("voice", "output_format", "add_timestamps", "generation_config")
    entry.options |= {name: body[name] for name in told if name in body}


def _rate_hz(body: Json) -> int:
    return int(body.get("output_format", {}).get("sample_rate", 24000))


def _speed(body: Json) -> float:
    """Sonic-3 takes a number; the older models' words for speed are left at normal."""
    speed = body.get("generation_config", {}).get("speed", 1.0)
    return float(speed) if isinstance(speed, int | float) else 1.0
