"""How long whoever has failed rests before the next try: short at first, and short again once the worker leaves."""

import asyncio
import contextlib

from voicefleet.keeping.outbox import LONGEST_PAUSE_WHEN_LEAVING_SECONDS, pause_seconds

_LONGEST_SECONDS = 30.0


class Pauses:
    """Those of one who tries again and again."""

    def __init__(self) -> None:
        self._leaving = asyncio.Event()

    @property
    def leaving(self) -> bool:
        """Whether there is no time left for long ones."""
        return self._leaving.is_set()

    def hurry(self) -> None:
        """End the pause that is under way, and have short ones from now on."""
        self._leaving.set()

    async def rest(self, failures: int) -> None:
        """Rest after so many failures in a row."""
        if self.leaving:
            await asyncio.sleep(pause_seconds(failures, LONGEST_PAUSE_WHEN_LEAVING_SECONDS))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_seconds(failures, _LONGEST_SECONDS)):
                await self._leaving.wait()
