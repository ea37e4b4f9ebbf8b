"""How many connections are being made at once, so that those who answer are not drowned by those who do not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# A new leader has thousands to dial: one after another they answer, all at once they time out.
_AT_ONCE = 64
# Whoever has not answered by then is waited for beside them: a namespace that nobody can reach blinds no other.
_LONGEST_PLACE_SECONDS = 0.25


class Dials:
    """Places among those who dial."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place and hold it, but not for long."""
        await self._places.acquire()
        held = [self._places]

        def leave() -> None:
            while held:
                held.pop().release()

        timer = asyncio.get_running_loop().call_later(_LONGEST_PLACE_SECONDS, leave)
        try:
            yield
        finally:
            timer.cancel()
            leave()
