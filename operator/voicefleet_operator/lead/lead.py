"""The lead of this process, kept from a loop of its own.

To renew it takes a dozen short steps. In the one loop each of them would wait behind whatever ten thousand workers say
at the same time, and a leader that is only busy, or gets little of its node's processors, would lose the lead when a
fleet needs it most. A leader that is stuck keeps nothing: it has to beat to be renewed.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from voicefleet_operator.apiserver.kube import Kube
from voicefleet_operator.lead.lease import Lease
from voicefleet_operator.lead.own_loop import OwnLoop

logger = logging.getLogger(__name__)


class Lead:
    """What the rest of the process asks about the lead; the answers may be asked for from any thread."""

    def __init__(self, lease: Lease, apart: OwnLoop, *, is_stuck: Callable[[], bool]) -> None:
        self._lease = lease
        self._apart = apart
        self._is_stuck = is_stuck
        self._renewal: asyncio.Task[None] | None = None
        self.is_valid = lease.is_valid
        self.is_slow = lease.is_slow
        self.age_seconds = lease.age_seconds

    async def acquire(self, on_return: Callable[[], None] = lambda: None) -> bool:
        """Wait until this process leads, and say so; from then on it ends at once when another one may lead.

        Whoever asks is told when the apiserver answers again that was out of reach.
        """
        tell = partial(asyncio.get_running_loop().call_soon_threadsafe, on_return)
        return await self._apart.run(self._acquire_and_keep(tell))

    async def release(self) -> None:
        """Give the lead away, so that the next one need not wait."""
        await self._apart.run(self._end_and_release())

    async def _acquire_and_keep(self, on_return: Callable[[], object]) -> bool:
        await self._lease.acquire()
        self._renewal = asyncio.create_task(self._exit_when_lost(on_return), name="lease")
        return True

    async def _exit_when_lost(self, on_return: Callable[[], object]) -> None:
        """End the process at once when another one may lead: no clean-up may write another word."""
        try:
            await self._lease.keep(on_return, self._is_stuck)
        except Exception:
            logger.exception("renewing the lease failed")
        logger.critical("the lead is lost")
        os._exit(1)

    async def _end_and_release(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await self._lease.release()


@asynccontextmanager
async def keep_apart(
    connect: Callable[[], Kube], lease_by: Callable[[Kube], Lease], *, is_stuck: Callable[[], bool]
) -> AsyncIterator[Lead]:
    """Have connections, a loop and a thread for the lead alone."""

    async def open_connections() -> Kube:
        return connect()

    async with OwnLoop("lead") as apart:
        kube = await apart.run(open_connections())
        try:
            yield Lead(lease_by(kube), apart, is_stuck=is_stuck)
        finally:
            await apart.run(kube.close())
