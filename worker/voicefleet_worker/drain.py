"""Leaving: no new calls, the live ones to their end or to the limit, then go."""

import asyncio
import logging

from livekit.agents import AgentServer

from voicefleet_worker.desk import Desk

logger = logging.getLogger("voicefleet.worker")

_LONGEST_MARGIN_SECONDS = 60
_REPORT_SECONDS = 0.5


def drain_limit_seconds(grace_seconds: int) -> int:
    """Return how long calls may go on, so that ending the last of them still fits into the pod's grace.

    600 s leave 60 s for goodbyes and clean-up; 30 s, the shortest, leave 10 s.
    """
    return grace_seconds - min(_LONGEST_MARGIN_SECONDS, grace_seconds // 3)


async def drain(server: AgentServer, desk: Desk, *, limit_seconds: int) -> None:
    """Take no more calls and wait for those on this worker; what is left at the limit ends with the server."""
    desk.drain()
    logger.info("draining", extra={"sessions": desk.slots.used, "limit_seconds": limit_seconds})
    try:
        await server.drain(timeout=limit_seconds)
        # The last call's end is still on its way to LiveKit.
        await asyncio.sleep(_REPORT_SECONDS)
    except TimeoutError:
        logger.warning("drain limit reached, ending calls", extra={"sessions": desk.slots.used})
