"""Puts the clerk to work: where it keeps what it has, whom it sends it to, and that it works alone."""

import asyncio
import contextlib
import fcntl
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TextIO

from voicefleet.api.voiceagent.records import WebhookSink
from voicefleet.records.plan import Destination, RecordPlan, ToFiles, ToRedis, ToStore
from voicefleet_worker.access.redis_access import connect_to_redis
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.beside import beside
from voicefleet_worker.grace import Grace
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.records.clerk import Clerk, Desks
from voicefleet_worker.records.courier import Courier
from voicefleet_worker.records.outbox import Outbox
from voicefleet_worker.records.sinks import FileSink, RedisStreamSink, Sink, WebhookRecordSink
from voicefleet_worker.records.store_sinks import records_in, transcripts_in

logger = logging.getLogger("voicefleet.worker")

_LOCK = "lock"


def choose_sink(destination: Destination, secrets: SecretFiles, directory: Path) -> Sink:
    """Return the sink that a plan wants."""
    match destination:
        case ToRedis(redis, sink):
            return RedisStreamSink(sink, partial(connect_to_redis, redis, secrets))
        case WebhookSink():
            return WebhookRecordSink(destination, secrets)
        case ToStore(store):
            return records_in(store, secrets)
        case ToFiles():
            return FileSink(directory / "records")


def appoint_couriers(plan: RecordPlan, secrets: SecretFiles, directory: Path, desks: Desks) -> tuple[Courier, ...]:
    """Return who brings what a plan wants to be brought. Blocks."""
    records = Courier("records", Outbox(desks.outbox), choose_sink(plan.destination, secrets, directory))
    if plan.transcripts is None:
        return (records,)
    sink = transcripts_in(plan.transcripts, secrets)
    return (records, Courier("transcripts", Outbox(desks.transcripts), sink))


@dataclass(frozen=True, slots=True)
class Office:
    """Where one worker keeps its records."""

    directory: Path
    worker: str
    revision: str
    prompt: str

    @contextlib.asynccontextmanager
    async def open(
        self, plan: RecordPlan, secrets: SecretFiles, watch: Callable[[Clerk], None]
    ) -> AsyncIterator[Clerk]:
        """Have a clerk at work for the length of the block."""
        with await asyncio.to_thread(_lock, self.directory):
            agent = plan.around.agent.model_copy(update={"revision": self.revision, "prompt": self.prompt})
            around = replace(plan.around, worker=self.worker, agent=agent)
            desks = await asyncio.to_thread(Desks.below, self.directory)
            couriers = await asyncio.to_thread(appoint_couriers, plan, secrets, self.directory, desks)
            clerk = await asyncio.to_thread(Clerk, desks, around, couriers)
            watch(clerk)
            try:
                async with beside(clerk.work()):
                    yield clerk
            finally:
                await _let_go(couriers)


@contextlib.asynccontextmanager
async def finish_records(clerk: Clerk, grace: Grace) -> AsyncIterator[None]:
    """Have what is left sent in the rest of the grace, once the block is over."""
    try:
        yield
    finally:
        if grace.begun:
            await clerk.finish(grace.over())


async def _let_go(couriers: Sequence[Courier]) -> None:
    """Close every sink; one that cannot be closed keeps no other open, nor the folder locked."""
    closed = await asyncio.gather(*(courier.sink.aclose() for courier in couriers), return_exceptions=True)
    for courier, problem in zip(couriers, closed, strict=True):
        if isinstance(problem, Exception):
            fields = {"cargo": courier.cargo, "problem": type(problem).__name__}
            logger.warning("a sink of call records could not be closed", extra=fields)


def _lock(directory: Path) -> TextIO:
    """Refuse a folder that another worker works in: the two would send each other's records."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (directory / _LOCK).open("w")
    except OSError as error:
        raise BadInputError(str(directory), f"records cannot be kept there: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise BadInputError(
            str(directory), "another worker keeps its records there: give each its own --data"
        ) from None
    return file
