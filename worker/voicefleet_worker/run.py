"""Running a worker: control port, server, watch and signals in one event loop, and the order in which they end."""

import asyncio
import logging
import secrets
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from livekit.agents import AgentServer

from voicefleet_worker.callers import Callers, connect_with
from voicefleet_worker.control import Control, start_control
from voicefleet_worker.desk import Desk, Identity
from voicefleet_worker.drain import Orders, drain, drain_limit_seconds
from voicefleet_worker.logs import set_up_logging
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.providers import check_provider
from voicefleet_worker.reports import ReportBox, open_reports
from voicefleet_worker.server import Offers, build_server, take_stock, watch
from voicefleet_worker.settings import Settings, drop_foreign_environment

logger = logging.getLogger("voicefleet.worker")

_LAST_LINE_SECONDS = 0.1


def run(settings: Settings) -> int:
    """Run the worker until it is told to go, and return its exit status."""
    for provider in settings.plan.providers:
        problem = check_provider(provider)
        if problem is not None:
            raise BadInputError(str(settings.pool_file), problem.message, problem.field)
    drop_foreign_environment()
    set_up_logging(settings.log_level)
    # Nobody else may enter it, so only this worker's own processes can report.
    with tempfile.TemporaryDirectory(prefix="voicefleet-", ignore_cleanup_errors=True) as directory:
        return asyncio.run(_run(settings, Path(directory)))


async def _run(settings: Settings, directory: Path) -> int:
    identity = Identity(settings.revision, settings.pod_uid, secrets.token_hex(8))
    desk = Desk(slots=settings.slots, identity=identity, clock=time.monotonic)
    metrics = Metrics(desk)
    orders = Orders()
    with open_reports(directory, desk.hear) as box:
        callers = Callers(connect_with(settings.livekit))
        offers = Offers(settings.plan, desk, metrics, callers.is_wished_for)
        server = build_server(settings, desk, offers, box.address)
        control = Control(desk, metrics, settings.control_token_file, orders.leave.set, callers.look)
        runner, port = await start_control(control, host=settings.control_host, port=settings.control_port)
        _say_hello(settings, port)
        try:
            return await _serve(settings, Parts(server, desk, box), orders)
        finally:
            await callers.finish()
            await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Parts:
    """What makes up a running worker."""

    server: AgentServer
    desk: Desk
    box: ReportBox


async def _serve(settings: Settings, parts: Parts, orders: Orders) -> int:
    """Serve until told to leave, or until a failure."""
    started = asyncio.Event()
    _listen_to_signals(orders)
    parts.server.on("worker_started", started.set)
    serving = asyncio.create_task(parts.server.run())
    watching = asyncio.create_task(_watch_once_started(parts, started, idle_processes=settings.idle_processes))
    leaving = asyncio.create_task(orders.leave.wait())
    try:
        await asyncio.wait({serving, watching, leaving}, return_when=asyncio.FIRST_COMPLETED)
        failed = next((task for task in (serving, watching) if task.done()), None)
        if failed is not None:
            logger.error("worker failed", exc_info=failed.exception())
            return 1
        if not started.is_set():
            # Nothing was promised yet, so nothing has to be kept.
            return 0
        await _leave(parts, orders, limit_seconds=drain_limit_seconds(settings.drain_grace_seconds))
        await serving
        return 0
    finally:
        for task in (serving, watching, leaving):
            task.cancel()
        await asyncio.gather(serving, watching, leaving, return_exceptions=True)


async def _leave(parts: Parts, orders: Orders, *, limit_seconds: int) -> None:
    await drain(parts.server, parts.desk, orders, limit_seconds=limit_seconds)
    # Closed here and once: a close that is cancelled half-way leaves a server that never closes.
    await parts.server.aclose()
    # Whoever counts calls hears how the last of them ended.
    take_stock(parts.server, parts.desk, parts.box)
    await asyncio.sleep(_LAST_LINE_SECONDS)


async def _watch_once_started(parts: Parts, started: asyncio.Event, *, idle_processes: int) -> None:
    await started.wait()
    await watch(parts.server, parts.desk, parts.box, idle_processes=idle_processes)


def _listen_to_signals(orders: Orders) -> None:
    """Take SIGTERM and SIGINT from the SDK: going means draining, and only a person at a terminal may hurry us."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, orders.go)
    loop.add_signal_handler(signal.SIGINT, orders.interrupt)


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
