"""How an agent's model sees a handoff: a tool that puts the caller through. Pure."""

import hashlib

from voicefleet.api.types import JsonObject
from voicefleet.api.voiceagent.agents import Handoff

PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {"reason": {"type": "string", "description": "what the caller wants, in one sentence"}},
    "required": ["reason"],
    "additionalProperties": False,
}
_PREFIX = "hand_over_to_"
# What providers take as a function's name.
_MOST_CHARACTERS = 64
_DIGEST_CHARACTERS = 8


def tool_name(agent: str) -> str:
    """Return the name of the tool that hands over to an agent.

    >>> tool_name("front-desk")
    'hand_over_to_front_desk'
    """
    name = _PREFIX + agent.replace("-", "_")
    if len(name) <= _MOST_CHARACTERS:
        return name
    digest = hashlib.sha256(agent.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{name[: _MOST_CHARACTERS - _DIGEST_CHARACTERS - 1]}_{digest}"


def describe(handoff: Handoff, description: str | None) -> str:
    """Return what the model is told of a handoff: when to use it, and what for the other agent is."""
    about = f" There: {description}" if description else ""
    return f"Hands the caller over to {handoff.agent}. Use it when: {handoff.when}{about}"
