"""What an agent needs of its providers beyond their role: its language, what it has them do, where they may be."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from voicefleet.api.providerpool.providers import Capability, Provider
from voicefleet.api.voiceagent.agents import NamedAgent
from voicefleet.api.voiceagent.spec import VoiceAgentSpec
from voicefleet.api.voiceagent.tools import Tool
from voicefleet.keeping.choosing import tools_of
from voicefleet.providers.routing import Role, lacks


@dataclass(frozen=True, slots=True)
class AgentNeeds:
    """What one agent needs of whoever hears, thinks and speaks for it."""

    agent: str
    language: str
    capabilities: Mapping[Role, frozenset[Capability]] = field(default_factory=dict)
    region: str | None = None

    def of(self, role: Role, providers: Sequence[Provider]) -> frozenset[Capability]:
        """Return what is needed for one job and what some of the providers lack.

        Agents that differ only in what all of them can do have one line-up, and so share a voice and its connections.
        """
        needed = self.capabilities.get(role, frozenset())
        return frozenset(each for each in needed if any(lacks(provider, {each}) for provider in providers))


def needs_of(spec: VoiceAgentSpec, agent: NamedAgent, tools: Collection[Tool]) -> AgentNeeds:
    """Return what an agent needs that has these tools."""
    of_recording = tools_of(spec.recording) if spec.recording.enabled else ()
    structured = agent.structured_output
    calls = _when(tools or agent.handoffs or of_recording, "Tools")
    steers = structured is not None and (structured.emotion_field or structured.style_field)
    capabilities: dict[Role, frozenset[Capability]] = {
        "Llm": calls | _when(structured, "StructuredOutput"),
        "Realtime": calls,
        "Tts": _when(steers, "Emotion"),
    }
    return AgentNeeds(agent.name, agent.language or spec.languages[0], capabilities, spec.data_protection.region)


def _when(needed: object, capability: Capability) -> frozenset[Capability]:
    return frozenset((capability,) if needed else ())
