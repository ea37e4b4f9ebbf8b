"""Running a worker: control port, server, watch and signals in one event loop, and the order in which they end."""

import asyncio
import contextlib
import logging
import signal
import time

from livekit.agents import AgentServer

from voicefleet_worker.control import Control, start_control
from voicefleet_worker.desk import Desk
from voicefleet_worker.drain import drain, drain_limit_seconds
from voicefleet_worker.logs import set_up_logging
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.providers import check_provider
from voicefleet_worker.server import Offers, build_server, watch
from voicefleet_worker.settings import Settings, drop_foreign_environment

logger = logging.getLogger("voicefleet.worker")


def run(settings: Settings) -> int:
    """Run the worker until it is told to go, and return its exit status."""
    for provider in settings.plan.providers:
        problem = check_provider(provider)
        if problem is not None:
            raise BadInputError(str(settings.pool_file), problem.message, problem.field)
    drop_foreign_environment()
    set_up_logging(settings.log_level)
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    desk = Desk(slots=settings.slots, revision=settings.revision, clock=time.monotonic, pod_uid=settings.pod_uid)
    metrics = Metrics(desk)
    server = build_server(settings, desk, Offers(settings.plan, desk, metrics))
    control = Control(desk, metrics, settings.control_token_file)
    runner, port = await start_control(control, host=settings.control_host, port=settings.control_port)
    _say_hello(settings, port)
    try:
        return await _serve(settings, server, desk, metrics)
    finally:
        await runner.cleanup()


async def _serve(settings: Settings, server: AgentServer, desk: Desk, metrics: Metrics) -> int:
    """Serve until a signal or a failure; the first signal drains, a second SIGINT ends the calls."""
    started = asyncio.Event()
    told_to_go, told_to_hurry = _listen_to_signals()
    server.on("worker_started", started.set)
    serving = asyncio.create_task(server.run())
    watching = asyncio.create_task(_watch_once_started(settings, started, server, desk, metrics))
    going = asyncio.create_task(told_to_go.wait())
    try:
        await asyncio.wait({serving, watching, going}, return_when=asyncio.FIRST_COMPLETED)
        failed = next((task for task in (serving, watching) if task.done()), None)
        if failed is not None:
            logger.error("worker failed", exc_info=failed.exception())
            return 1
        if not started.is_set():
            # Nothing was promised yet, so nothing has to be kept.
            return 0
        await _leave(server, desk, told_to_hurry, limit_seconds=drain_limit_seconds(settings.drain_grace_seconds))
        await serving
        return 0
    finally:
        serving.cancel()
        watching.cancel()
        going.cancel()
        await asyncio.gather(serving, watching, going, return_exceptions=True)


async def _leave(server: AgentServer, desk: Desk, hurry: asyncio.Event, *, limit_seconds: int) -> None:
    leaving = asyncio.create_task(drain(server, desk, limit_seconds=limit_seconds))
    hurrying = asyncio.create_task(hurry.wait())
    await asyncio.wait({leaving, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    if not leaving.done():
        logger.warning("told to hurry, ending calls", extra={"sessions": desk.slots.used})
        leaving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leaving
    hurrying.cancel()
    # Closed here and once: a close that is cancelled half-way leaves a server that never closes.
    await server.aclose()


async def _watch_once_started(
    settings: Settings, started: asyncio.Event, server: AgentServer, desk: Desk, metrics: Metrics
) -> None:
    await started.wait()
    await watch(server, desk, metrics, idle_processes=settings.idle_processes)


def _listen_to_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Take SIGTERM and SIGINT from the SDK: going means draining, and only a person at a terminal may hurry us."""
    go, hurry = asyncio.Event(), asyncio.Event()

    def on_interrupt() -> None:
        (hurry if go.is_set() else go).set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, go.set)
    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    return go, hurry


def _say_hello(settings: Settings, control_port: int) -> None:
    plan = settings.plan
    logger.info(
        "worker starts",
        extra={
            "agent_name": plan.dispatch_name,
            "revision": settings.revision,
            "slots": settings.slots,
            "control_port": control_port,
            "stt": plan.stt.name,
            "llm": plan.llm.name,
            "tts": plan.tts.name,
        },
    )
    for field in plan.not_yet:
        logger.warning("this version of the worker does not act on a field of the spec", extra={"field": field})
