"""The worker's part in the fleet's picture: says what its calls know, and hangs up on its board what others do.

Redis that is away changes nothing for calls. For as long as a lease lasts the worker keeps what it holds; then it
decides alone, as one without Redis does, until every worker has had the time to say its word again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from voicefleet.providers.leases import LEASE_SECONDS, RENEW_SECONDS, wanted_leases
from voicefleet.providers.permits import HOLD_SECONDS, MinuteWord, wanted_permits
from voicefleet.providers.sharing import Counts, Figures, Published, adopt, publish
from voicefleet_worker.beside import beside
from voicefleet_worker.failover.board import HealthBoard
from voicefleet_worker.failover.known import Known
from voicefleet_worker.failover.leases import HeldLeases
from voicefleet_worker.failover.permits import requests_per_minute
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.sharing.ledger import Ask, AwayError, Ledger, Picture, ProbeWish, Told

logger = logging.getLogger("voicefleet.worker")

# Whoever learns much within a moment tells of it together.
_GATHER_SECONDS = 0.02
_LEAVE_SECONDS = 1.0
# What a call does in a lease's last moments must have been seen by Redis as under that lease.
_TRUST_SECONDS = LEASE_SECONDS - 2.0


class Mode(StrEnum):
    """Where this worker's leases come from."""

    WAITING = "Waiting"
    """It has just begun, and has none."""
    SHARING = "Sharing"
    ALONE = "Alone"
    """Redis is away, or has forgotten who holds what."""


