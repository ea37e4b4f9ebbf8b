"""The tools of a spec as the SDK takes them: arguments checked, waiting filled, failures told to the model."""

import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from weakref import WeakKeyDictionary

from livekit.agents import RunContext, StopResponse, ToolError, function_tool, llm
from livekit.agents.voice import SpeechHandle

from voicefleet.api.voiceagent.tools import Tool, ToolPolicy
from voicefleet.conversation.call_variables import fill
from voicefleet.conversation.phrases import one_moment
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.saying import decides_about_turns, say
from voicefleet_worker.tools.arguments import Arguments
from voicefleet_worker.tools.builtins import BUILTINS, NO_ARGUMENTS, Deeds, Use
from voicefleet_worker.tools.http import DOUBT, HttpTools, ToolFailedError
from voicefleet_worker.tools.templates import RefusedError, Values
from voicefleet_worker.tools.together import Together

logger = logging.getLogger("voicefleet.call")

_AGAIN_SECONDS = 10.0
_FAILED = "This did not work just now. Say so, and offer what else you can do."

_undisturbed_by: WeakKeyDictionary[SpeechHandle, int] = WeakKeyDictionary()
"""How many tools that are not to be interrupted are at work for an answer: a model may use several at once."""

Deed = Callable[[Values, SpeechHandle], Awaitable[str]]
"""What is done with a tool's arguments, as a part of an answer."""


def steps_of(policy: ToolPolicy) -> int:
    """Return the rounds of tools as the SDK counts them: it lets one more pass before the answer without tools."""
    return policy.max_rounds - 1


class Toolbox:
    """The tools of one call."""

    def __init__(
        self, tools: Iterable[Tool], http: HttpTools, deeds: Deeds, *, language: str, values: Mapping[str, str]
    ) -> None:
        self._tools = tuple(tools)
        self._http = http
        self._deeds = deeds
        self._language = language
        self._values = values

    def tools(self) -> list[llm.Tool | llm.Toolset]:
        """Return them as the SDK takes them."""
        return [self._build(tool) for tool in self._tools if tool.mcp is None]

    def _build(self, tool: Tool) -> llm.Tool:
        schema = {"name": tool.name, "description": tool.description, "parameters": _parameters(tool)}
        return guarded(tool, schema, self._deed(tool), language=self._language, values=self._values)

    def _deed(self, tool: Tool) -> Deed:
        if tool.http is not None:
            http = tool.http
            return lambda arguments, _: self._http.call(tool, http, arguments)
        builtin = tool.builtin
        if builtin is None:
            raise AssertionError("unreachable: what is no request and no server's is built in")
        kind = BUILTINS[builtin.type]
        return lambda arguments, speech: kind.use(Use(tool, builtin, arguments, self._deeds, self._values, speech))


def guarded(
    tool: Tool, schema: Mapping[str, object], deed: Deed, *, language: str, values: Mapping[str, str]
) -> llm.Tool:
    """Return a function for the model whose arguments are checked and whose failures are no silence."""
    parameters = schema["parameters"]
    arguments = Arguments(parameters if isinstance(parameters, Mapping) else NO_ARGUMENTS)
    together = Together()
    phrases = tool.filler.phrases or (one_moment(language),)

    delay_seconds = tool.filler.after_milliseconds / 1000
    # A caller who is put through hears that it rings.
    again_seconds = _AGAIN_SECONDS if tool.builtin is None else None

    def wait_a_moment(ctx: RunContext[None]) -> SpeechHandle:
        words = fill(random.choice(phrases), values)  # noqa: S311 - for a change
        return say(ctx.session, words, interruptible=tool.interruptible)

    def do(given: Values, speech: SpeechHandle) -> Awaitable[str]:
        # What the worker itself does is about the answer that it is a part of.
        return together.use(given, lambda: deed(given, speech)) if tool.builtin is None else deed(given, speech)

    async def run(raw_arguments: dict[str, object], ctx: RunContext[None]) -> str:
        async with _undisturbed(tool, ctx):
            arguments.check(raw_arguments)
            async with ctx.with_filler(lambda _: wait_a_moment(ctx), delay=delay_seconds, interval=again_seconds):
                return await _use(tool, lambda: do(raw_arguments, ctx.speech_handle))

    return function_tool(run, raw_schema=dict(schema))


@contextlib.asynccontextmanager
async def _undisturbed(tool: Tool, ctx: RunContext[None]) -> AsyncIterator[None]:
    """Keep the caller from speaking over the words before a tool, if it is not to be interrupted.

    It may be done sooner than they are spoken: then it waits for their end, as the answer to it would.
    """
    speech = ctx.speech_handle
    # What a caller still said while they were put on hold would keep them from hearing that nobody was reached.
    interruptible = tool.interruptible and not (tool.builtin is not None and tool.builtin.type == "Transfer")
    refuses = not speech.allow_interruptions and speech not in _undisturbed_by
    if interruptible or speech.interrupted or refuses or decides_about_turns(ctx.session):
        yield
        return
    ctx.disallow_interruptions()
    _undisturbed_by[speech] = _undisturbed_by.get(speech, 0) + 1
    try:
        yield
    except Exception:
        await ctx.wait_for_playout()
        raise
    else:
        await ctx.wait_for_playout()
    finally:
        _undisturbed_by[speech] -= 1
        if not _undisturbed_by[speech]:
            # The answer is said under the same handle.
            speech.allow_interruptions = True
            del _undisturbed_by[speech]


async def _use(tool: Tool, deed: Callable[[], Awaitable[str]]) -> str:
    try:
        return await deed()
    except StopResponse:
        raise
    except Exception as error:
        logger.warning("tool failed", extra={"tool": tool.name, "problem": type(error).__name__})
        raise ToolError(_told(tool, _reason(error))) from error


def _parameters(tool: Tool) -> Mapping[str, object]:
    if tool.builtin is not None:
        return BUILTINS[tool.builtin.type].parameters(tool.builtin)
    return tool.parameters or NO_ARGUMENTS


def _told(tool: Tool, reason: str) -> str:
    """Return what the model reads; whatever the spec's own words are, it learns that something may have been done."""
    if not tool.on_error:
        return _FAILED + reason
    return tool.on_error + reason if DOUBT in reason else tool.on_error


def _reason(error: Exception) -> str:
    """Say why, as far as that is meant for others."""
    if isinstance(error, BadInputError):
        return " (its key is missing)"
    return f" ({error})" if isinstance(error, (ToolFailedError, RefusedError)) else ""
