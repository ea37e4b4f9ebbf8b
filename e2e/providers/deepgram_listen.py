"""Deepgram speech to text: `/v1/listen` live and by file, and the turn-taking `/v2/listen` (Flux)."""

import asyncio

from aiohttp import web

from e2e.providers.codecs import read_audio
from e2e.providers.endpointing import SpeechStarted
from e2e.providers.exchange import Exchange
from e2e.providers.hearing import Heard
from e2e.providers.line import CONFIDENCE, Line, Order, phrase_words
from e2e.providers.wire import Json, parse_json


async def listen(exchange: Exchange) -> web.StreamResponse:
    """Serve `/v1/listen`."""
    if not exchange.is_socket:
        return await _listen_to_file(exchange)
    endpointing = exchange.request.query.get("endpointing", "10")
    silence_ms = int(endpointing) if endpointing.isdigit() else 0
    return await _NovaLine(exchange, await exchange.upgrade(), silence_ms=silence_ms).run()


async def listen_for_turns(exchange: Exchange) -> web.StreamResponse:
    """Serve `/v2/listen`."""
    return await _FluxLine(exchange, await exchange.upgrade()).run()


async def _listen_to_file(exchange: Exchange) -> web.StreamResponse:
    data = await exchange.request.read()
    samples, rate_hz = await asyncio.to_thread(read_audio, data)
    exchange.begin_turn()
    seconds = samples.size / rate_hz
    exchange.entry.audio_in_bytes, exchange.entry.audio_in_seconds = len(data), round(seconds, 3)
    hearing = exchange.studio.hearing
    text = await hearing.transcribe(samples, rate_hz=rate_hz, instance=exchange.instance)
    exchange.entry.text_out_chars += len(text)
    channel: Json = {"alternatives": [_alternative(Heard(text, 0.0, round(seconds, 3)))]}
    if exchange.request.query.get("detect_language", "").lower() == "true":
        channel |= {"detected_language": "en", "language_confidence": 1.0}
    return await exchange.reply_json(
        {
            "metadata": {"request_id": exchange.request_id, "duration": seconds, "channels": 1},
            "results": {"channels": [channel]},
        }
    )


class _NovaLine(Line):
    """Results as they come: interim, final, and an empty one to answer Finalize."""

    def obey(self, message: str) -> Order:
        kind = parse_json(message).get("type")
        if kind == "Finalize":
            self.ear.flush()
        # KeepAlive, or something newer than this stand-in, changes nothing.
        return "finish" if kind == "CloseStream" else "go on"

    async def tell_started(self, started: SpeechStarted) -> None:
        if self._wants("vad_events"):
            stamp = round(started.at_seconds, 3)
            await self.socket.send({"type": "SpeechStarted", "channel": [0], "timestamp": stamp})

    async def tell_words(self, heard: Heard) -> None:
        if self._wants("interim_results") and heard.text:
            await self.socket.send(self._results(heard, interim=True))
        if not heard.final:
            return
        await self.socket.send(self._results(heard))
        if "utterance_end_ms" in self.query:
            ended = {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": heard.end_seconds}
            await self.socket.send(ended)

    async def tell_flushed(self) -> None:
        await self.socket.send(self._results(Heard("", 0.0, 0.0), flushed=True))

    async def say_goodbye(self) -> None:
        seconds = self.exchange.entry.audio_in_seconds
        about = {"request_id": self.exchange.request_id, "duration": seconds, "channels": 1}
        await self.socket.send({"type": "Metadata", **about})
        await self.socket.close()

    def _wants(self, option: str) -> bool:
        return self.query.get(option, "").lower() == "true"

    def _results(self, heard: Heard, *, interim: bool = False, flushed: bool = False) -> Json:
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "start": heard.start_seconds,
            "duration": round(heard.end_seconds - heard.start_seconds, 3),
            "is_final": not interim,
            # The empty result that answers Finalize ends nothing.
            "speech_final": not interim and not flushed,
            "from_finalize": flushed,
            "channel": {"alternatives": [_alternative(heard)]},
            "metadata": {"request_id": self.exchange.request_id, "model_info": {"name": "stand-in"}},
        }


class _FluxLine(Line):
    """Turns: started, updated, ended."""

    _turn = 0

    async def greet(self) -> None:
        await self.socket.send({"type": "Connected", "request_id": self.exchange.request_id, "sequence_id": 0})

    def obey(self, message: str) -> Order:
        return "finish" if parse_json(message).get("type") == "CloseStream" else "go on"

    async def tell_started(self, started: SpeechStarted) -> None:
        await self._tell_turn("StartOfTurn", Heard("", started.at_seconds, started.at_seconds))

    async def tell_words(self, heard: Heard) -> None:
        await self._tell_turn("Update", heard)
        if heard.final:
            await self._tell_turn("EndOfTurn", heard)
            self._turn += 1

    async def _tell_turn(self, event: str, heard: Heard) -> None:
        await self.socket.send(
            {
                "type": "TurnInfo",
                "event": event,
                "request_id": self.exchange.request_id,
                "turn_index": self._turn,
                "audio_window_start": heard.start_seconds,
                "audio_window_end": heard.end_seconds,
                "transcript": heard.text,
                "words": phrase_words(heard),
                "end_of_turn_confidence": CONFIDENCE,
            }
        )


def _alternative(heard: Heard) -> Json:
    words = phrase_words(heard)
    return {"transcript": heard.text, "confidence": CONFIDENCE if words else 0.0, "words": words}
