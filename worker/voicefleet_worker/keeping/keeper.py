"""Takes what calls leave behind and has it kept: for as long as it takes, or as the worker lives."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable

from voicefleet.keeping.outbox import (
    LONGEST_PAUSE_SECONDS,
    LONGEST_PAUSE_WHEN_LEAVING_SECONDS,
    Failure,
    plan_uploads,
)
from voicefleet_worker.keeping.files import CallFiles
from voicefleet_worker.keeping.stores import Keep, NotKeptError

logger = logging.getLogger("voicefleet.worker")

_LOOK_SECONDS = 1.0
Running = Callable[[], Collection[str]]
"""The calls whose processes may still write."""


class Keeper:
    """One worker's. Lives in the main process, so that it outlives whatever happens to a call."""

    def __init__(
        self,
        files: CallFiles,
        store: Keep,
        running: Running,
        *,
        longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.waiting: dict[str, int] = {}
        """What is not kept yet, by name, and its size."""
        self.kept = 0
        self.failed = 0
        self._files = files
        self._store = store
        self._running = running
        self._longest_pause_seconds = longest_pause_seconds
        self._clock = clock
        self._failures: dict[str, Failure] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._expected: set[str] = set()

    @property
    def is_done(self) -> bool:
        """Whether everything that calls left is kept."""
        return not self.waiting and not self._expected

    def expect(self, over: Iterable[str]) -> None:
        """Note that these calls run no more: they may have left files, and nobody has looked yet."""
        self._expected.update(over)
        if self._expected:
            self._changed.set()

    async def run(self) -> None:
        """Look what there is to keep, again and again."""
        while True:
            await self._pause(await self._turn())

    async def finish(self, out_of_time: Awaitable[None]) -> None:
        """Keep what is left once no call runs any more, and say what could not be kept in the time that there is."""
        self._running = frozenset
        self._longest_pause_seconds = min(self._longest_pause_seconds, LONGEST_PAUSE_WHEN_LEAVING_SECONDS)
        emptying = asyncio.create_task(self._empty())
        limit = asyncio.ensure_future(out_of_time)
        try:
            await asyncio.wait({emptying, limit}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = [emptying, limit, *self._sending.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for name in sorted(self.waiting):
            logger.error("not kept, and lost with this worker's disk", extra={"file": name})

    async def _empty(self) -> None:
        while True:
            pause_seconds = await self._turn()
            if not self.waiting and not self._sending:
                return
            await self._pause(pause_seconds)

    async def _turn(self) -> float:
        """Look once, send what is due, and say when it is worth looking again."""
        self._changed.clear()
        expected = frozenset(self._expected)
        try:
            await asyncio.to_thread(self._files.collect, self._running())
            self.waiting = await asyncio.to_thread(self._files.waiting)
            self._expected -= expected
        except OSError as error:
            logger.warning("the files of calls cannot be read", extra={"problem": error.strerror})
        plan = plan_uploads(
            self.waiting,
            self._failures,
            self._clock(),
            under_way=frozenset(self._sending),
            longest_seconds=self._longest_pause_seconds,
        )
        for name in plan.send:
            self._sending[name] = asyncio.create_task(self._send(name))
        return _LOOK_SECONDS if plan.wait_seconds is None else min(_LOOK_SECONDS, plan.wait_seconds)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _send(self, name: str) -> None:
        try:
            await self._store.put(self._files.outbox / name, name)
            await asyncio.to_thread(self._files.remove, name)
        except NotKeptError as error:
            self._note_failure(name, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the file is still there and tried again
            self._note_failure(name, type(error).__name__)
        else:
            self.kept += 1
            self.waiting.pop(name, None)
            self._failures.pop(name, None)
            logger.info("kept", extra={"file": name})
        finally:
            del self._sending[name]
            self._changed.set()

    def _note_failure(self, name: str, problem: str) -> None:
        times = self._failures[name].times + 1 if name in self._failures else 1
        self._failures[name] = Failure(times, self._clock())
        self.failed += 1
        # A store that is away for hours need not fill the log.
        if times & (times - 1) == 0:
            logger.warning("not kept yet", extra={"file": name, "tries": times, "problem": problem})
