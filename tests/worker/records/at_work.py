"""A clerk at work, and sinks that do as they are told."""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from prometheus_client import CollectorRegistry

from tests.core.test_records import AROUND, CALL, lines
from voicefleet.records.record import CallRecord
from voicefleet_worker.records.clerk import Clerk, Desks
from voicefleet_worker.records.courier import Courier
from voicefleet_worker.records.figures import Figures
from voicefleet_worker.records.journal import journal_path
from voicefleet_worker.records.outbox import Outbox
from voicefleet_worker.records.sinks import NotTakenError, NotWantedError

FOR_EVER = 10_000


class Sink:
    """Takes records; is away as often as it was told, and never wants some of them."""

    def __init__(self, away: int = 0, *, unwanted: Sequence[str] = (), at_once: int = 50) -> None:
        self.away = away
        self.unwanted = unwanted
        self.at_once = at_once
        self.bugs: list[Exception] = []
        self.asked: list[str] = []
        self.taken: list[CallRecord] = []
        self.is_closed = False

    async def take(self, records: Sequence[CallRecord]) -> None:
        assert len(records) <= self.at_once
        self.asked += [record.id for record in records]
        if self.bugs:
            raise self.bugs.pop(0)
        if self.away:
            self.away -= 1
            raise NotTakenError("not now")
        if any(record.id in self.unwanted for record in records):
            raise NotWantedError("answered 400")
        self.taken += records

    async def aclose(self) -> None:
        self.is_closed = True

    @property
    def ids(self) -> list[str]:
        """Whose records it has."""
        return [record.id for record in self.taken]


@asynccontextmanager
async def at_work(
    desks: Desks, sink: Sink, registry: CollectorRegistry | None = None, *, transcripts: Sink | None = None
) -> AsyncIterator[Clerk]:
    """Have a clerk at work, with one courier or two."""
    count = Figures(registry or CollectorRegistry()).count

    def begin() -> Clerk:
        couriers = [Courier("records", Outbox(desks.outbox), sink)]
        if transcripts is not None:
            couriers.append(Courier("transcripts", Outbox(desks.transcripts), transcripts))
        return Clerk(desks, AROUND, tuple(couriers), count)

    clerk = await asyncio.to_thread(begin)
    working = asyncio.create_task(clerk.work())
    try:
        yield clerk
        assert not working.done(), "nothing that fails ends the work"
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def finish(clerk: Clerk, seconds: float = 5) -> None:
    """Finish in a grace of so many seconds."""
    await clerk.finish(asyncio.sleep(seconds))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what threads bring about."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - it changes where no event is
            await asyncio.sleep(0.01)


def write_journal(desks: Desks, job_id: str, length: int = len(CALL)) -> None:
    """Leave the journal of a call as its process does, up to some line."""
    journal_path(desks.journals, job_id).write_bytes(b"\n".join(lines(CALL[:length])) + b"\n")


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Have the system take a file's bytes up to a size and refuse the rest, as a disk does that is full by then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
