"""The AgentServer: under which name, with which load, and what it tells LiveKit when a call is offered."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from livekit.agents import AgentServer
from livekit.agents.ipc.job_executor import JobExecutor
from livekit.agents.job import RunningJobInfo
from livekit.protocol.agent import JobTermination

from voicefleet_worker.access.livekit_access import LiveKitAccess
from voicefleet_worker.calls import entry
from voicefleet_worker.calls.sounds import Files
from voicefleet_worker.desk.desk import Desk
from voicefleet_worker.desk.reports import ReportBox
from voicefleet_worker.desk.slots import LOAD_THRESHOLD, load_on_the_wire
from voicefleet_worker.failover.keys import LOOK_SECONDS
from voicefleet_worker.preloading import modules_for
from voicefleet_worker.serving.joining import Joining
from voicefleet_worker.serving.offers import Offers
from voicefleet_worker.settings import Settings

logger = logging.getLogger("voicefleet.worker")

WATCH_SECONDS = 0.2
# LiveKit's SDK tries for some twenty seconds to come back to a room.
_RETURN_LOOKS = 60
_LOOK_SECONDS = 1.0
# LiveKit that is away is waited for: giving up would end the calls that its other nodes still carry.
_RETRIES_FOR_EVER = 1_000_000_000
# The worker joins LiveKit when the first process waits for a call, or else after this time: on a node that starts
# many pods at once it takes far longer than the SDK's ten seconds, and callers would wait in silence.
_FIRST_PROCESS_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where the worker and its calls tell each other what they know."""

    reports: Path | None = None
    board: Path | None = None
    journals: Path | None = None
    leases: Path | None = None
    sounds: Files = field(default_factory=dict)


def build_server(settings: Settings, desk: Desk, offers: Offers, exchange: Exchange = Exchange()) -> AgentServer:
    """Build the server of this worker."""
    setup = entry.CallSetup(
        settings.plan,
        settings.secrets,
        settings.livekit,
        reports=exchange.reports,
        board=exchange.board,
        journals=exchange.journals,
        leases=exchange.leases,
        sounds=exchange.sounds,
        files=settings.keeping.files if settings.plan.recording.enabled else None,
        trace_content=settings.trace_content,
    )
    plugins = {provider.plugin for provider in settings.plan.providers}
    server = _Server(
        ws_url=settings.livekit.url,
        api_key=settings.livekit.api_key,
        api_secret=settings.livekit.api_secret,
        load_fnc=lambda: desk.load,
        load_threshold=LOAD_THRESHOLD,
        num_idle_processes=settings.idle_processes,
        initialize_process_timeout=_FIRST_PROCESS_SECONDS,
        job_memory_limit_mb=settings.job_memory_limit_mebibytes,
        max_retry=_RETRIES_FOR_EVER,
        setup_fnc=functools.partial(entry.prepare_process, setup),
        # Loaded already; it is for a fork server that died, and is started anew.
        preload_modules=modules_for(plugins, mcp=any(tool.mcp is not None for tool in settings.plan.tools)),
        # The SDK insists on a health server of its own; ours is the control port.
        host="127.0.0.1",
        port=0,
        log_level=logging.getLevelName(settings.log_level),
    )
    server.offers = offers
    server.rtc_session(entry.entrypoint, agent_name=settings.plan.dispatch_name, on_request=offers.answer)
    return server


async def watch(server: AgentServer, desk: Desk, take_stock: Callable[[], None], *, idle_processes: int) -> None:
    """Keep the desk true to the server, and LiveKit's picture true to the desk."""
    told: tuple[bool, float | None] | None = None
    changed = desk.listen()
    failures = 0
    while True:
        changed.clear()
        try:
            take_stock()
            if not desk.slots.full:
                keep_warm(server, min(idle_processes, desk.slots.limit - desk.slots.used))
            due = _worth_telling(desk)
            if due != told:
                if due is not None:
                    await tell_livekit(server)
                told = due
        except Exception:
            # Whatever is wrong here, calls go on.
            failures += 1
            if failures & (failures - 1) == 0:
                logger.exception("the worker cannot look after its calls", extra={"tries": failures})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WATCH_SECONDS):
                await changed.wait()


