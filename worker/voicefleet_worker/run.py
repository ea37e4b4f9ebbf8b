"""Running a worker: control port, server, watch and signals in one event loop, and the order in which they end."""

import asyncio
import contextlib
import functools
import logging
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from livekit.agents import AgentServer

from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet.records.plan import prompt_hash
from voicefleet_worker.access.secret_watch import SecretWatch
from voicefleet_worker.beside import beside
from voicefleet_worker.calls.requests import check_requests
from voicefleet_worker.calls.sounds import fetch_sounds, sound_files
from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.desk.reports import ReportBox, open_reports
from voicefleet_worker.environment import let_spans_hold_words
from voicefleet_worker.failover.board import HealthBoard
from voicefleet_worker.failover.keys import watching_keys
from voicefleet_worker.failover.leases import HeldLeases
from voicefleet_worker.grace import Limits, Orders, rest_of_grace
from voicefleet_worker.keeping.keeper import Keeper
from voicefleet_worker.keeping.service import keep_files
from voicefleet_worker.keeping.settings import make_directories
from voicefleet_worker.logs import set_up_logging
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.problems import or_refuse
from voicefleet_worker.provider_metrics import ProviderCollector
from voicefleet_worker.providers import check_options, without_strangers
from voicefleet_worker.records.clerk import Clerk
from voicefleet_worker.records.office import Office, finish_records
from voicefleet_worker.serving.callers import Callers
from voicefleet_worker.serving.control import Control, start_control
from voicefleet_worker.serving.drain import drain
from voicefleet_worker.serving.joining import Joining, listening
from voicefleet_worker.serving.livekit_api import connect_with
from voicefleet_worker.serving.offers import Offers
from voicefleet_worker.serving.server import Exchange, build_server, renew_keys, take_stock, watch
from voicefleet_worker.settings import Settings
from voicefleet_worker.sharing.sharer import sharing
from voicefleet_worker.threads import have_threads

logger = logging.getLogger("voicefleet.worker")

_LAST_LINE_SECONDS = 0.1


def run(settings: Settings) -> int:
    """Run the worker until it is told to go, and return its exit status."""
    let_spans_hold_words(allowed=settings.trace_content)
    set_up_logging(settings.log_level)
    plan = _buildable(settings)
    missing = {provider.name for provider in settings.plan.providers} - {each.name for each in plan.providers}
    for name in missing:
        logger.warning("a provider's plugin is not in this image", extra={"provider": name})
    settings = replace(settings, plan=plan, missing_providers=frozenset(missing))
    if settings.plan.recording.enabled:
        make_directories(settings.keeping.files)
    # Nobody else may enter it, so only this worker's own processes can report.
    own_directory = tempfile.TemporaryDirectory(prefix="voicefleet-", ignore_cleanup_errors=True)
    with own_directory as directory, asyncio.Runner() as runner:
        have_threads(runner.get_loop())
        return runner.run(_run(settings, Path(directory)))


def _buildable(settings: Settings) -> DialoguePlan:
    """Return the plan with those providers that this image can build, or say why that is not enough."""
    where = str(settings.pool_file)
    plan = settings.plan.with_voices(
        lambda voice: voice.changed(lambda lineup: or_refuse(without_strangers(lineup), where))
    )
    for provider in plan.providers:
        or_refuse(check_options(provider), where)
    check_requests(plan, "the VoiceAgent")
    return plan


async def _run(settings: Settings, directory: Path) -> int:
    identity = Identity(settings.revision, settings.pod_uid, secrets.token_hex(8))
    desk = Desk(slots=settings.slots, identity=identity, clock=time.monotonic)
    metrics = Metrics(desk)
    orders = _listen_to_signals()
    # Two agents may use one provider in two ways.
    providers = list({plan.name: plan.provider for plan in settings.plan.providers}.values())
    board = await asyncio.to_thread(HealthBoard, directory / "health", providers, missing=settings.missing_providers)
    leases = await asyncio.to_thread(HeldLeases, directory / "leases", providers)
    sounds = sound_files(settings.plan.conversation.background_audio, directory)
    metrics.registry.register(ProviderCollector(board, desk))
    where = settings.data or directory
    office = Office(where, settings.pod_uid, settings.revision, prompt_hash(settings.plan.prompts))
    with closing(board), closing(leases), open_reports(directory, desk.hear, board.learn) as box:
        async with office.open(settings.plan.records, settings.secrets, metrics.watch_records) as clerk:
            callers = Callers(connect_with(settings.livekit))
            offers = Offers(settings.plan, desk, metrics, callers)
            exchange = Exchange(box.address, board.path, clerk.desks.journals, leases.path, sounds)
            server = build_server(settings, desk, offers, exchange)
            control = Control(
                desk, metrics, settings.control_token_file, orders.leave.set, callers.look, words=board.words
            )
            runner, port = await start_control(control, host=settings.control_host, port=settings.control_port)
            _say_hello(settings, port)
            connect = functools.partial(settings.redis.connect, identity.instance) if settings.redis else None
            try:
                async with (
                    rest_of_grace(orders, settings.drain_grace_seconds) as grace,
                    _following_secrets(settings, server, board, desk),
                    sharing(connect, board, leases, desk.share_health),
                    finish_records(clerk, grace),
                    keep_files(settings, desk, metrics, grace) as keeper,
                    beside(fetch_sounds(sounds)),
                ):
                    with listening(time.monotonic) as joining:
                        parts = Parts(server, desk, box, board, clerk, joining, keeper)
                        return await _serve(settings, parts, orders)
            finally:
                await callers.finish()
                await runner.cleanup()


