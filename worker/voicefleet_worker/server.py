"""The AgentServer: under which name, with which load, and what it tells LiveKit when a call is offered."""

import asyncio
import functools
import logging

from livekit.agents import AgentServer, JobRequest

from voicefleet.call_variables import Missing, read_call_variables, resolve_variables
from voicefleet.dialogue import DialoguePlan
from voicefleet_worker import entry
from voicefleet_worker.desk import Answer, Desk
from voicefleet_worker.drain import drain_limit_seconds
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.providers import module_names
from voicefleet_worker.settings import Settings
from voicefleet_worker.slots import LOAD_THRESHOLD

logger = logging.getLogger("voicefleet.worker")

WATCH_SECONDS = 0.2
# LiveKit that is away is waited for: giving up would end the calls that its other nodes still carry.
_RETRIES_FOR_EVER = 1_000_000_000
_DEAF_FORK_SERVER = "voicefleet_worker.deaf"
# What clients import on their first request, in the middle of a call.
_FIRST_USED_IN_CALLS = ("anyio._backends._asyncio", "httpcore2", "livekit.agents.llm.async_toolset")


def build_server(settings: Settings, desk: Desk, offers: "Offers") -> AgentServer:
    """Build the server of this worker."""
    setup = entry.CallSetup(plan=settings.plan, secrets=settings.secrets)
    server = AgentServer(
        ws_url=settings.livekit.url,
        api_key=settings.livekit.api_key,
        api_secret=settings.livekit.api_secret,
        load_fnc=lambda: desk.load,
        load_threshold=LOAD_THRESHOLD,
        num_idle_processes=settings.idle_processes,
        job_memory_limit_mb=settings.job_memory_limit_mebibytes,
        drain_timeout=drain_limit_seconds(settings.drain_grace_seconds),
        max_retry=_RETRIES_FOR_EVER,
        setup_fnc=functools.partial(entry.prepare_process, setup),
        preload_modules=[_DEAF_FORK_SERVER, entry.__name__, *module_names(settings.plan), *_FIRST_USED_IN_CALLS],
        # The SDK insists on a health server of its own; ours is the control port.
        host="127.0.0.1",
        port=0,
        log_level=logging.getLevelName(settings.log_level),
    )
    server.rtc_session(entry.entrypoint, agent_name=settings.plan.dispatch_name, on_request=offers.answer)
    return server


class Offers:
    """Answers to the calls that LiveKit offers."""

    def __init__(self, plan: DialoguePlan, desk: Desk, metrics: Metrics) -> None:
        self._plan = plan
        self._desk = desk
        self._metrics = metrics

    async def answer(self, request: JobRequest) -> None:
        """Take the call if there is a slot, else let LiveKit ask another worker."""
        answer = self._decide(request)
        self._metrics.count_offer(answer)
        if answer is not Answer.ACCEPTED:
            logger.info("call refused", extra={"job_id": request.id, "reason": answer.value})
            # A call that lacks variables lacks them everywhere; any other may be taken by the next worker.
            await request.reject(terminate=answer is Answer.VARIABLES_MISSING)
            return
        try:
            await request.accept()
        except BaseException:
            self._desk.give_back(request.id)
            raise
        self._desk.mark_launched(request.id)

    def _decide(self, request: JobRequest) -> Answer:
        values = resolve_variables(self._plan.variables, read_call_variables(request.job.metadata))
        if isinstance(values, Missing):
            return Answer.VARIABLES_MISSING
        return self._desk.answer(request.id)


async def watch(server: AgentServer, desk: Desk, metrics: Metrics, *, idle_processes: int) -> None:
    """Keep the desk true to the server, and LiveKit's picture true to the desk."""
    told_closed = desk.closed
    while True:
        over = desk.keep_running({job.job.id for job in server.active_jobs})
        metrics.count_ended(len(over))
        desk.set_registered(is_registered(server))
        if not desk.slots.full:
            keep_warm(server, min(idle_processes, desk.slots.limit - desk.slots.used))
        if desk.closed != told_closed and desk.registered:
            told_closed = desk.closed
            await tell_livekit(server)
        await asyncio.sleep(WATCH_SECONDS)


# What follows is not public in the SDK. Nothing public does it; a test fails when a release takes it away.


def is_registered(server: AgentServer) -> bool:
    """Tell whether LiveKit knows the server now; the SDK's event says only that it once did."""
    return server.id != "unregistered" and not server._connecting


def keep_warm(server: AgentServer, processes: int) -> None:
    """Keep so many processes waiting: the SDK counts them down when full, and up only for positive loads."""
    server._proc_pool.set_target_idle_processes(processes)


async def tell_livekit(server: AgentServer) -> None:
    """Report the load at once instead of within three seconds.

    LiveKit asks for workers just once for a call, and leaves out those that it believes full.
    """
    await server._refresh_worker_load()
    await server._update_worker_status()
