"""AssemblyAI speech to text: the turns of `/v3/ws`."""

from aiohttp import web

from e2e.providers.endpointing import SpeechStarted
from e2e.providers.exchange import Exchange
from e2e.providers.hearing import Heard
from e2e.providers.line import CONFIDENCE, Line, Order, phrase_words
from e2e.providers.wire import Json, new_id, parse_json


async def listen(exchange: Exchange) -> web.StreamResponse:
    """Serve `/v3/ws`."""
    exchange.entry.model = exchange.request.query.get("speech_model", "")
    return await _TurnLine(exchange, await exchange.upgrade()).run()


class _TurnLine(Line):
    """Turns, each told again with all its words as they come."""

    _turn = 0

    async def greet(self) -> None:
        await self.socket.send({"type": "Begin", "id": new_id(""), "expires_at": 4_000_000_000})

    def obey(self, message: str) -> Order:
        kind = parse_json(message).get("type")
        if kind == "ForceEndpoint":
            self.ear.flush()
        return "finish" if kind == "Terminate" else "go on"

    async def tell_started(self, started: SpeechStarted) -> None:
        await self.socket.send({"type": "SpeechStarted", "timestamp": int(started.at_seconds * 1000)})

    async def tell_words(self, heard: Heard) -> None:
        await self.socket.send(
            {
                "type": "Turn",
                "turn_order": self._turn,
                "turn_is_formatted": heard.final,
                "end_of_turn": heard.final,
                "transcript": heard.text,
                "utterance": heard.text if heard.final else "",
                "end_of_turn_confidence": 1.0 if heard.final else 0.0,
                "words": [_word(word, is_final=heard.final) for word in phrase_words(heard)],
            }
        )
        self._turn += heard.final

    async def say_goodbye(self) -> None:
        seconds = self.exchange.entry.audio_in_seconds
        spent = {"audio_duration_seconds": seconds, "session_duration_seconds": seconds}
        await self.socket.send({"type": "Termination", **spent})
        await self.socket.close()


def _word(word: Json, *, is_final: bool) -> Json:
    times = {"start": int(word["start"] * 1000), "end": int(word["end"] * 1000)}
    return {"text": word["punctuated_word"], "confidence": CONFIDENCE, "word_is_final": is_final, **times}
