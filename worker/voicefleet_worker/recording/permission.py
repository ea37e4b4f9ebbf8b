"""What has to happen before a call may be recorded, and what the model can do about it."""

from collections.abc import Awaitable, Callable

from livekit.agents import RunContext, function_tool, llm

from voicefleet.api.voiceagent.records import Recording
from voicefleet.keeping.choosing import CONSENT_TOOL, PAUSE_TOOL, RESUME_TOOL, tools_of

_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}
_ASK_FIRST = (
    f"This call is recorded only if the caller agrees. Ask once whether it may be recorded, and use {CONSENT_TOOL} "
    "only after a clear yes. Whatever the answer is, go on with the call."
)
_CONSENT = "The caller has clearly agreed that this call is recorded. Recording begins."
_PAUSE = "Pause the recording, before the caller says something that must not be kept, such as the number of a card."
_RESUME = "Go on recording, once the caller has said what must not be kept."

Deed = Callable[[], str]
"""Does something at once, and says what came of it in words for the model."""


def instructions(recording: Recording, text: str) -> str:
    """Return an agent's instructions with what it has to know about the recording."""
    return f"{text}\n\n{_ASK_FIRST}" if recording.require_consent else text


def build_tools(recording: Recording, consent: Deed, pause: Deed, resume: Deed) -> list[llm.Tool]:
    """Return what the model may do about the recording, as the SDK takes it."""
    deeds = {CONSENT_TOOL: (_CONSENT, consent), PAUSE_TOOL: (_PAUSE, pause), RESUME_TOOL: (_RESUME, resume)}
    return [_tool(name, *deeds[name]) for name in tools_of(recording)]


def _tool(name: str, description: str, deed: Deed) -> llm.Tool:
    async def run(raw_arguments: dict[str, object], ctx: RunContext[None]) -> str:  # noqa: ARG001 - the SDK's names
        return deed()

    work: Callable[[dict[str, object], RunContext[None]], Awaitable[str]] = run
    return function_tool(work, raw_schema={"name": name, "description": description, "parameters": _NO_ARGUMENTS})
