"""When to look at everything again: now and then, and soon after the apiserver was out of reach.

An apiserver that has just come up takes watches and may then forget them while it settles its custom resources; a
watch that says nothing is given up only after a minute. Whoever edits a spec in that minute waits for an answer.
"""

import asyncio
import random
from collections import deque
from contextlib import suppress

EVERY_SECONDS = 300.0
# After one another: at once, and until it has settled.
_SOON_SECONDS = (1.0, 4.0, 10.0, 20.0)


class Rounds:
    """The pauses between two looks."""

    def __init__(self, every_seconds: float = EVERY_SECONDS) -> None:
        self._every_seconds = every_seconds
        self._soon: deque[float] = deque()
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Have the next few looks soon."""
        self._soon = deque(_SOON_SECONDS)
        self._hurried.set()

    async def pause(self) -> None:
        """Wait until it is time for the next look."""
        if not self._soon:
            self._hurried.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds * random.uniform(0.8, 1.2)):  # noqa: S311 - a spread
                    await self._hurried.wait()
        if self._soon:
            await asyncio.sleep(self._soon.popleft())
