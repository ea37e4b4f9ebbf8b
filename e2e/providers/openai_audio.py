"""OpenAI's `/v1/audio/transcriptions` and `/v1/audio/speech`."""

import asyncio
import base64
from dataclasses import dataclass

from aiohttp import BodyPartReader, web

from e2e.providers.codecs import content_type, read_audio, write_audio
from e2e.providers.exchange import Exchange
from e2e.providers.speaking import prepare_speech, stretch
from e2e.providers.wire import Json, count_tokens, parse_json

_SPEECH_HZ = 24000
_TOKENS_PER_SECOND = 20  # audio tokens; the providers' published rates are of this order


@dataclass(slots=True)
class _Upload:
    audio: bytes
    fields: dict[str, str]


async def transcribe(exchange: Exchange) -> web.StreamResponse:
    """Serve `/v1/audio/transcriptions`."""
    upload = await _read_upload(exchange.request)
    if not upload.audio:
        return exchange.refuse(400, "file is required", "bad_request")
    samples, rate_hz = await asyncio.to_thread(read_audio, upload.audio)
    exchange.begin_turn()
    seconds = samples.size / rate_hz
    entry = exchange.entry
    entry.model, entry.language = upload.fields.get("model", ""), upload.fields.get("language", "")
    entry.audio_in_bytes, entry.audio_in_seconds = len(upload.audio), round(seconds, 3)
    hearing = exchange.studio.hearing
    text = await hearing.transcribe(samples, rate_hz=rate_hz, instance=exchange.instance)
    entry.text_out_chars = len(text)
    entry.tokens_in, entry.tokens_out = int(seconds * _TOKENS_PER_SECOND), count_tokens(text)
    return await _reply_transcript(exchange, text, seconds, upload.fields.get("response_format", "json"))


async def _reply_transcript(exchange: Exchange, text: str, seconds: float, response_format: str) -> web.StreamResponse:
    if response_format == "text":
        return await exchange.reply(f"{text}\n".encode(), content_type="text/plain")
    entry = exchange.entry
    body: Json = {"text": text}
    if response_format == "verbose_json":
        body |= {"task": "transcribe", "language": "english", "duration": round(seconds, 2), "segments": []}
        body["usage"] = {"type": "duration", "seconds": round(seconds)}
    else:
        body["usage"] = {
            "type": "tokens",
            "input_tokens": entry.tokens_in,
            "output_tokens": entry.tokens_out,
            "total_tokens": entry.tokens_in + entry.tokens_out,
        }
    return await exchange.reply_json(body)


async def speak(exchange: Exchange) -> web.StreamResponse:
    """Serve `/v1/audio/speech`, as bytes or as server-sent events."""
    body = parse_json(await exchange.request.read())
    file_format = str(body.get("response_format") or "mp3")
    entry = exchange.entry
    entry.model = str(body.get("model", ""))
    entry.options |= {
        name: body[name] for name in ("voice", "speed", "response_format", "stream_format") if name in body
    }
    text = str(body.get("input", ""))
    spoken = await prepare_speech(exchange, text, rate_hz=_SPEECH_HZ, speed=float(body.get("speed") or 1.0))
    data = await asyncio.to_thread(write_audio, spoken.samples, rate_hz=spoken.rate_hz, file_format=file_format)
    entry.audio_out_bytes += len(data)
    entry.tokens_in, entry.tokens_out = count_tokens(text), int(spoken.seconds * _TOKENS_PER_SECOND)
    if body.get("stream_format") != "sse":
        stream = await exchange.start_stream(content_type(file_format))
        async for piece in stretch(data, seconds=spoken.seconds):
            await stream.write(piece)
        return stream.response
    stream = await exchange.start_stream("text/event-stream")
    async for piece in stretch(data, seconds=spoken.seconds):
        await stream.send_event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    usage = {
        "input_tokens": entry.tokens_in,
        "output_tokens": entry.tokens_out,
        "total_tokens": entry.tokens_in + entry.tokens_out,
    }
    await stream.send_event({"type": "speech.audio.done", "usage": usage})
    return stream.response


async def _read_upload(request: web.Request) -> _Upload:
    upload = _Upload(audio=b"", fields={})
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        if part.name == "file":
            upload.audio = bytes(await part.read())
        else:
            upload.fields[part.name] = await part.text()
    return upload
