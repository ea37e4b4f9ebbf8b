"""Makes one record of every call whose process is gone, and gives it to couriers who bring it where it is wanted.

Lives in the worker's main process: whatever becomes of a call's own process, its record is made. The journal goes when
every courier has the record, and not before. How a call ended is written into it first, so that a record that is made
a second time, by us or by the next process in this pod, is the same one.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicefleet.records.ends import End
from voicefleet.records.journal import read_journal
from voicefleet.records.making import Circumstances, Verdict, closing_entries, make_record
from voicefleet.records.record import CallRecord
from voicefleet_worker.records.courier import Courier
from voicefleet_worker.records.journal import SUFFIX, add_to_journal, job_of_journal, journal_path
from voicefleet_worker.records.pauses import Pauses

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
class _Book:
    """A call whose process is gone, until every courier has its record."""

    verdict: Verdict
    lacking: list[Courier]
    """Those who do not have it yet."""
    record: CallRecord | None = None
    failures: int = 0


@dataclass(slots=True)
class Clerk:
    """That of one worker."""

    desks: Desks
    around: Circumstances
    couriers: tuple[Courier, ...]
    count: Callable[[CallRecord], None] = lambda _: None
    """Is told of each record once, when it is made."""
    clock: Callable[[], float] = time.time
    _open: asyncio.Queue[_Book] = field(default_factory=asyncio.Queue)
    _pauses: Pauses = field(default_factory=Pauses)

    def __post_init__(self) -> None:
        # What a worker left that was in this pod before: nobody holds those calls any more.
        for path in sorted(self.desks.journals.glob(f"*{SUFFIX}")):
            self._judge(Verdict(job_of_journal(path), self.clock(), End.CRASHED))

    @property
    def is_done(self) -> bool:
        """Whether every record is made and taken."""
        return not any(courier.pending or courier.refused for courier in self.couriers)

    def close_books(self, over: Iterable[str], end: Callable[[str], End]) -> None:
        """Note that the processes of these calls are gone, and how that looked from here."""
        for job_id in over:
            self._judge(Verdict(job_id, self.clock(), end(job_id)))

    async def work(self) -> None:
        """Make records and have them brought, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._make_records(tasks))
            for courier in self.couriers:
                tasks.create_task(courier.work())

    def hurry(self) -> None:
        """Have nobody rest for long any more: the worker leaves."""
        self._pauses.hurry()
        for courier in self.couriers:
            courier.hurry()

    async def finish(self, out_of_time: Awaitable[None]) -> None:
        """Return when every record is made and taken, or when there is no time left; say what nobody has taken."""
        self.hurry()
        tasks: list[asyncio.Future[Any]] = [
            asyncio.gather(*(courier.finish() for courier in self.couriers)),
            asyncio.ensure_future(out_of_time),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for courier in self.couriers:
            courier.say_what_is_lost()

    def _judge(self, verdict: Verdict) -> None:
        for courier in self.couriers:
            courier.expect()
        self._open.put_nowait(_Book(verdict, list(self.couriers)))

    async def _make_records(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            book = await self._open.get()
            try:
                await self._close(book)
            except Exception:
                book.failures += 1
                # A disk that is full for hours need not fill the log.
                if book.failures & (book.failures - 1) == 0:
                    fields = {"id": book.verdict.id, "tries": book.failures}
                    logger.exception("a call's record cannot be kept yet", extra=fields)
                # Other calls have their records meanwhile.
                tasks.create_task(self._open_again(book))

    async def _open_again(self, book: _Book) -> None:
        await self._pauses.rest(book.failures)
        self._open.put_nowait(book)

    async def _close(self, book: _Book) -> None:
        if book.record is None:
            book.record = await asyncio.to_thread(self._make_record, book.verdict)
            self.count(book.record)
        problems: list[Exception] = []
        for courier in tuple(book.lacking):
            try:
                await asyncio.to_thread(courier.keep, book.record)
            except Exception as error:  # noqa: BLE001 - raised when the others have theirs
                problems.append(error)
            else:
                book.lacking.remove(courier)
                courier.go()
        if problems:
            raise problems[0]
        path = journal_path(self.desks.journals, book.verdict.id)
        await asyncio.to_thread(path.unlink, missing_ok=True)

    def _make_record(self, verdict: Verdict) -> CallRecord:
        path = journal_path(self.desks.journals, verdict.id)
        entries = read_journal(path.read_bytes().splitlines() if path.exists() else [])
        closing = closing_entries(entries, verdict)
        if closing:
            add_to_journal(path, closing)
        return make_record(entries, verdict, self.around)
