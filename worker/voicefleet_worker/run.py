"""Running a worker: control port, server, watch and signals in one event loop, and the order in which they end."""

import asyncio
import logging
import secrets
import signal
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from livekit.agents import AgentServer

from voicefleet.dialogue import DialoguePlan, DialogueProblem
from voicefleet_worker.callers import Callers, connect_with
from voicefleet_worker.control import Control, start_control
from voicefleet_worker.desk import Desk, Identity
from voicefleet_worker.drain import Orders, drain, drain_limit_seconds
from voicefleet_worker.failover.board import HealthBoard
from voicefleet_worker.keeping.service import keep_files
from voicefleet_worker.keeping.settings import make_directories
from voicefleet_worker.logs import set_up_logging
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.providers import check_options, without_strangers
from voicefleet_worker.reports import ReportBox, open_reports
from voicefleet_worker.server import Exchange, Offers, build_server, take_stock, watch
from voicefleet_worker.settings import Settings, drop_foreign_environment
from voicefleet_worker.tools.toolbox import check_tool

logger = logging.getLogger("voicefleet.worker")

Result = TypeVar("Result")

_LAST_LINE_SECONDS = 0.1


def run(settings: Settings) -> int:
    """Run the worker until it is told to go, and return its exit status."""
    drop_foreign_environment()
    set_up_logging(settings.log_level)
    settings = replace(settings, plan=_buildable(settings))
    if settings.plan.recording.enabled:
        make_directories(settings.keeping.files)
    # Nobody else may enter it, so only this worker's own processes can report.
    with tempfile.TemporaryDirectory(prefix="voicefleet-", ignore_cleanup_errors=True) as directory:
        return asyncio.run(_run(settings, Path(directory)))


def _buildable(settings: Settings) -> DialoguePlan:
    """Return the plan with those providers that this image can build, or say why that is not enough."""
    where = str(settings.pool_file)
    stt, llm, tts = (_or_refuse(without_strangers(lineup), where) for lineup in settings.plan.lineups)
    plan = replace(settings.plan, stt=stt, llm=llm, tts=tts)
    for provider in plan.providers:
        _or_refuse(check_options(provider), where)
    for tool in plan.tools:
        _or_refuse(check_tool(tool), "the VoiceAgent")
    for name in {provider.name for provider in settings.plan.providers} - {each.name for each in plan.providers}:
        logger.warning("a provider's plugin is not in this image", extra={"provider": name})
    return plan


def _or_refuse(result: Result | DialogueProblem, where: str) -> Result:
    if isinstance(result, DialogueProblem):
        raise BadInputError(where, result.message, result.field)
    return result


async def _run(settings: Settings, directory: Path) -> int:
    identity = Identity(settings.revision, settings.pod_uid, secrets.token_hex(8))
    desk = Desk(slots=settings.slots, identity=identity, clock=time.monotonic)
    metrics = Metrics(desk)
    orders = Orders()
    providers = [plan.provider for plan in settings.plan.providers]
    board = await asyncio.to_thread(HealthBoard, directory / "health", providers)
    with closing(board), open_reports(directory, desk.hear, board.learn) as box:
        callers = Callers(connect_with(settings.livekit))
        offers = Offers(settings.plan, desk, metrics, callers.is_wished_for)
        server = build_server(settings, desk, offers, Exchange(box.address, board.path))
        control = Control(desk, metrics, settings.control_token_file, orders.leave.set, callers.look)
        runner, port = await start_control(control, host=settings.control_host, port=settings.control_port)
        _say_hello(settings, port)
        try:
            async with keep_files(settings, desk, metrics, orders):
                return await _serve(settings, Parts(server, desk, box, board), orders)
        finally:
            await callers.finish()
            await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Parts:
    """What makes up a running worker."""

    server: AgentServer
    desk: Desk
    box: ReportBox
    board: HealthBoard

    def take_stock(self) -> None:
        """Bring desk and board up to date with the calls that run and with what they report."""
        self.board.end(take_stock(self.server, self.desk, self.box))


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
    parts.take_stock()
    await asyncio.sleep(_LAST_LINE_SECONDS)


async def _watch_once_started(parts: Parts, started: asyncio.Event, *, idle_processes: int) -> None:
    await started.wait()
    await watch(parts.server, parts.desk, parts.take_stock, idle_processes=idle_processes)


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
            "stt": [each.name for each in plan.stt.plans],
            "llm": [each.name for each in plan.llm.plans],
            "tts": [each.name for each in plan.tts.plans],
        },
    )
    for field in plan.not_yet:
        logger.warning("this version of the worker does not act on a field of the spec", extra={"field": field})
