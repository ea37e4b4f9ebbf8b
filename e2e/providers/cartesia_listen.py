"""Cartesia speech to text: `/stt/websocket` (ink-whisper) and `/stt/turns/websocket` (ink-2)."""

from aiohttp import web

from e2e.providers.endpointing import SpeechStarted
from e2e.providers.exchange import Exchange
from e2e.providers.hearing import Heard
from e2e.providers.line import Line, Order, phrase_words
from e2e.providers.wire import Json, parse_json


async def listen(exchange: Exchange) -> web.StreamResponse:
    """Serve `/stt/websocket`."""
    return await _WhisperLine(exchange, await exchange.upgrade()).run()


async def listen_for_turns(exchange: Exchange) -> web.StreamResponse:
    """Serve `/stt/turns/websocket`."""
    return await _TurnLine(exchange, await exchange.upgrade()).run()


class _WhisperLine(Line):
    """Transcripts, ordered about by bare words."""

    def obey(self, message: str) -> Order:
        if message.strip() == "finalize":
            self.ear.flush()
        return "finish" if message.strip() in ("close", "done") else "go on"

    async def tell_started(self, started: SpeechStarted) -> None:
        """Whisper does not say so."""

    async def tell_words(self, heard: Heard) -> None:
        words = [
            {"word": word["punctuated_word"], "start": word["start"], "end": word["end"]}
            for word in phrase_words(heard)
        ]
        await self._say(
            "transcript",
            is_final=heard.final,
            text=heard.text,
            words=words,
            duration=round(heard.end_seconds - heard.start_seconds, 3),
            language=self.query.get("language", "en"),
        )

    async def tell_flushed(self) -> None:
        await self._say("flush_done")

    async def say_goodbye(self) -> None:
        await self._say("done")
        await self.socket.close()

    async def _say(self, kind: str, **details: object) -> None:
        await self.socket.send({"type": kind, "request_id": self.exchange.request_id, **details})


class _TurnLine(Line):
    """Turns: started, updated, ended."""

    async def greet(self) -> None:
        await self._say("connected")

    def obey(self, message: str) -> Order:
        return "finish" if parse_json(message).get("type") == "close" else "go on"

    async def tell_started(self, started: SpeechStarted) -> None:  # noqa: ARG002 - the protocol has no time
        await self._say("turn.start")

    async def tell_words(self, heard: Heard) -> None:
        transcript: Json = {"transcript": heard.text}
        await self._say("turn.update", **transcript)
        if heard.final:
            await self._say("turn.end", **transcript)

    async def _say(self, kind: str, **details: object) -> None:
        await self.socket.send({"type": kind, "request_id": self.exchange.request_id, **details})
