"""The tools of a spec as the SDK takes them: arguments checked, waiting filled, failures told to the model."""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Protocol

import jsonschema
from livekit.agents import RunContext, StopResponse, ToolError, function_tool, llm

from voicefleet.api.voiceagent.tools import BuiltinTool, BusinessHours, Tool
from voicefleet.dialogue import DialogueProblem
from voicefleet.opening import Opening, opening_at
from voicefleet.phrases import one_moment
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.saying import say
from voicefleet_worker.tools.http import HttpTools, ToolFailedError
from voicefleet_worker.tools.templates import RefusedError, Values

logger = logging.getLogger("voicefleet.call")

_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}
_DTMF = {
    "type": "object",
    "properties": {"digits": {"type": "string", "pattern": r"^[0-9A-D*#]{1,32}\Z", "description": "keys to press"}},
    "required": ["digits"],
    "additionalProperties": False,
}
_SHOWN_CHARACTERS = 200
_MOST_CHARACTERS = 8_000
_REFERENCE = '"$ref"'
_PARAMETERS = {"EndCall": _NO_ARGUMENTS, "BusinessHours": _NO_ARGUMENTS, "SendDtmf": _DTMF}
_FAILED = "This did not work just now. Say so, and offer what else you can do."


class Deeds(Protocol):
    """What tools may do to the call itself."""

    def end_call(self) -> None:
        """Say goodbye and hang up."""

    async def send_dtmf(self, digits: str) -> None:
        """Press keys."""


def check_tool(tool: Tool) -> DialogueProblem | None:
    """Say why a tool's arguments could never be checked."""
    field = f"spec.tools[{tool.name}].parameters"
    try:
        jsonschema.Draft202012Validator.check_schema(_parameters(tool))
    except jsonschema.SchemaError as error:
        return DialogueProblem("agent", field, f"is no JSON schema: {error.message}")
    if _REFERENCE in json.dumps(_parameters(tool)):
        # It would be fetched in the middle of a call, from wherever it says.
        return DialogueProblem("agent", field, "$ref is not supported: write the schema out")
    return None


class Toolbox:
    """The tools of one call."""

    def __init__(self, tools: Iterable[Tool], http: HttpTools, deeds: Deeds, *, language: str) -> None:
        self._tools = tuple(tools)
        self._http = http
        self._deeds = deeds
        self._language = language

    def tools(self) -> list[llm.Tool | llm.Toolset]:
        """Return them as the SDK takes them."""
        return [self._build(tool) for tool in self._tools]

    def _build(self, tool: Tool) -> llm.Tool:
        validator = jsonschema.Draft202012Validator(_parameters(tool))
        words = tool.filler.phrases or (one_moment(self._language),)

        async def run(raw_arguments: dict[str, object], ctx: RunContext[None]) -> str:
            # A pattern of the spec may take long over a text that somebody chose for that.
            await asyncio.to_thread(_check, validator, raw_arguments)
            filler = random.choice(words)  # noqa: S311 - for a change
            async with ctx.with_filler(lambda _: say(ctx.session, filler), delay=tool.filler.after_milliseconds / 1000):
                return await self._use(tool, raw_arguments)

        schema = {"name": tool.name, "description": tool.description, "parameters": _parameters(tool)}
        return function_tool(run, raw_schema=schema)

    async def _use(self, tool: Tool, arguments: Values) -> str:
        try:
            return await self._deed(tool)(arguments)
        except StopResponse:
            raise
        except Exception as error:
            logger.warning("tool failed", extra={"tool": tool.name, "problem": type(error).__name__})
            raise ToolError(tool.on_error or _FAILED + _reason(error)) from error

    def _deed(self, tool: Tool) -> Callable[[Values], Awaitable[str]]:
        if tool.http is not None:
            http = tool.http
            return lambda arguments: self._http.call(tool, http, arguments)
        builtin = tool.builtin
        match builtin and builtin.type:
            case "EndCall":
                return self._end_call
            case "SendDtmf":
                return self._send_dtmf
            case _:
                return _hours_of(builtin)

    async def _end_call(self, _: Values) -> str:
        self._deeds.end_call()
        # What is said in the end is the goodbye.
        raise StopResponse

    async def _send_dtmf(self, arguments: Values) -> str:
        await self._deeds.send_dtmf(str(arguments["digits"]))
        return "The keys were pressed."


def describe(opening: Opening) -> Mapping[str, object]:
    """Return the opening hours of now for the model to read."""
    changes = opening.changes_at.strftime("%A %d %B %H:%M") if opening.changes_at else None
    said: dict[str, object] = {"now": opening.now.strftime("%A %d %B %H:%M"), "open": opening.is_open}
    if opening.is_holiday:
        said["holiday"] = True
    if changes is not None:
        said["closes" if opening.is_open else "opens"] = changes
    return said


def _hours_of(builtin: BuiltinTool | None) -> Callable[[Values], Awaitable[str]]:
    hours: BusinessHours | None = builtin.business_hours if builtin else None

    async def tell(_: Values) -> str:
        if hours is None:
            raise ToolFailedError("the opening hours are not known")
        return json.dumps(describe(await asyncio.to_thread(opening_at, hours, datetime.now(UTC))))

    return tell


def _parameters(tool: Tool) -> Mapping[str, object]:
    if tool.builtin is not None:
        return _PARAMETERS.get(tool.builtin.type, _NO_ARGUMENTS)
    return tool.parameters or _NO_ARGUMENTS


def _check(validator: jsonschema.Draft202012Validator, arguments: Values) -> None:
    if len(json.dumps(arguments)) > _MOST_CHARACTERS:
        raise ToolError("the arguments are too long")
    error = jsonschema.exceptions.best_match(validator.iter_errors(arguments))
    if error is not None:
        where = ".".join(map(str, error.absolute_path)) or "the arguments"
        raise ToolError(f"{where}: {error.message[:_SHOWN_CHARACTERS]}")


def _reason(error: Exception) -> str:
    """Say why, as far as that is meant for others."""
    if isinstance(error, BadInputError):
        return " (its key is missing)"
    return f" ({error})" if isinstance(error, (ToolFailedError, RefusedError)) else ""