@contextlib.asynccontextmanager
async def _following_secrets(
    settings: Settings, server: AgentServer, board: HealthBoard, desk: Desk
) -> AsyncIterator[None]:
    """Use what is new in mounted Secrets while the body runs, and say that something is."""
    watch = SecretWatch(settings.secrets.directory, desk.note_secrets_changed)
    async with (
        watching_keys(board, settings.secrets),
        beside(renew_keys(server, settings.livekit)),
        beside(watch.run()),
    ):
        yield


@dataclass(frozen=True, slots=True)
class Parts:
    """What makes up a running worker."""

    server: AgentServer
    desk: Desk
    box: ReportBox
    board: HealthBoard
    clerk: Clerk
    joining: Joining
    keeper: Keeper | None = None
    """Of recordings, if there are any."""

    def take_stock(self) -> None:
        """Bring desk and board up to date with the calls that run and with what they report."""
        over = take_stock(self.server, self.desk, self.box, self.joining)
        # First: whatever fails after it, nobody tells a second time which calls are over.
        self.clerk.close_books(over, self.desk.end_of)
        if self.keeper is not None:
            self.keeper.expect(over)
        self.board.end(over)
        # Said in the same breath as that the calls are over: between the two the pod might be deleted.
        self.desk.note_unsent(unsent=not self._is_all_sent())

    def _is_all_sent(self) -> bool:
        return self.clerk.is_done and (self.keeper is None or self.keeper.is_done)


async def _serve(settings: Settings, parts: Parts, orders: Orders) -> int:
    """Serve until told to leave, or until a failure."""
    started = asyncio.Event()
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
        await _leave(parts, orders, Limits.within(settings.drain_grace_seconds))
        await serving
        return 0
    finally:
        for task in (serving, watching, leaving):
            task.cancel()
        await asyncio.gather(serving, watching, leaving, return_exceptions=True)


async def _leave(parts: Parts, orders: Orders, limits: Limits) -> None:
    await drain(parts.server, parts.desk, orders, limits, say_goodbye=parts.board.say_goodbye)
    # Closed here and once: a close that is cancelled half-way leaves a server that never closes.
    await parts.server.aclose()
    # Whoever counts calls hears how the last of them ended.
    parts.take_stock()
    # From here on what is left is sent: records and recordings side by side, in the rest of the grace.
    parts.clerk.hurry()
    await asyncio.sleep(_LAST_LINE_SECONDS)


async def _watch_once_started(parts: Parts, started: asyncio.Event, *, idle_processes: int) -> None:
    await started.wait()
    await watch(parts.server, parts.desk, parts.take_stock, idle_processes=idle_processes)


def _listen_to_signals() -> Orders:
    """Take SIGTERM and SIGINT from the SDK: going means draining, and only a person at a terminal may hurry us.

    From the first moment on: what a worker before this one has left on the disk is sent, whenever somebody says go.
    """
    orders, loop = Orders(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, orders.go)
    loop.add_signal_handler(signal.SIGINT, orders.interrupt)
    return orders


def _names_of(plan: DialoguePlan, role: str) -> list[str]:
    return list(dict.fromkeys(each.name for each in plan.providers if each.role == role))


def _say_hello(settings: Settings, control_port: int) -> None:
    plan = settings.plan
    logger.info(
        "worker starts",
        extra={
            "agent_name": plan.dispatch_name,
            "revision": settings.revision,
            "slots": settings.slots,
            "control_port": control_port,
            "agents": [agent.name for agent in plan.agents],
            "stt": _names_of(plan, "Stt"),
            "llm": _names_of(plan, "Llm"),
            "tts": _names_of(plan, "Tts"),
            "realtime": _names_of(plan, "Realtime"),
        },
    )
    for field in plan.not_yet:
        logger.warning("this version of the worker does not act on a field of the spec", extra={"field": field})
