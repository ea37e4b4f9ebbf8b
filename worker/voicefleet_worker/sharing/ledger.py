"""Redis as the place where workers meet; nothing else in the worker knows it."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicefleet.api.providerpool.connections import Redis as RedisSpec
from voicefleet.providers.leases import LEASE_SECONDS, PROBE_LEASE_SECONDS
from voicefleet.providers.permits import Minute, MinuteWord
from voicefleet.providers.sharing import Figures, Record
from voicefleet_worker.access.redis_access import connect_to_redis
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.sharing.script import EXCHANGE

_PATIENCE_SECONDS = 2.0
# A pool that nobody uses any more leaves nothing behind.
_KEPT_SECONDS = 86_400


class ProbeWish(StrEnum):
    """What a worker wants with the one probe of an open breaker."""

    NONE = "none"
    WANTED = "wanted"
    HELD = "held"
    """A call of this worker is probing."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a worker says of one provider, and what it wants."""

    provider: str
    figures: Figures
    quota: int = 0
    """Requests and streams at once; 0 for one without such a quota."""
    wanted: int = 0
    minute: MinuteWord | None = None
    """Of its quota of a minute; None for a provider without one."""
    probe: ProbeWish = ProbeWish.NONE
    breaker: Record | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker is told of one provider."""

    granted: int
    """Leases beyond those that it has said it holds."""
    may_probe: bool
    breaker: Record | None
    fleet: Figures
    """Of all workers, this one included."""
    permits: int = 0
    """Permits beyond those that it has said it holds."""
    minute: Minute = field(default_factory=Minute)


@dataclass(frozen=True, slots=True)
class Picture:
    """What all workers know together."""

    moment: float
    """Now, by the clock of Redis."""
    is_settled: bool
    """Whether every worker has had the time to say its word."""
    workers: int
    told: tuple[Told, ...]


class AwayError(Exception):
    """Redis cannot be asked; why is said without address and password."""


class Ledger(Protocol):
    """Where workers meet."""

    async def exchange(self, asks: Sequence[Ask]) -> Picture:
        """Say this worker's word, and return what all know; raise AwayError if that takes too long."""

    async def leave(self, asks: Sequence[Ask] = ()) -> None:
        """Take this worker's word and its leases back, after a last word of its permits."""

    async def aclose(self) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """How a pool's Redis is reached; its secrets are read at each connection, so that a new password counts."""

    spec: RedisSpec
    secrets: SecretFiles
    key: str

    def connect(self, instance: str) -> "RedisLedger":
        """Return a line to it, on which nothing was said yet; blocking, since it reads files."""
        return RedisLedger(connect_to_redis(self.spec, self.secrets), self.key, instance)


def _in_turn() -> int:
    """Return a number that grows from one exchange to the next, for as long as this process lives."""
    return time.monotonic_ns() // 1000


class RedisLedger:
    """One worker's line to Redis."""

    def __init__(
        self,
        client: Redis,
        key: str,
        instance: str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        turn: Callable[[], int] = _in_turn,
    ) -> None:
        self._client = client
        self._key = key
        self._instance = instance
        self._lease_seconds = lease_seconds
        self._turn = turn
        self._script = client.register_script(EXCHANGE)

    async def exchange(self, asks: Sequence[Ask]) -> Picture:
        """Say this worker's word, and return what all know."""
        return _read_picture(await self._run(self._lease_seconds, [_written(ask) for ask in asks]), len(asks))

    async def leave(self, asks: Sequence[Ask] = ()) -> None:
        """Take this worker's word and its leases back, after a last word of its permits."""
        await self._run(0.0, [_written(ask) for ask in asks])

    async def aclose(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def _run(self, lease_seconds: float, asks: list[dict[str, object]]) -> Any:  # noqa: ANN401 - as Redis says it
        milliseconds = [int(each * 1000) for each in (lease_seconds, PROBE_LEASE_SECONDS, _KEPT_SECONDS)]
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                args: list[str | int] = [self._instance, *milliseconds, json.dumps(asks), self._turn()]
                return await self._script(keys=[self._key], args=args)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            raise AwayError(_kind(error)) from None


def _written(ask: Ask) -> dict[str, object]:
    return {
        "provider": ask.provider,
        "numbers": ask.figures.numbers(),
        "quota": ask.quota,
        "wanted": ask.wanted,
        "minute": _written_minute(ask.minute),
        "probe": ask.probe.value,
        "breaker": ask.breaker.text() if ask.breaker else "",
    }


def _written_minute(word: MinuteWord | None) -> dict[str, int]:
    return {} if word is None else {name: int(number) for name, number in word._asdict().items()}


def _read_picture(answer: Any, providers: int) -> Picture:  # noqa: ANN401 - whatever came back
    try:
        moment, is_settled, workers, told = answer
        picture = Picture(
            moment=int(moment) / 1000,
            is_settled=bool(is_settled),
            workers=int(workers),
            told=tuple(_read_told(*each) for each in told),
        )
    except (TypeError, ValueError):
        raise AwayError("its answer cannot be read") from None
    if len(picture.told) != providers:
        raise AwayError("its answer cannot be read")
    return picture


def _read_told(granted: int, may_probe: int, breaker: str, fleet: str, minute: Sequence[int]) -> Told:
    permits, used, held, lacking = map(int, minute)
    return Told(
        granted=int(granted),
        may_probe=bool(may_probe),
        breaker=Record.read(breaker),
        fleet=Figures.of(json.loads(fleet)),
        permits=permits,
        minute=Minute(used, held, lacking),
    )


def _kind(error: BaseException) -> str:
    """Say what happened without what the server wrote: it may quote what it was sent."""
    name = type(error).__name__
    return f"no answer within {_PATIENCE_SECONDS:.0f} s" if isinstance(error, TimeoutError) else name


def redis_access(spec: RedisSpec | None, secrets: SecretFiles, *, key: str) -> RedisAccess | None:
    """Return how a pool's Redis is reached, or None where it has none."""
    return None if spec is None else RedisAccess(spec, secrets, key)
