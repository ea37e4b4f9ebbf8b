"""Variables in the texts of an agent that nobody declared: of a misspelt name the caller hears nothing. Pure."""

from collections.abc import Collection, Iterator

from voicefleet.api.voiceagent import VoiceAgentSpec
from voicefleet.api.voiceagent.agents import NamedAgent
from voicefleet.api.voiceagent.tools import Tool
from voicefleet.conversation.call_variables import PLACEHOLDER

_Text = tuple[str, str | None]
"""A field, and what stands in it."""


def unfilled(spec: VoiceAgentSpec, met: Collection[int], used: Collection[Tool]) -> tuple[str, ...]:
    """Name the variables that stay empty in the texts of the agents and tools that a call may meet, and where."""
    known = {variable.name for variable in spec.variables.declared}
    known |= {one.variable for tool in used if tool.http is not None for one in tool.http.response}
    texts = [text for index in met for text in _of_agent(spec.agents[index], f"spec.agents[{index}]")]
    texts += [text for tool in used for text in _of_tool(tool, f"spec.tools[{tool.name}]")]
    texts += _of_all(spec)
    found = ((name, field) for field, text in texts for name in PLACEHOLDER.findall(text or "") if name not in known)
    return tuple(f"{{{{{name}}}}} in {field}, which nobody declared" for name, field in dict.fromkeys(found))


def _of_agent(agent: NamedAgent, at: str) -> Iterator[_Text]:
    yield f"{at}.instructions", agent.instructions
    if agent.greeting is not None:
        yield f"{at}.greeting.text", agent.greeting.text
        yield f"{at}.greeting.instructions", agent.greeting.instructions
    for handoff in agent.handoffs:
        yield f"{at}.handoffs[{handoff.agent}].announcement", handoff.announcement


def _of_tool(tool: Tool, at: str) -> Iterator[_Text]:
    yield from ((f"{at}.filler.phrases[{number}]", text) for number, text in enumerate(tool.filler.phrases))
    if tool.builtin is not None and tool.builtin.feedback is not None:
        yield f"{at}.builtin.feedback.question", tool.builtin.feedback.question
    if tool.builtin is not None and tool.builtin.transfer is not None:
        yield f"{at}.builtin.transfer.announcement", tool.builtin.transfer.announcement


def _of_all(spec: VoiceAgentSpec) -> Iterator[_Text]:
    talk = spec.conversation
    yield "spec.conversation.identification.text", talk.identification.text
    yield from ((f"spec.conversation.away.prompts[{number}]", text) for number, text in enumerate(talk.away.prompts))
    yield "spec.conversation.duration.goodbye", talk.duration.goodbye
    if spec.telephony.transfer is not None:
        yield "spec.telephony.transfer.announcement", spec.telephony.transfer.announcement
    if spec.recording.enabled:
        yield "spec.recording.announce", spec.recording.announce
