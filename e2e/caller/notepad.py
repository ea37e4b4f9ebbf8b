"""What both sides are written down as saying, from the text streams that agents publish."""

import asyncio
from collections.abc import Callable

from livekit import rtc

TOPIC = "lk.transcription"
_SEGMENT = "lk.segment_id"


class Notepad:
    """Transcripts of one call since the last mark, in the order in which segments began."""

    def __init__(self, own_identity: str) -> None:
        self._own_identity = own_identity
        self._segments: dict[tuple[bool, str], str] = {}
        self._readers: set[asyncio.Task[None]] = set()

    @property
    def agent_text(self) -> str:
        """What the agent said."""
        return self._text(own=False)

    @property
    def own_text(self) -> str:
        """What the agent's side understood of what the caller said."""
        return self._text(own=True)

    def mark(self) -> None:
        """Begin a new turn; what still arrives for the last one is dropped with its readers."""
        self.close()
        self._segments.clear()

    def take(self, reader: rtc.TextStreamReader, sender: str) -> None:
        """Follow one stream; each later stream of a segment replaces the one before, as better guesses do."""
        segment = (reader.info.attributes or {}).get(_SEGMENT, "") or reader.info.stream_id
        task = asyncio.create_task(self._follow(reader, (sender == self._own_identity, segment)))
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    def close(self) -> None:
        """Stop following."""
        for task in self._readers:
            task.cancel()

    def handler(self) -> Callable[[rtc.TextStreamReader, str], None]:
        """Return what a room wants as handler."""
        return self.take

    async def _follow(self, reader: rtc.TextStreamReader, key: tuple[bool, str]) -> None:
        text = ""
        async for piece in reader:
            text += piece
            self._segments[key] = text

    def _text(self, *, own: bool) -> str:
        return " ".join(text.strip() for (mine, _), text in self._segments.items() if mine is own and text.strip())
