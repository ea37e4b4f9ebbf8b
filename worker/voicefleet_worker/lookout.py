"""A lookout: it takes no calls, and looks for those of agents without workers whenever the operator asks.

Nothing that calls need is loaded: it is to cost next to nothing.
"""

import asyncio
import logging
import secrets
import signal
import time

from voicefleet_worker.beside import beside
from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.logs import set_up_logging
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.serving.callers import Callers
from voicefleet_worker.serving.control import Control, start_control
from voicefleet_worker.serving.livekit_api import connect_with
from voicefleet_worker.settings import Settings

logger = logging.getLogger("voicefleet.worker")

_SURE_FOR_SECONDS = 20.0
_AGAIN_SECONDS = 5.0


def look_out(settings: Settings) -> int:
    """Look out until told to go, and return the exit status."""
    set_up_logging(settings.log_level)
    return asyncio.run(_look_out(settings))


async def _look_out(settings: Settings) -> int:
    desk = Desk(
        slots=0,
        identity=Identity(settings.revision, settings.pod_uid, secrets.token_hex(8)),
        clock=time.monotonic,
    )
    # Whoever takes it for a worker shall not wait for it to take calls.
    desk.cordon()
    desk.look_for_callers(can=False)
    enough, loop = asyncio.Event(), asyncio.get_running_loop()
    for order in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(order, enough.set)
    callers = Callers(connect_with(settings.livekit))
    control = Control(desk, Metrics(desk), settings.control_token_file, enough.set, callers.look, takes_calls=False)
    runner, port = await start_control(control, host=settings.control_host, port=settings.control_port)
    logger.info(
        "lookout starts",
        extra={"agent_name": settings.plan.dispatch_name, "revision": settings.revision, "control_port": port},
    )
    try:
        async with beside(_make_sure(callers, desk)):
            await enough.wait()
    finally:
        await callers.finish()
        await runner.cleanup()
    return 0


async def _make_sure(callers: Callers, desk: Desk) -> None:
    """Say that callers can be looked for only while LiveKit answers: fleets sleep because somebody says so."""
    while True:
        try:
            can = await callers.can_look()
        except Exception:
            # Whatever it was, nobody may rely on us until it is over.
            logger.exception("asking LiveKit failed")
            can = False
        desk.look_for_callers(can=can)
        await asyncio.sleep(_SURE_FOR_SECONDS if can else _AGAIN_SECONDS)
