"""Brings what waits in one outbox to one sink: in order, and for as long as it takes."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voicefleet.records.record import CallRecord
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.records.outbox import Outbox, Waiting
from voicefleet_worker.records.pauses import Pauses
from voicefleet_worker.records.sinks import NotTakenError, NotWantedError, Sink

logger = logging.getLogger("voicefleet.worker")

_BATCH = 50
# Some 15 s: a receiver that is mended at once, or a proxy in between, costs nobody's place in the row.
_MOST_REFUSALS = 5


@dataclass(slots=True)
class Courier:
    """One way on which records leave a worker; whoever does not listen on one holds up nobody on another."""

    cargo: str
    """What it brings, as logs and metrics call it."""
    outbox: Outbox
    sink: Sink
    owed: int = 0
    """Records that are still to be made, or could not be kept yet."""
    waiting: int = 0
    """Records in the outbox."""
    refused: int = 0
    """Records that the sink will not take, put aside for a person to look at."""
    _pauses: Pauses = field(default_factory=Pauses)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _all_sent: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: int = 0
    _refusals: int = 0
    """How often in a row the oldest record was refused."""
    _asked_again: bool = False

    def __post_init__(self) -> None:
        self.waiting = self.outbox.count_waiting()
        self.refused = self.outbox.count_refused()

    @property
    def pending(self) -> int:
        """Records that nobody has taken yet."""
        return self.owed + self.waiting

    def expect(self) -> None:
        """Note that a record will come."""
        self.owed += 1
        self._all_sent.clear()

    def keep(self, record: CallRecord) -> None:
        """Keep one more until it is taken; blocks until the disk has it."""
        self.outbox.put(record)

    def go(self) -> None:
        """Set out: one that was expected is kept."""
        self.owed -= 1
        self.waiting += 1
        self._news.set()

    def hurry(self) -> None:
        """Try often from now on, and once more what was refused: the disk may go with this worker."""
        if not self._pauses.leaving:
            self._pauses.hurry()
            self._all_sent.clear()
            self._news.set()

    async def work(self) -> None:
        """Bring whatever comes, until cancelled."""
        while True:
            try:
                await self._turn()
            except Exception as error:  # noqa: BLE001 - whatever it is, the records are still there and sent again
                self._failures += 1
                self._complain(error)
                await self._pauses.rest(self._failures)

    async def finish(self) -> None:
        """Return when all is taken, or refused for good."""
        await self._all_sent.wait()

    def say_what_is_lost(self) -> None:
        """Log what nobody has taken."""
        if self.pending:
            logger.error("call records could not be sent", extra={"cargo": self.cargo, "records": self.pending})
        if self.refused:
            logger.error("call records were refused", extra={"cargo": self.cargo, "records": self.refused})

    async def _turn(self) -> None:
        """Look once, and send what waits; if nothing does, wait until something may."""
        self._news.clear()
        found = await asyncio.to_thread(self._look)
        # Whatever was kept while we looked may be among what was found, or not.
        if not self._news.is_set():
            self.waiting = found.count
        for at in range(0, len(found.oldest), self.sink.at_once):
            await self._send(found.oldest[at : at + self.sink.at_once])
        if not found.count:
            if not self.owed and not self._news.is_set():
                self._all_sent.set()
            await self._news.wait()

    def _look(self) -> Waiting:
        if self._pauses.leaving and not self._asked_again:
            self.outbox.take_back()
            self.refused, self._asked_again = 0, True
        return self.outbox.look(_BATCH)

    async def _send(self, kept: Sequence[tuple[Path, CallRecord]]) -> None:
        paths = [path for path, _ in kept]
        try:
            await self.sink.take([record for _, record in kept])
        except NotWantedError as error:
            self._refusals += 1
            if self._refusals < _MOST_REFUSALS and not self._pauses.leaving:
                raise
            await asyncio.to_thread(self.outbox.put_aside, paths)
            self.refused += len(kept)
            for _, record in kept:
                logger.error(  # noqa: TRY400 - an answer, and no bug
                    "a call record was refused, and is put aside",
                    extra={"cargo": self.cargo, "id": record.id, "problem": str(error)},
                )
        else:
            await asyncio.to_thread(self.outbox.remove, paths)
        self.waiting -= len(kept)
        self._failures = self._refusals = 0

    def _complain(self, error: Exception) -> None:
        fields = {"cargo": self.cargo, "records": self.pending}
        match error:
            case NotTakenError() | BadInputError():
                logger.warning("call records wait", extra={**fields, "problem": str(error)})
            case OSError():
                problem = error.strerror or type(error).__name__
                logger.warning("call records wait", extra={**fields, "problem": problem})
            case _:
                logger.error("call records wait", exc_info=error, extra=fields)
