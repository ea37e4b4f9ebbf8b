"""Brings what waits in one outbox to one sink: in order, and for as long as it takes."""

import asyncio
import logging
from dataclasses import dataclass, field

from voicefleet.records.record import CallRecord
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.records.outbox import Outbox
from voicefleet_worker.records.sinks import NotTakenError, Sink

logger = logging.getLogger("voicefleet.worker")

_BATCH = 50
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0


@dataclass(slots=True)
class Courier:
    """One way on which records leave a worker; whoever does not listen on one holds up nobody on another."""

    cargo: str
    """What it brings, as logs and metrics call it."""
    outbox: Outbox
    sink: Sink
    pending: int = 0
    """Records that nobody has taken yet."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _all_sent: asyncio.Event = field(default_factory=asyncio.Event)
    _made: int = 0

    def __post_init__(self) -> None:
        self.pending = len(self.outbox)

    def keep(self, record: CallRecord) -> None:
        """Keep one more until it is taken; blocks until the disk has it."""
        self.outbox.put(record)

    def go(self) -> None:
        """Set out: one more was kept."""
        self.pending += 1
        self._made += 1
        self._all_sent.clear()
        self._news.set()

    async def work(self) -> None:
        """Bring whatever comes, until cancelled."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            self._news.clear()
            made = self._made
            batch = await asyncio.to_thread(self.outbox.oldest, _BATCH)
            if not batch:
                if made == self._made:
                    # None was made while we looked.
                    self.pending = 0
                    self._all_sent.set()
                await self._news.wait()
                continue
            try:
                await self.sink.take([record for _, record in batch])
            except (NotTakenError, BadInputError) as error:
                logger.warning(
                    "call records wait",
                    extra={"cargo": self.cargo, "records": self.pending, "problem": str(error)},
                )
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            else:
                pause_seconds = _FIRST_PAUSE_SECONDS
                await asyncio.to_thread(self.outbox.remove, [path for path, _ in batch])
                self.pending -= len(batch)

    async def finish(self) -> None:
        """Return when all is taken."""
        await self._all_sent.wait()

    def say_what_is_lost(self) -> None:
        """Log what nobody has taken."""
        if self.pending:
            logger.error("call records could not be sent", extra={"cargo": self.cargo, "records": self.pending})
