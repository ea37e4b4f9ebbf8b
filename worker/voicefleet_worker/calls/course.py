"""The course of one call through its states, for those who bring news of it and those who wait until it goes on."""

import asyncio
from collections.abc import Callable

from voicefleet.records.ends import End
from voicefleet.records.life import Life, News, State, step


class Course:
    """That of one call; the only place where it is known how far the call is."""

    def __init__(self, note: Callable[[State], None] = lambda _: None, *, begins: State = State.JOINING) -> None:
        self._life = Life(begins)
        self._note = note
        self._changed = asyncio.Event()

    @property
    def life(self) -> Life:
        """How far it is."""
        return self._life

    def move(self, news: News, why: End | None = None) -> bool:
        """Go on; tell whether that could be."""
        after = step(self._life, news, why)
        if after is None:
            return False
        self._life = after
        self._note(after.state)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return True

    async def settled(self) -> None:
        """Return when nobody is being put through."""
        while self._life.is_putting_through:
            await self._changed.wait()

    async def close(self, why: End) -> bool:
        """Begin the goodbye once nobody is being put through; tell whether there is one to say."""
        while not (begins := self.move(News.GOODBYE, why)) and self._life.is_putting_through:
            await self._changed.wait()
        return begins
