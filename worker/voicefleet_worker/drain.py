"""Leaving: no new calls, the live ones to their end or to the limit, then go."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from livekit.agents import AgentServer

from voicefleet_worker.beside import beside
from voicefleet_worker.desk import Desk

logger = logging.getLogger("voicefleet.worker")

_SHORTEST_MARGIN_SECONDS = 15
_LONGEST_MARGIN_SECONDS = 60
_REPORT_SECONDS = 0.5
_LAST_WORDS_SECONDS = 5
# Of the margin without the last words, half is for goodbyes, the rest for what is left to end and to send.
_GOODBYE_SHARE = 0.5


def drain_limit_seconds(grace_seconds: int) -> int:
    """Return how long calls may go on, so that ending the last of them still fits into the pod's grace.

    600 s leave 60 s for goodbyes, records and clean-up; 30 s, the shortest, leave 15 s.
    """
    return grace_seconds - _margin_seconds(grace_seconds)


def goodbye_seconds(grace_seconds: int) -> float:
    """Return how long calls have to say goodbye when the limit is there."""
    return (_margin_seconds(grace_seconds) - _LAST_WORDS_SECONDS) * _GOODBYE_SHARE


def _margin_seconds(grace_seconds: int) -> int:
    return max(_SHORTEST_MARGIN_SECONDS, min(_LONGEST_MARGIN_SECONDS, grace_seconds // 3))


@dataclass(frozen=True, slots=True)
class Orders:
    """What the worker was told about going; none of it can be taken back."""

    leave: asyncio.Event = field(default_factory=asyncio.Event)
    """Go when the last call is over."""
    soon: asyncio.Event = field(default_factory=asyncio.Event)
    """Go within the grace: whoever sent the signal kills the worker after it."""
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    """Go now."""

    def go(self) -> None:
        """Leave within the grace."""
        self.soon.set()
        self.leave.set()

    def interrupt(self) -> None:
        """Leave within the grace; told so twice, now."""
        (self.hurry if self.soon.is_set() else self.soon).set()
        self.leave.set()


@dataclass(frozen=True, slots=True)
class Limits:
    """How long calls have when the worker leaves."""

    seconds: int
    goodbye_seconds: float = 0.0

    @classmethod
    def within(cls, grace_seconds: int) -> "Limits":
        """Return those of a pod's grace."""
        return cls(drain_limit_seconds(grace_seconds), goodbye_seconds(grace_seconds))


class Grace:
    """What is left of the pod's grace when calls are over; what nobody may lose is sent in it."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._over = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether the worker leaves. One that fails is started again beside the same disk, and loses nothing."""
        return self._orders.leave.is_set()

    async def over(self) -> None:
        """Return when there is no more time: never, as long as nobody is about to kill the worker."""
        await self._over.wait()

    async def run_out(self, seconds: int) -> None:
        """Be over so many seconds after somebody was about to kill the worker, or as soon as they hurry it."""
        await _out_of_time(self._orders, seconds)
        self._over.set()


@contextlib.asynccontextmanager
async def rest_of_grace(orders: Orders, grace_seconds: int) -> AsyncIterator[Grace]:
    """Watch a pod's grace for the length of the block; the process' own last words are left their time."""
    grace = Grace(orders)
    async with beside(grace.run_out(max(0, grace_seconds - _LAST_WORDS_SECONDS))):
        yield grace


async def drain(
    server: AgentServer, desk: Desk, orders: Orders, limits: Limits, *, say_goodbye: Callable[[], None]
) -> None:
    """Take no more calls and wait for those on this worker; at the limit they say goodbye, or end with the server."""
    desk.drain()
    limit = limits.seconds if orders.soon.is_set() else None
    logger.info("draining", extra={"sessions": desk.slots.used, "limit_seconds": limit})
    emptying = asyncio.create_task(_empty(server))
    hurrying = asyncio.create_task(_out_of_time(orders, limits.seconds))
    try:
        await asyncio.wait({emptying, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        if emptying.done():
            emptying.result()
        else:
            logger.warning("out of time, ending calls", extra={"sessions": desk.slots.used})
            desk.cut_calls()
            say_goodbye()
            await _wait_for_goodbyes(emptying, orders, limits.goodbye_seconds)
    finally:
        for task in (emptying, hurrying):
            task.cancel()
        await asyncio.gather(emptying, hurrying, return_exceptions=True)


async def _empty(server: AgentServer) -> None:
    await server.drain(timeout=None)
    # The last call's end is still on its way to LiveKit.
    await asyncio.sleep(_REPORT_SECONDS)


async def _wait_for_goodbyes(emptying: asyncio.Task[None], orders: Orders, seconds: float) -> None:
    hurry = asyncio.create_task(orders.hurry.wait())
    await asyncio.wait({emptying, hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()


async def _out_of_time(orders: Orders, limit_seconds: int) -> None:
    """Return when there is no more time: never, as long as nobody is about to kill the worker."""
    await orders.soon.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_seconds):
            await orders.hurry.wait()
