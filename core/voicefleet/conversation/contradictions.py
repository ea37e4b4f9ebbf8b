"""What a VoiceAgent gets wrong by itself: no pool could mend it, so it is known before there is one."""

from collections.abc import Iterable, Iterator

from voicefleet.api.voiceagent import VoiceAgentSpec
from voicefleet.api.voiceagent.agents import NamedAgent
from voicefleet.api.voiceagent.tools import Tool
from voicefleet.conversation.opening import fault_in
from voicefleet.conversation.reaching import host_of, is_allowed
from voicefleet.conversation.schemas import strange_schemas, too_large
from voicefleet.conversation.structured import missing_field
from voicefleet.handoffs.offer import tool_name
from voicefleet.keeping.choosing import TOOLS as RECORDING_TOOLS
from voicefleet.problem import DialogueProblem


def contradictions(spec: VoiceAgentSpec) -> Iterator[DialogueProblem]:
    """Say which two wishes cannot both be fulfilled, or which one never."""
    yield from _names_of_the_recording(spec)
    yield from _out_of_bounds(spec)
    yield from _strange_hours(spec.tools)
    yield from strange_schemas(spec)
    yield from _parts_of_a_pod(spec)
    for index, named in enumerate(spec.agents):
        yield from _at_odds(named, f"spec.agents[{index}]")


def _names_of_the_recording(spec: VoiceAgentSpec) -> Iterator[DialogueProblem]:
    for tool in spec.tools if spec.recording.enabled else ():
        if tool.name in RECORDING_TOOLS:
            message = "the recording has a tool of this name: choose another"
            yield DialogueProblem("agent", f"spec.tools[{tool.name}]", message)


def _out_of_bounds(spec: VoiceAgentSpec) -> Iterator[DialogueProblem]:
    """Say which tools may never reach the host that they name."""
    allowed = spec.tool_policy.allowed_hosts
    for tool in spec.tools if allowed else ():
        for kind, url in (("http", tool.http and tool.http.url), ("mcp", tool.mcp and tool.mcp.url)):
            if url and not is_allowed(host_of(url), allowed):
                message = f"{host_of(url)} is not among toolPolicy.allowedHosts: add it there"
                yield DialogueProblem("agent", f"spec.tools[{tool.name}].{kind}.url", message)


def _strange_hours(tools: Iterable[Tool]) -> Iterator[DialogueProblem]:
    """Say which opening hours no call could ever be told."""
    for tool in tools:
        hours = tool.builtin.business_hours if tool.builtin is not None else None
        if hours is not None and (fault := fault_in(hours)) is not None:
            field, message = fault
            yield DialogueProblem("agent", f"spec.tools[{tool.name}].builtin.businessHours.{field}", message)


def _parts_of_a_pod(spec: VoiceAgentSpec) -> Iterator[DialogueProblem]:
    """Say which parts of a pod nobody could write down."""
    template = spec.worker.pod_template
    parts = {"affinity": template.affinity, "topologySpreadConstraints": template.topology_spread_constraints}
    for name, part in parts.items():
        if (excess := too_large(part)) is not None:
            yield DialogueProblem("agent", f"spec.worker.podTemplate.{name}", excess)


def _at_odds(named: NamedAgent, where: str) -> Iterator[DialogueProblem]:
    """Say what one agent has twice, and what its answers lack."""
    for name in sorted(set(named.tools) & {tool_name(handoff.agent) for handoff in named.handoffs}):
        message = f"{name} is the name by which the agent hands over: give the tool another one"
        yield DialogueProblem("agent", f"{where}.tools", message)
    structured = named.structured_output
    if structured is not None and (lacking := missing_field(structured)):
        message = f"properties has no {lacking}: add it, or correct the field's name"
        yield DialogueProblem("agent", f"{where}.structuredOutput.parameters", message)
