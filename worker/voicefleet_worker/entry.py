"""How a call begins, in a process of its own. Loaded by name, since a job process starts from nothing but names."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from livekit import rtc
from livekit.agents import JobContext, JobProcess

from voicefleet.call_variables import Missing, read_call_variables, resolve_variables
from voicefleet.dialogue import DialoguePlan
from voicefleet_worker.call import Call, hang_up
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.keeping.files import CallFiles
from voicefleet_worker.lookup import look_up
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.recording.call_recording import CallRecording, prepare_recording
from voicefleet_worker.reports import Reporter
from voicefleet_worker.secret_files import SecretFiles, check_keys
from voicefleet_worker.session import build_session
from voicefleet_worker.tools.http import HttpTools

logger = logging.getLogger("voicefleet.call")

# As the SDK says that nobody caught an error.
_CRASHED = "job crashed"


@dataclass(frozen=True, slots=True)
class CallSetup:
    """What every job process is handed when it starts."""

    plan: DialoguePlan
    secrets: SecretFiles
    reports: Path | None = None
    """Where the worker hears what becomes of its calls."""
    board: Path | None = None
    """Where calls read how the providers are."""
    files: CallFiles | None = None
    """Where calls leave what is to be kept of them."""


def prepare_process(setup: CallSetup, process: JobProcess) -> None:
    """Put the setup where the call finds it."""
    process.userdata["setup"] = setup


async def entrypoint(ctx: JobContext) -> None:
    """Hold one call."""
    setup: CallSetup = ctx.proc.userdata["setup"]
    ctx.log_context_fields = {"job_id": ctx.job.id, "room_id": ctx.job.room.sid}
    reporter = Reporter(ctx.job.id, setup.reports)
    _say_farewell_in_the_end(ctx, reporter)
    values = resolve_variables(setup.plan.variables, await _find_variables(setup, ctx.job.metadata))
    if isinstance(values, Missing):
        logger.error("call lacks variables", extra={"variables": list(values.names)})
        reporter.note_failure()
        await hang_up(ctx, "variables missing")
        return
    try:
        await asyncio.to_thread(check_keys, setup.plan, setup.secrets)
        board = await asyncio.to_thread(BoardReader.open, setup.board)
        health = CallHealth(setup.plan.providers, reporter, board)
        session = build_session(setup.plan, setup.secrets, health)
        http = HttpTools(setup.secrets, setup.plan.tool_policy, values)
        recording = await asyncio.to_thread(prepare_recording, setup.plan, ctx.job.id, setup.files)
        _close_in_the_end(ctx, http, recording)
        call = Call(ctx, setup.plan, values, session, reporter, http, recording)
        await call.begin()
    except BadInputError as error:
        logger.error("call cannot begin", extra={"problem": str(error)})  # noqa: TRY400 - no bug, no traceback
        reporter.note_failure()
        await hang_up(ctx, "secret missing")
        return
    except rtc.ConnectError:
        # Who is in that room is not known; another agent may well speak there.
        raise
    except Exception:
        # A plugin may refuse options together that it takes one by one.
        reporter.note_failure()
        await hang_up(ctx, "call cannot begin")
        raise


async def _find_variables(setup: CallSetup, metadata: str) -> dict[str, str]:
    """Return what is known of a call: what its dispatch says wins over what is looked up."""
    given, lookup = read_call_variables(metadata), setup.plan.lookup
    if lookup is None:
        return given
    defaults = {variable.name: variable.default for variable in setup.plan.variables if variable.default is not None}
    return {**await look_up(lookup, setup.secrets, defaults | given), **given}


def _close_in_the_end(ctx: JobContext, http: HttpTools, recording: CallRecording) -> None:
    async def close(_reason: str) -> None:
        await recording.close()
        await http.aclose()

    ctx.add_shutdown_callback(close)


def _say_farewell_in_the_end(ctx: JobContext, reporter: Reporter) -> None:
    async def say_farewell(reason: str) -> None:
        if reason == _CRASHED:
            reporter.note_failure()
        await reporter.say_farewell()

    ctx.add_shutdown_callback(say_farewell)
