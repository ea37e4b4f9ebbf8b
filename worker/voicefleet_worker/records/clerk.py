"""Makes one record of every call whose process is gone, and sends records on until they are taken.

Lives in the worker's main process: whatever becomes of a call's own process, its record is made.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from voicefleet.records.ends import End
from voicefleet.records.journal import read_journal
from voicefleet.records.making import Circumstances, Verdict, make_record
from voicefleet.records.record import CallRecord
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.records.journal import SUFFIX, job_of_journal, journal_path
from voicefleet_worker.records.outbox import Outbox
from voicefleet_worker.records.sinks import NotTakenError, Sink

logger = logging.getLogger("voicefleet.worker")

_BATCH = 50
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Desks:
    """Where the clerk works: journals come in here, records go out there."""

    journals: Path
    outbox: Path

    @classmethod
    def below(cls, directory: Path) -> "Desks":
        """Return them below a folder, made if need be."""
        journals = directory / "journals"
        journals.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(journals, directory / "outbox")


@dataclass(slots=True)
class Clerk:
    """That of one worker."""

    desks: Desks
    around: Circumstances
    sink: Sink
    count: Callable[[CallRecord], None] = lambda _: None
    """Is told of each record once, when it is made."""
    clock: Callable[[], float] = time.time
    _over: asyncio.Queue[Verdict] = field(default_factory=asyncio.Queue)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _all_sent: asyncio.Event = field(default_factory=asyncio.Event)
    _outbox: Outbox = field(init=False)
    _made: int = 0
    pending: int = 0
    """Records that nobody has taken yet."""

    def __post_init__(self) -> None:
        self._outbox = Outbox(self.desks.outbox)
        # What a worker left that was in this pod before: nobody holds those calls any more.
        for path in sorted(self.desks.journals.glob(f"*{SUFFIX}")):
            self._over.put_nowait(Verdict(job_of_journal(path), self.clock(), End.CRASHED))
        self.pending = len(self._outbox)

    def close_books(self, over: Iterable[str], end: Callable[[str], End]) -> None:
        """Note that the processes of these calls are gone, and how that looked from here."""
        for job_id in over:
            self._over.put_nowait(Verdict(job_id, self.clock(), end(job_id)))

    async def work(self) -> None:
        """Make records and send them, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._make_records())
            tasks.create_task(self._send_records())

    async def finish(self, limit_seconds: float) -> None:
        """Return when every record is made and taken, or when there is no time left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                await self._over.join()
                await self._all_sent.wait()
        if self.pending:
            logger.error("call records could not be sent", extra={"records": self.pending})

    async def _make_records(self) -> None:
        while True:
            verdict = await self._over.get()
            try:
                record = await asyncio.to_thread(self._make_record, verdict)
                self.count(record)
                self.pending += 1
                self._made += 1
                self._all_sent.clear()
                self._news.set()
            except Exception:
                # The journal stays, and the next process in this pod tries again; other calls have theirs.
                logger.exception("a call's record cannot be kept")
            finally:
                self._over.task_done()

    def _make_record(self, verdict: Verdict) -> CallRecord:
        path = journal_path(self.desks.journals, verdict.id)
        lines = path.read_bytes().splitlines() if path.exists() else []
        record = make_record(read_journal(lines), verdict, self.around)
        self._outbox.put(record)
        path.unlink(missing_ok=True)
        return record

    async def _send_records(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            self._news.clear()
            made = self._made
            batch = await asyncio.to_thread(self._outbox.oldest, _BATCH)
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
                logger.warning("call records wait", extra={"records": self.pending, "problem": str(error)})
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            else:
                pause_seconds = _FIRST_PAUSE_SECONDS
                await asyncio.to_thread(self._outbox.remove, [path for path, _ in batch])
                self.pending -= len(batch)