@dataclass(slots=True)
class Sharer:
    """One worker's exchange with all others. Touched by one event loop only."""

    board: HealthBoard
    leases: HeldLeases
    connect: Callable[[], Ledger]
    tell: Callable[[bool], None]
    """Hears whether the picture is the fleet's, whenever that may have changed."""
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    mode: Mode = Mode.WAITING
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _ledger: Ledger | None = None
    _picture: Picture | None = None
    _ahead_seconds: float = 0.0
    """How far the clock of Redis is ahead of this worker's."""
    _heard_at: float | None = None
    _is_away: bool = False
    _published: dict[str, Published] = field(default_factory=dict)

    async def run(self) -> None:
        """Exchange every second, and whenever there is news, until cancelled; then take this worker's word back."""
        self.board.urgent = self._news.set
        try:
            while True:
                await self.exchange()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RENEW_SECONDS):
                        await self._news.wait()
                await asyncio.sleep(_GATHER_SECONDS)
                self._news.clear()
        except Exception:
            # Whatever is wrong here, calls go on.
            logger.exception("nothing is shared any more")
            self._go_alone()
        finally:
            await self._leave()

    async def exchange(self) -> None:
        """Say this worker's word and take in the others', or go on without."""
        try:
            if self._ledger is None:
                self._ledger = await asyncio.to_thread(self.connect)
            asks = self._asks()
            sent, trusted_until = self.clock(), self.monotonic() + HOLD_SECONDS
            picture = await self._ledger.exchange(asks)
        except (AwayError, BadInputError) as error:
            await self._do_without(error)
        else:
            self._take_in(asks, picture, (sent + self.clock()) / 2)
            if self.mode is Mode.SHARING:
                self.leases.permits.trust_until(trusted_until)
        self.board.write()

    def _asks(self) -> list[Ask]:
        return [self._ask(known) for known in self.board.known.values()]

    def _ask(self, known: Known) -> Ask:
        provider, now, name = known.provider, self.clock(), known.provider.name
        quota = (provider.quota.concurrent or 0) if provider.quota else 0
        own = known.own(now, held=self.leases.held(name)).counts
        wanted = self.leases.held(name)
        if self.mode is Mode.SHARING and self._picture is not None and quota:
            fleet = Counts(*(a + b for a, b in zip(own, known.elsewhere.counts, strict=True)))
            wanted = wanted_leases(quota, own, fleet, self._picture.workers)
            self.leases.hold(name, min(wanted, self.leases.held(name)))
        published = None
        if self._heard_at is not None:
            published = publish(known.breaker, self._published.get(name), ahead_seconds=self._ahead_seconds)
        if published is not None:
            self._published[name] = published
        return Ask(
            provider=name,
            figures=known.own(now, held=self.leases.held(name)),
            quota=quota,
            wanted=wanted,
            minute=self._minute_word(known, now, recent=own.requests),
            probe=self._probe_wish(known, now),
            breaker=published.record if published else None,
        )

    def _minute_word(self, known: Known, now: float, *, recent: int) -> MinuteWord | None:
        name, permits, quota = known.provider.name, self.leases.permits, requests_per_minute(known.provider)
        if not quota:
            return None
        word = MinuteWord(quota, lacks=known.lacks_permits(now), recent=recent)
        wanted = 0
        if self.mode is Mode.SHARING and self._picture is not None:
            wanted = wanted_permits(word, known.minute, self._picture.workers)
        held = permits.keep(name, wanted)
        return word._replace(wanted=wanted, held=held, used=permits.used(name))

    def _probe_wish(self, known: Known, now: float) -> ProbeWish:
        if self.mode is not Mode.ALONE and not self.leases.forbid_probe(known.provider.name):
            return ProbeWish.HELD
        return ProbeWish.WANTED if known.wants_probe(now) else ProbeWish.NONE

    def _take_in(self, asks: list[Ask], picture: Picture, at: float) -> None:
        is_first, was = self._heard_at is None, self.mode
        self._ahead_seconds, self._heard_at, self._picture = picture.moment - at, self.monotonic(), picture
        if picture.is_settled:
            self.mode = Mode.SHARING
        for ask, told in zip(asks, picture.told, strict=True):
            self._take_in_one(self.board.known[ask.provider], ask, told)
        if self._is_away:
            self._is_away = False
            logger.info("Redis is back")
        self.tell(picture.is_settled)
        if is_first or self.mode is not was:
            self._news.set()

    def _take_in_one(self, known: Known, ask: Ask, told: Told) -> None:
        held = ask.figures.counts.held + told.granted
        # The sum holds already what was granted just now.
        known.elsewhere = told.fleet.without(replace(ask.figures, counts=ask.figures.counts._replace(held=held)))
        known.breaker, published = adopt(
            known.breaker,
            self._published.get(ask.provider),
            told.breaker,
            ahead_seconds=self._ahead_seconds,
            key=known.key,
        )
        if published is not None:
            self._published[ask.provider] = published
        known.minute = told.minute
        self.leases.permits.add(ask.provider, told.permits)
        if told.granted:
            self.leases.hold(ask.provider, held)
        if told.may_probe and self.mode is Mode.SHARING:
            self.leases.allow_probe(ask.provider)

    async def _do_without(self, error: Exception) -> None:
        self.tell(False)
        if not self._is_away:
            self._is_away = True
            logger.warning("Redis is away", extra={"problem": str(error)})
        if self._ledger is not None:
            ledger, self._ledger = self._ledger, None
            with contextlib.suppress(AwayError, OSError):
                await ledger.aclose()
        if self._heard_at is None or self.monotonic() - self._heard_at > _TRUST_SECONDS:
            self._go_alone()

    def _go_alone(self) -> None:
        self.mode = Mode.ALONE
        self.tell(False)
        self.leases.hold_all()
        for known in self.board.known.values():
            known.elsewhere = Figures()

    async def _leave(self) -> None:
        if self._ledger is not None:
            with contextlib.suppress(AwayError, TimeoutError, OSError):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self._ledger.leave(self._last_words())
                    await self._ledger.aclose()

    def _last_words(self) -> list[Ask]:
        """Give up all permits, so that only those count that were used."""
        if self.mode is Mode.SHARING:
            self.mode = Mode.WAITING
            self.leases.permits.trust_until(0.0)
        now = self.clock()
        said = (
            (known.provider.name, self._minute_word(known, now, recent=known.own(now).counts.requests))
            for known in self.board.known.values()
        )
        return [Ask(name, Figures(), minute=word) for name, word in said if word is not None]


@contextlib.asynccontextmanager
async def sharing(
    connect: Callable[[], Ledger] | None, board: HealthBoard, leases: HeldLeases, tell: Callable[[bool], None]
) -> AsyncIterator[None]:
    """Share while the body runs; without a Redis, decide alone."""
    if connect is None:
        leases.hold_all()
        yield
        return
    tell(False)
    async with beside(Sharer(board, leases, connect, tell).run()):
        yield
