"""A live line for speech to text: audio and orders come in, words go out, in whatever dialect."""

import asyncio
from abc import ABC, abstractmethod
from typing import Literal

from aiohttp import web

from e2e.providers.audio import decode
from e2e.providers.endpointing import SpeechEnded, SpeechStarted
from e2e.providers.exchange import Exchange, Socket
from e2e.providers.hearing import Ear, Heard
from e2e.providers.wire import Json

CONFIDENCE = 0.98
Order = Literal["go on", "finish"]


class Line(ABC):
    """One connection; a dialect says how each event is phrased."""

    def __init__(self, exchange: Exchange, socket: Socket, *, silence_ms: int = 0) -> None:
        query = exchange.request.query
        self.exchange = exchange
        self.socket = socket
        self.query = query
        self._encoding = query.get("encoding", "linear16")
        self.ear = Ear(
            exchange.studio.hearing,
            instance=exchange.instance,
            rate_hz=int(query.get("sample_rate", "16000")),
            silence_ms=silence_ms,
        )

    async def run(self) -> web.StreamResponse:
        """Serve until the client has finished, or just goes."""
        await self.greet()
        async with asyncio.TaskGroup() as group:
            teller = group.create_task(self._tell())
            if await self._take_in():
                await teller
                await self.say_goodbye()
            teller.cancel()
        return self.socket.socket

    async def greet(self) -> None:  # noqa: B027 - most dialects have nothing to say here
        """Say what is said at the start, mostly nothing."""

    @abstractmethod
    def obey(self, message: str) -> Order:
        """Follow a text message from the client."""

    @abstractmethod
    async def tell_started(self, started: SpeechStarted) -> None:
        """Say that somebody speaks."""

    @abstractmethod
    async def tell_words(self, heard: Heard) -> None:
        """Say what was heard, so far or in the end."""

    async def tell_flushed(self) -> None:  # noqa: B027 - nor here
        """Say that a flush is complete, where that is said."""

    async def say_goodbye(self) -> None:
        """Sum up and close."""
        await self.socket.close()

    async def _take_in(self) -> bool:
        async for message in self.socket.messages():
            if isinstance(message, bytes):
                self._hear(message)
            elif self.obey(message) == "finish":
                self.ear.close()
                return True
        return False

    async def _tell(self) -> None:
        async for event in self.ear.events():
            match event:
                case SpeechStarted():
                    await self.tell_started(event)
                case SpeechEnded():
                    self.exchange.begin_turn()
                case Heard():
                    if event.final:
                        self.exchange.entry.text_out_chars += len(event.text)
                    await self.tell_words(event)
                case _:
                    await self.tell_flushed()

    def _hear(self, data: bytes) -> None:
        entry = self.exchange.entry
        entry.audio_in_bytes += len(data)
        self.ear.feed(decode(data, self._encoding))
        entry.audio_in_seconds = round(self.ear.heard_seconds, 2)


def phrase_words(heard: Heard) -> list[Json]:
    """List the words, spread evenly over the utterance: the recogniser keeps no times."""
    words = heard.text.split()
    step = (heard.end_seconds - heard.start_seconds) / max(1, len(words))
    return [
        {
            "word": word.strip(".,!?;:").lower(),
            "punctuated_word": word,
            "start": round(heard.start_seconds + step * index, 3),
            "end": round(heard.start_seconds + step * (index + 1), 3),
            "confidence": CONFIDENCE,
        }
        for index, word in enumerate(words)
    ]
