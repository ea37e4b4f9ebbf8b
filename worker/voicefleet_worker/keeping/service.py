"""Keeping as a part of a running worker: from its start to the end of its grace."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from voicefleet_worker.beside import beside
from voicefleet_worker.desk.desk import Desk
from voicefleet_worker.grace import Grace
from voicefleet_worker.keeping.keeper import Keeper
from voicefleet_worker.keeping.metrics import KeepingCollector
from voicefleet_worker.keeping.stores import DirectoryStore, open_store
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.settings import Settings


@asynccontextmanager
async def keep_files(settings: Settings, desk: Desk, metrics: Metrics, grace: Grace) -> AsyncIterator[Keeper | None]:
    """Keep what calls leave behind while the worker serves, and in the rest of its grace; nothing if nobody asks."""
    recording = settings.plan.recording
    if not recording.enabled:
        yield None
        return
    files = settings.keeping.files
    keeper = Keeper(
        files,
        DirectoryStore(files.kept) if recording.store is None else open_store(recording.store, settings.secrets),
        lambda: [call.job for call in desk.slots.held(now_seconds=0.0)],
        longest_pause_seconds=settings.keeping.longest_pause_seconds,
    )
    metrics.registry.register(KeepingCollector(keeper))
    try:
        async with beside(keeper.run()):
            yield keeper
    finally:
        if grace.begun:
            await keeper.finish(grace.over())
