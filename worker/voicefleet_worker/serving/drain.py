"""Leaving: no new calls, the live ones to their end or to the limit, then go."""

import asyncio
import logging
from collections.abc import Callable

from livekit.agents import AgentServer

from voicefleet_worker.desk.desk import Desk
from voicefleet_worker.grace import Limits, Orders, out_of_time

logger = logging.getLogger("voicefleet.worker")

_REPORT_SECONDS = 0.5


async def drain(
    server: AgentServer, desk: Desk, orders: Orders, limits: Limits, *, say_goodbye: Callable[[], None]
) -> None:
    """Take no more calls and wait for those on this worker; at the limit they say goodbye, or end with the server."""
    desk.drain()
    limit = limits.seconds if orders.soon.is_set() else None
    logger.info("draining", extra={"sessions": desk.slots.used, "limit_seconds": limit})
    emptying = asyncio.create_task(_empty(server))
    hurrying = asyncio.create_task(out_of_time(orders, limits.seconds))
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
