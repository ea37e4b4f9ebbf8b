"""An event loop in a thread of its own: what is done there waits for nothing that the rest of the process does."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Self, TypeVar

_Value = TypeVar("_Value")


class OwnLoop:
    """The loop, for as long as an `async with` block lasts."""

    def __init__(self, name: str) -> None:
        self._begun: Future[asyncio.AbstractEventLoop] = Future()
        self._over = asyncio.Event()
        # Whoever exits at once waits for no thread.
        self._thread = threading.Thread(target=lambda: asyncio.run(self._stay()), name=name, daemon=True)

    async def __aenter__(self) -> Self:
        self._thread.start()
        await asyncio.wrap_future(self._begun)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._begun.result().call_soon_threadsafe(self._over.set)
        await asyncio.to_thread(self._thread.join)

    async def run(self, work: Coroutine[Any, Any, _Value]) -> _Value:
        """Do something there, and return what comes of it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._begun.result()))

    async def _stay(self) -> None:
        self._begun.set_result(asyncio.get_running_loop())
        # What is still under way by then is cancelled as the loop ends.
        await self._over.wait()
