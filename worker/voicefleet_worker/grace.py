"""A pod's grace: who was told to go, how long its calls may go on, and what is left when they are over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from voicefleet_worker.beside import beside

_SHORTEST_MARGIN_SECONDS = 15
_LONGEST_MARGIN_SECONDS = 60
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
        await out_of_time(self._orders, seconds)
        self._over.set()


@contextlib.asynccontextmanager
async def rest_of_grace(orders: Orders, grace_seconds: int) -> AsyncIterator[Grace]:
    """Watch a pod's grace for the length of the block; the process' own last words are left their time."""
    grace = Grace(orders)
    async with beside(grace.run_out(max(0, grace_seconds - _LAST_WORDS_SECONDS))):
        yield grace


async def out_of_time(orders: Orders, limit_seconds: int) -> None:
    """Return when there is no more time: never, as long as nobody is about to kill the worker."""
    await orders.soon.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_seconds):
            await orders.hurry.wait()
