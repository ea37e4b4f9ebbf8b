"""Where records go. A sink takes records in order; it returns when they are safe, and raises when they may not be."""

import asyncio
import contextlib
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicefleet.api.voiceagent.records import RedisSink, WebhookSink
from voicefleet.records.record import CallRecord
from voicefleet_worker.access.secret_files import SecretFiles

# Records on the worker's own disk must not fill it: a full disk ends the pod, and calls with it.
_MOST_FILES = 8
_LONGEST_FILE_BYTES = 32 * 1024 * 1024
_REDIS_SECONDS = 5.0
_AWAY = (RedisError, OSError, TimeoutError)
_MANY = 50
# These speak of what was posted. Any other answer speaks of the address, the key or the hour, and may be another soon.
_REFUSALS = (
    HTTPStatus.BAD_REQUEST,
    # Some say so of what they have already.
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


class NotTakenError(Exception):
    """A sink did not say that records are safe; they are sent again."""


class NotWantedError(NotTakenError):
    """A sink will not have this very record, whenever it comes."""


class Sink(Protocol):
    """Something that takes records."""

    at_once: int
    """How many it takes as one: all of them, or none."""

    async def take(self, records: Sequence[CallRecord]) -> None:
        """Take no more than that, in order; raise NotTakenError if it is not known that they are safe."""

    async def aclose(self) -> None:
        """Let go of connections."""


def as_line(record: CallRecord) -> str:
    """Return a record as one line of JSON."""
    return record.model_dump_json(by_alias=True, exclude_none=True)


class FileSink:
    """JSON lines on a disk, the oldest files of which go when there are too many."""

    at_once = _MANY

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def take(self, records: Sequence[CallRecord]) -> None:
        """Append them to the newest file."""
        try:
            await asyncio.to_thread(self._append, "".join(f"{as_line(record)}\n" for record in records))
        except OSError as error:
            raise NotTakenError(error.strerror or "cannot write") from error

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _append(self, lines: str) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = sorted(self._directory.glob("calls-*.jsonl"))
        if not files or files[-1].stat().st_size > _LONGEST_FILE_BYTES:
            number = int(files[-1].stem.removeprefix("calls-")) + 1 if files else 1
            files.append(self._directory / f"calls-{number:06d}.jsonl")
        with files[-1].open("ab+") as file:
            file.write((b"\n" if _is_torn(file) else b"") + lines.encode())
            file.flush()
            os.fsync(file.fileno())
        for old in files[:-_MOST_FILES]:
            old.unlink(missing_ok=True)


def _is_torn(file: BinaryIO) -> bool:
    """Tell whether the last line has no end: the disk was full, or the process killed, in the middle of it."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read() != b"\n"


class RedisStreamSink:
    """A stream; each entry has the record's id, by which one that arrives twice is known."""

    at_once = _MANY

    def __init__(self, sink: RedisSink, connect: Callable[[], Redis]) -> None:
        self._sink = sink
        self._connect = connect
        self._redis: Redis | None = None

    async def take(self, records: Sequence[CallRecord]) -> None:
        """Add them in one transaction."""
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                # Made when needed: a password that was rotated meanwhile is read then.
                if self._redis is None:
                    self._redis = await asyncio.to_thread(self._connect)
                async with self._redis.pipeline(transaction=True) as pipe:
                    for record in records:
                        pipe.xadd(self._sink.stream, _fields(record), maxlen=self._sink.max_length, approximate=True)
                    await pipe.execute()
        except _AWAY as error:
            # One that does not answer may not let go either.
            with contextlib.suppress(*_AWAY):
                await self.aclose()
            raise NotTakenError(type(error).__name__) from error

    async def aclose(self) -> None:
        """Close the connection."""
        redis, self._redis = self._redis, None
        if redis is not None:
            await redis.aclose()


def _fields(record: CallRecord) -> dict[Any, Any]:
    return {"id": record.id, "schema": record.schema_version, "record": as_line(record)}


class WebhookRecordSink:
    """An address that is told of every call; it signs what it says, and says the same of the same call each time."""

    at_once = 1

    def __init__(self, sink: WebhookSink, secrets: SecretFiles, *, clock: Callable[[], float] = time.time) -> None:
        self._sink = sink
        self._secrets = secrets
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def take(self, records: Sequence[CallRecord]) -> None:
        """Post them one by one: whoever answers with 2xx has taken it."""
        for record in records:
            await self._post(record)

    async def aclose(self) -> None:
        """Close the connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, record: CallRecord) -> None:
        body = as_line(record).encode()
        key = await asyncio.to_thread(self._secrets.read, self._sink.signing_secret)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": record.id,
            **signature(body, key, int(self._clock())),
        }
        try:
            self._session = self._session or aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._sink.timeout_milliseconds / 1000)
            )
            async with self._session.post(self._sink.url, data=body, headers=headers, allow_redirects=False) as answer:
                if answer.status in _REFUSALS:
                    raise NotWantedError(f"answered {answer.status}")
                if not 200 <= answer.status < 300:
                    raise NotTakenError(f"answered {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotTakenError(type(error).__name__) from error


def signature(body: bytes, key: str, at_seconds: int) -> dict[str, str]:
    """Return the headers by which a receiver knows who posts, and that it is not an old post played again."""
    digest = hmac.new(key.encode(), f"{at_seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Voicefleet-Timestamp": str(at_seconds), "X-Voicefleet-Signature": f"sha256={digest}"}
