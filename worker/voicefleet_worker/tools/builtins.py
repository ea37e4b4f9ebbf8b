"""What the worker itself knows how to do, as tools: for each, which arguments it takes and what it does with them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from livekit.agents import StopResponse
from livekit.agents.voice import SpeechHandle

from voicefleet.api.voiceagent.telephony import Transfer
from voicefleet.api.voiceagent.tools import BuiltinTool, Feedback, Tool
from voicefleet.conversation.call_variables import fill
from voicefleet.conversation.opening import Opening, opening_at
from voicefleet.conversation.outcome import CallOutcome, Rating, Unclear, read_callback
from voicefleet_worker.tools.http import ToolFailedError
from voicefleet_worker.tools.templates import Values

Schema = Mapping[str, object]

NO_ARGUMENTS: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
_DTMF: Schema = {
    "type": "object",
    "properties": {"digits": {"type": "string", "pattern": r"^[0-9A-D*#]{1,32}\Z", "description": "keys to press"}},
    "required": ["digits"],
    "additionalProperties": False,
}
_CALLBACK: Schema = {
    "type": "object",
    "properties": {
        "when": {
            "type": "string",
            "maxLength": 40,
            "description": "date and time such as 2026-03-31T15:30; absent for as soon as possible",
        },
        "number": {
            "type": "string",
            "maxLength": 40,
            "description": "number with + and country code; absent for the one that the caller calls from",
        },
    },
    "additionalProperties": False,
}


class Deeds(Protocol):
    """What tools may do to the call itself."""

    outcome: CallOutcome
    """What the call has brought so far."""

    @property
    def caller_number(self) -> str | None:
        """Number that the caller calls from, as far as it is known."""

    def end_call(self, after: SpeechHandle | None = None) -> None:
        """Say goodbye and hang up, once this has been said and what is done for it has been told."""

    async def send_dtmf(self, digits: str) -> None:
        """Press keys."""

    async def put_through(self, transfer: Transfer) -> str | None:
        """Put the caller through to a person; return what the agent is to do if that failed and the call goes on."""


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a built-in tool."""

    tool: Tool
    builtin: BuiltinTool
    arguments: Values
    deeds: Deeds
    values: Mapping[str, str]
    """Variables of the call."""
    speech: SpeechHandle
    """The answer that it is a part of."""


@dataclass(frozen=True, slots=True)
class Builtin:
    """One kind of built-in tool."""

    use: Callable[[Use], Awaitable[str]]
    parameters: Callable[[BuiltinTool], Schema] = lambda _: NO_ARGUMENTS


async def _end_call(use: Use) -> str:
    use.deeds.end_call(use.speech)
    # What is said in the end is the goodbye.
    raise StopResponse


async def _send_dtmf(use: Use) -> str:
    await use.deeds.send_dtmf(str(use.arguments["digits"]))
    return "The keys were pressed."


async def _tell_hours(use: Use) -> str:
    hours = use.builtin.business_hours
    if hours is None:
        raise ToolFailedError("the opening hours are not known")
    return json.dumps(describe(await asyncio.to_thread(opening_at, hours, datetime.now(UTC))))


async def _put_through(use: Use) -> str:
    if use.builtin.transfer is None:
        raise ToolFailedError("it is not known where to")
    told = await use.deeds.put_through(use.builtin.transfer)
    if told is None:
        # The caller talks to somebody else now, or hears a goodbye.
        raise StopResponse
    return use.tool.on_error or told


async def _note_rating(use: Use) -> str:
    feedback, rating = use.builtin.feedback, use.arguments.get("rating")
    if feedback is None:
        raise ToolFailedError("the question is not known")
    if not isinstance(rating, int | float):
        return f"Ask the caller: {fill(feedback.question, use.values)} Then use this tool again with the answer."
    use.deeds.outcome = replace(use.deeds.outcome, feedback=Rating(int(rating), feedback.scale))
    return "The rating was noted. Thank the caller."


async def _opt_out(use: Use) -> str:
    use.deeds.outcome = replace(use.deeds.outcome, opted_out=True)
    return "It was noted that the caller does not want to be called again. Confirm it to the caller."


async def _note_callback(use: Use) -> str:
    number, when = (use.arguments.get(name) for name in ("number", "when"))
    wish = read_callback(
        number=str(number) if number else None,
        when=str(when) if when else None,
        caller=use.deeds.caller_number,
        now=datetime.now(UTC),
    )
    if isinstance(wish, Unclear):
        raise ToolFailedError(wish.why)
    wish = replace(wish, from_number=use.builtin.number)
    use.deeds.outcome = replace(use.deeds.outcome, callback=wish)
    return "The wish to be called back was noted. Confirm to the caller when and on which number."


def _rating_of(builtin: BuiltinTool) -> Schema:
    feedback: Feedback | None = builtin.feedback
    scale = feedback.scale if feedback is not None else 1
    described = f"the caller's own answer, from 1 to {scale}; absent to be told the question"
    rating = {"type": "integer", "minimum": 1, "maximum": scale, "description": described}
    return {"type": "object", "properties": {"rating": rating}, "additionalProperties": False}


BUILTINS: Mapping[str, Builtin] = {
    "BusinessHours": Builtin(_tell_hours),
    "Callback": Builtin(_note_callback, lambda _: _CALLBACK),
    "CollectFeedback": Builtin(_note_rating, _rating_of),
    "EndCall": Builtin(_end_call),
    "OptOut": Builtin(_opt_out),
    "SendDtmf": Builtin(_send_dtmf, lambda _: _DTMF),
    "Transfer": Builtin(_put_through),
}


def describe(opening: Opening) -> Mapping[str, object]:
    """Return the opening hours of now for the model to read."""
    changes = opening.changes_at.strftime("%A %d %B %H:%M") if opening.changes_at else None
    said: dict[str, object] = {"now": opening.now.strftime("%A %d %B %H:%M"), "open": opening.is_open}
    if opening.is_holiday:
        said["holiday"] = True
    if changes is not None:
        said["closes" if opening.is_open else "opens"] = changes
    return said
