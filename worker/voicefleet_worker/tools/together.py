"""The same use of a tool at the same time is one: a caller who asks again while it is at work orders nothing twice."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from voicefleet_worker.tools.templates import Values


class Together:
    """The uses of one tool that are under way."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Future[str]] = {}

    async def use(self, arguments: Values, deed: Callable[[], Awaitable[str]]) -> str:
        """Do it, or wait for whoever does just this already; nobody who gives up waiting ends it for the others."""
        key = json.dumps(arguments, sort_keys=True)
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(deed())
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: str, done: asyncio.Future[str]) -> None:
        del self._under_way[key]
        if not done.cancelled():
            # Looked at, or a failure that nobody waits for any more would be told of in the log as a bug.
            done.exception()
