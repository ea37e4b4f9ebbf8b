"""How a call begins, in a process of its own. Loaded by name, since a job process starts from nothing but names."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from livekit import rtc
from livekit.agents import JobContext, JobProcess

from voicefleet.conversation.call_variables import Missing, fill, read_call_variables, resolve_variables, shareable
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet.records.ends import End
from voicefleet.records.life import when_the_job_ends
from voicefleet_worker.access.livekit_access import LiveKitAccess
from voicefleet_worker.access.secret_files import SecretFiles, check_keys
from voicefleet_worker.calls.call import Call, hang_up
from voicefleet_worker.calls.lookup import find_variables
from voicefleet_worker.calls.sounds import Files
from voicefleet_worker.calls.spans import guard_spans
from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.environment import let_spans_hold_words, reach_livekit_by
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.failover.leases import TakenLeases
from voicefleet_worker.handoffs.team import Means, Team
from voicefleet_worker.keeping.files import CallFiles
from voicefleet_worker.logs import clean_what_is_handed_on
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.recording.call_recording import CallRecording, prepare_recording
from voicefleet_worker.records.journal import Journal, journal_path
from voicefleet_worker.records.notebook import Notebook
from voicefleet_worker.threads import have_threads
from voicefleet_worker.tools.http import HttpTools
from voicefleet_worker.tools.mcp import servers_of
from voicefleet_worker.voices.session import Voices, build_session

logger = logging.getLogger("voicefleet.call")


@dataclass(frozen=True, slots=True)
class CallSetup:
    """What every job process is handed when it starts."""

    plan: DialoguePlan
    secrets: SecretFiles
    livekit: LiveKitAccess
    reports: Path | None = None
    """Where the worker hears what becomes of its calls."""
    board: Path | None = None
    """Where calls read how the providers are."""
    journals: Path | None = None
    """Where calls write down what happens."""
    leases: Path | None = None
    """Where calls take what a quota or a probe asks for."""
    sounds: Files = field(default_factory=dict)
    files: CallFiles | None = None
    """Where calls leave what is to be kept of them."""
    trace_content: bool = False
    """Whether spans may hold what is said."""


def prepare_process(setup: CallSetup, process: JobProcess) -> None:
    """Put the setup where the call finds it."""
    # The environment that the process was born with is older than all that the files say.
    let_spans_hold_words(allowed=setup.trace_content)
    clean_what_is_handed_on()
    guard_spans(words_allowed=setup.trace_content)
    reach_livekit_by(setup.livekit)
    process.userdata["setup"] = setup


async def entrypoint(ctx: JobContext) -> None:
    """Hold one call."""
    have_threads(asyncio.get_running_loop())
    setup: CallSetup = ctx.proc.userdata["setup"]
    ctx.log_context_fields = {"job_id": ctx.job.id, "room_id": ctx.job.room.sid}
    # The process may have waited for its call for longer than the pair has been good.
    reach_livekit_by(await asyncio.to_thread(setup.livekit.renewed))
    reporter = Reporter(ctx.job.id, setup.reports)
    notebook = _open_notebook(setup, ctx)
    listeners = _Listeners(ctx, reporter, notebook)
    _say_farewell_in_the_end(listeners, setup.board)
    given = read_call_variables(ctx.job.metadata)
    values = resolve_variables(setup.plan.variables, await find_variables(setup.plan, setup.secrets, given))
    if isinstance(values, Missing):
        logger.error("call lacks variables", extra={"variables": list(values.names)})
        await listeners.give_up(End.VARIABLES_MISSING, ", ".join(values.names))
        return
    try:
        await _hold(setup, values, listeners)
    except BadInputError as error:
        logger.error("call cannot begin", extra={"problem": str(error)})  # noqa: TRY400 - no bug, no traceback
        await listeners.give_up(End.SECRET_MISSING, str(error))
    except rtc.ConnectError:
        # Who is in that room is not known; another agent may well speak there.
        raise
    except Exception as error:
        # A plugin may refuse options together that it takes one by one.
        await listeners.give_up(End.CANNOT_BEGIN, type(error).__name__)
        raise


@dataclass(frozen=True, slots=True)
class _Listeners:
    """Who hears of a call: LiveKit, the worker, and the record."""

    ctx: JobContext
    reporter: Reporter
    notebook: Notebook
    last_acts: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What has to be done when the call is over, before the record is closed."""

    async def give_up(self, end: End, problem: str) -> None:
        """End a call that never began."""
        self.reporter.note_failure()
        self.notebook.ended(end, problem)
        await hang_up(self.ctx, end)


async def _hold(setup: CallSetup, values: dict[str, str], listeners: _Listeners) -> None:
    """Hold a call that has all that it needs."""
    listeners.notebook.bill(fill(setup.plan.records.account, shareable(setup.plan.variables, values)))
    await asyncio.to_thread(check_keys, setup.plan, setup.secrets)
    board = await asyncio.to_thread(BoardReader.open, setup.board)
    providers = [plan.provider for plan in setup.plan.providers]
    leases = await asyncio.to_thread(TakenLeases.open, setup.leases, providers)
    health = CallHealth(setup.plan.providers, listeners.reporter, listeners.notebook, board, leases)
    voices = Voices(setup.plan.entry, setup.secrets, health)
    session = build_session(setup.plan, voices)
    policy = setup.plan.tool_policy
    http = functools.partial(HttpTools, setup.secrets, policy)
    servers = functools.partial(servers_of, secrets=setup.secrets, policy=policy)
    recording = await asyncio.to_thread(prepare_recording, setup.plan, listeners.ctx.job.id, setup.files)
    team = Team(setup.plan, values, voices, Means(http, servers, recording))
    listeners.last_acts.extend([functools.partial(_end_recording, recording, listeners.notebook), team.aclose])
    call = Call(
        ctx=listeners.ctx,
        plan=setup.plan,
        team=team,
        session=session,
        reporter=listeners.reporter,
        notebook=listeners.notebook,
        board=board,
        sound_files=setup.sounds,
        recording=recording,
    )
    await call.begin()


async def _end_recording(recording: CallRecording, notebook: Notebook) -> None:
    kept = await recording.close()
    notebook.recorded(kept.outcome.value, kept.name)


def _open_notebook(setup: CallSetup, ctx: JobContext) -> Notebook:
    path = setup.journals and journal_path(setup.journals, ctx.job.id)
    notebook = Notebook(Journal(path), setup.plan.records.transcript)
    notebook.begin(ctx.job)
    return notebook


def _say_farewell_in_the_end(listeners: _Listeners, board: Path | None) -> None:
    async def say_farewell(reason: str) -> None:
        if reason == End.CRASHED:
            listeners.reporter.note_failure()
        leaves = (await asyncio.to_thread(BoardReader.open, board)).leaving
        listeners.notebook.ended(when_the_job_ends(reason, worker_leaves=leaves))
        for act in listeners.last_acts:
            try:
                await act()
            except Exception:
                # Whatever cannot be closed keeps nobody from hearing how the call ended.
                logger.exception("a call could not be cleaned up")
        await listeners.notebook.aclose()
        await listeners.reporter.say_farewell()

    listeners.ctx.add_shutdown_callback(say_farewell)