def take_stock(server: AgentServer, desk: Desk, box: ReportBox, joining: Joining) -> tuple[str, ...]:
    """Bring the desk up to date with the calls that run and with what they report; return those that are over."""
    running = {job.job.id for job in server.active_jobs}
    # What a call said before its process was gone has arrived by now.
    box.read()
    over = desk.keep_running(running)
    registered = is_registered(server)
    desk.set_registered(registered, joining.away(registered=registered))
    return over


def _worth_telling(desk: Desk) -> tuple[bool, float | None] | None:
    """Return what LiveKit must hear of at once; that the load moves a little with each call can wait for its turn."""
    if not desk.registered:
        return None
    return desk.closed, None if desk.asked_load is None else load_on_the_wire(desk.asked_load)


# What follows is not public in the SDK. Nothing public does it; a test fails when a release takes it away.


class _Server(AgentServer):
    """Leaves every offer to us: what the SDK refuses by itself is counted nowhere.

    For each call that is being launched the SDK adds what a call under way seems to weigh: load/calls. With the loads
    that packing needs that is nonsense, and a worker with room would be told to LiveKit as full.
    """

    offers: Offers

    async def _handle_termination(self, msg: JobTermination) -> None:
        """End a call that was withdrawn, or that does not come to its end by itself.

        LiveKit says so whenever an agent leaves its room, and also of one whose line broke and that joins its room anew
        (livekit/livekit#4887): it takes the one that it replaces for gone.
        """
        process = self._proc_pool.get_by_job_id(msg.job_id)
        if process is None or process.running_job is None:
            return
        call = process.running_job
        if await self.offers.is_withdrawn(call.job) or not await self._finds_its_way(process, call):
            await super()._handle_termination(msg)

    async def _finds_its_way(self, process: JobExecutor, call: RunningJobInfo) -> bool:
        """Tell whether a call comes back to its room, or its process to its end; some hang when all is over."""
        for _ in range(_RETURN_LOOKS):
            if self.offers.has_ended(call.job):
                return False
            if await _ends(process):
                return True
        return await self.offers.is_there(call)

    def _is_available(self) -> bool:
        return True

    def _get_effective_load(self) -> float:
        return self._worker_load


async def _ends(process: JobExecutor) -> bool:
    """Tell whether a process ends within a look."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LOOK_SECONDS):
            await process.join()
            return True
    return False


def is_registered(server: AgentServer) -> bool:
    """Tell whether LiveKit knows the server now; the SDK's event says only that it once did."""
    return server.id != "unregistered" and not server._connecting


def give_keys(server: AgentServer, access: LiveKitAccess) -> bool:
    """Let the server's next connection be made with this pair; tell whether it is another one."""
    changed = (server._api_key, server._api_secret) != (access.api_key, access.api_secret)
    server._api_key, server._api_secret = access.api_key, access.api_secret
    return changed


async def renew_keys(server: AgentServer, access: LiveKitAccess) -> None:
    """Follow the files: a connection that stands outlives its pair, and the next one must not be made with it."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if give_keys(server, await asyncio.to_thread(access.renewed)):
            logger.info("LiveKit has another key, which the next connection is made with")


def keep_warm(server: AgentServer, processes: int) -> None:
    """Keep so many processes waiting: the SDK counts them down when full, and up only for positive loads."""
    server._proc_pool.set_target_idle_processes(processes)


async def tell_livekit(server: AgentServer) -> None:
    """Report the load at once instead of within three seconds.

    LiveKit asks for workers just once for a call, and leaves out those that it believes full.
    """
    await server._refresh_worker_load()
    await server._update_worker_status()
