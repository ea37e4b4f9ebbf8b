"""Makes one record of every call whose process is gone, and gives it to couriers who bring it where it is wanted.

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
from voicefleet_worker.records.courier import Courier
from voicefleet_worker.records.journal import SUFFIX, job_of_journal, journal_path

logger = logging.getLogger("voicefleet.worker")


@dataclass(frozen=True, slots=True)
class Desks:
    """Where the clerk works: journals come in here, records and transcripts go out there."""

    journals: Path
    outbox: Path
    transcripts: Path

    @classmethod
    def below(cls, directory: Path) -> "Desks":
        """Return them below a folder, made if need be."""
        journals = directory / "journals"
        journals.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(journals, directory / "outbox", directory / "transcripts")


@dataclass(slots=True)
class Clerk:
    """That of one worker."""

    desks: Desks
    around: Circumstances
    couriers: tuple[Courier, ...]
    count: Callable[[CallRecord], None] = lambda _: None
    """Is told of each record once, when it is made."""
    clock: Callable[[], float] = time.time
    _over: asyncio.Queue[Verdict] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        # What a worker left that was in this pod before: nobody holds those calls any more.
        for path in sorted(self.desks.journals.glob(f"*{SUFFIX}")):
            self._over.put_nowait(Verdict(job_of_journal(path), self.clock(), End.CRASHED))

    def close_books(self, over: Iterable[str], end: Callable[[str], End]) -> None:
        """Note that the processes of these calls are gone, and how that looked from here."""
        for job_id in over:
            self._over.put_nowait(Verdict(job_id, self.clock(), end(job_id)))

    async def work(self) -> None:
        """Make records and have them brought, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._make_records())
            for courier in self.couriers:
                tasks.create_task(courier.work())

    async def finish(self, limit_seconds: float) -> None:
        """Return when every record is made and taken, or when there is no time left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                await self._over.join()
                for courier in self.couriers:
                    await courier.finish()
        for courier in self.couriers:
            courier.say_what_is_lost()

    async def _make_records(self) -> None:
        while True:
            verdict = await self._over.get()
            try:
                record = await asyncio.to_thread(self._make_record, verdict)
                self.count(record)
                for courier in self.couriers:
                    courier.go()
            except Exception:
                # The journal stays, and the next process in this pod tries again; other calls have theirs.
                logger.exception("a call's record cannot be kept")
            finally:
                self._over.task_done()

    def _make_record(self, verdict: Verdict) -> CallRecord:
        path = journal_path(self.desks.journals, verdict.id)
        lines = path.read_bytes().splitlines() if path.exists() else []
        record = make_record(read_journal(lines), verdict, self.around)
        for courier in self.couriers:
            courier.keep(record)
        path.unlink(missing_ok=True)
        return record
