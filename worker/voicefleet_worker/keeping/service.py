"""Keeping as a part of a running worker: from its start to the end of its grace."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from voicefleet_worker.desk import Desk
from voicefleet_worker.drain import Orders
from voicefleet_worker.keeping.keeper import Keeper
from voicefleet_worker.keeping.metrics import KeepingCollector
from voicefleet_worker.keeping.stores import DirectoryStore, open_store
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.settings import Settings

# For the last words of the process itself.
_MARGIN_SECONDS = 5


@asynccontextmanager
async def keep_files(settings: Settings, desk: Desk, metrics: Metrics, orders: Orders) -> AsyncIterator[None]:
    """Keep what calls leave behind while the worker serves, and in the rest of its grace; nothing if nobody asks."""
    recording = settings.plan.recording
    if not recording.enabled:
        yield
        return
    files = settings.keeping.files
    keeper = Keeper(
        files,
        DirectoryStore(files.kept) if recording.store is None else open_store(recording.store, settings.secrets),
        lambda: [call.job for call in desk.slots.held(now_seconds=0.0)],
        longest_pause_seconds=settings.keeping.longest_pause_seconds,
    )
    metrics.registry.register(KeepingCollector(keeper))
    running = asyncio.create_task(keeper.run())
    grace = asyncio.create_task(_grace(orders, max(0, settings.drain_grace_seconds - _MARGIN_SECONDS)))
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        # A worker that fails is started again, beside the same disk; only one that leaves has to be done with it.
        if orders.leave.is_set():
            await keeper.finish(grace)
        grace.cancel()
        await asyncio.gather(grace, return_exceptions=True)


async def _grace(orders: Orders, seconds: float) -> None:
    """Return when there is no more time: never, as long as nobody is about to kill the worker."""
    await orders.soon.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await orders.hurry.wait()
