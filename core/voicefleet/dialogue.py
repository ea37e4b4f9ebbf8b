"""From a VoiceAgent and its pool to what one call is made of.

Pure: it knows neither livekit-agents nor where files lie, only which provider does which job, with which
settings. What it cannot honour it refuses by field, or names in `not_yet`; it never drops a wish in silence.
"""

from dataclasses import dataclass
from typing import Any

from voicefleet.api.base import ApiModel
from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.voiceagent import VoiceAgent, VoiceAgentSpec
from voicefleet.api.voiceagent.agents import Greeting, Lookup, NamedAgent, Variable
from voicefleet.api.voiceagent.conversation import Conversation
from voicefleet.api.voiceagent.tools import Tool, ToolPolicy
from voicefleet.names import agent_dispatch_name
from voicefleet.problem import DialogueProblem
from voicefleet.providers.lineup import Lineup, ProviderPlan
from voicefleet.voice_plan import RealtimePlan, VoicePlan, ignored_wishes, plan_voice

__all__ = ["DEFAULT_NAMESPACE", "KNOWN_BUILTINS", "DialoguePlan", "DialogueProblem", "plan_dialogue"]

DEFAULT_NAMESPACE = "default"
KNOWN_BUILTINS = ("BusinessHours", "EndCall", "SendDtmf")
"""Built-in tools that the worker has."""


@dataclass(frozen=True, slots=True)
class DialoguePlan:
    """Everything that a call needs to know, fixed when the worker starts: a revision never changes under a call."""

    namespace: str
    name: str
    language: str
    instructions: str
    greeting: Greeting | None
    variables: tuple[Variable, ...]
    conversation: Conversation
    voice: VoicePlan
    lookup: Lookup | None
    tools: tuple[Tool, ...]
    tool_policy: ToolPolicy
    not_yet: tuple[str, ...] = ()

    @property
    def dispatch_name(self) -> str:
        """Name under which the agent's workers register."""
        return agent_dispatch_name(self.namespace, self.name)

    @property
    def lineups(self) -> tuple[Lineup, ...]:
        """Who may do the jobs, in the order in which a turn meets them."""
        return self.voice.lineups

    @property
    def providers(self) -> tuple[ProviderPlan, ...]:
        """All providers that may be asked, who begins and who stands by."""
        return tuple(plan for lineup in self.lineups for plan in lineup.plans)


def plan_dialogue(agent: VoiceAgent, pool: ProviderPool) -> DialoguePlan | DialogueProblem:
    """Decide what a call is made of, or say what stands in the way."""
    index, entry = _entry_agent(agent.spec)
    if entry.instructions is None:
        field = f"spec.agents[{index}].instructionsFrom"
        return DialogueProblem("agent", field, "this worker reads instructions from the spec only")
    language = entry.language or agent.spec.languages[0]
    voice = plan_voice(pool, entry.voice or agent.spec.voice, agent.spec.conversation, language=language)
    if isinstance(voice, DialogueProblem):
        return voice
    return DialoguePlan(
        namespace=agent.metadata.namespace or DEFAULT_NAMESPACE,
        name=agent.metadata.name,
        language=language,
        instructions=entry.instructions,
        greeting=entry.greeting,
        variables=agent.spec.variables.declared,
        conversation=agent.spec.conversation,
        voice=voice,
        lookup=agent.spec.variables.lookup,
        tools=tuple(tool for tool in agent.spec.tools if tool.name in entry.tools and _is_known(tool)),
        tool_policy=agent.spec.tool_policy,
        not_yet=(*_not_yet(agent.spec, entry, index), *_ignored(agent.spec, voice, entry, index)),
    )


def _entry_agent(spec: VoiceAgentSpec) -> tuple[int, NamedAgent]:
    for index, agent in enumerate(spec.agents):
        if agent.name == spec.entry_agent:
            return index, agent
    return 0, spec.agents[0]


def _ignored(spec: VoiceAgentSpec, voice: VoicePlan, entry: NamedAgent, index: int) -> tuple[str, ...]:
    """Name the wishes that mean nothing to the voice that was chosen."""
    decides = isinstance(voice, RealtimePlan) and voice.decides_about_turns
    greeting, turns = entry.greeting, spec.conversation.turn_taking
    wishes = (
        (f"spec.agents[{index}].greeting.interruptible", greeting is not None and not greeting.interruptible),
        ("spec.conversation.turnTaking.detection", turns.detection != type(turns)().detection),
    )
    return (*ignored_wishes(voice), *(field for field, wish in wishes if decides and wish))


def _not_yet(spec: VoiceAgentSpec, entry: NamedAgent, index: int) -> tuple[str, ...]:
    """Name the fields that somebody chose and that this worker does not act on.

    What equals its default was not chosen: the apiserver writes defaults into every object.
    """
    talk = spec.conversation
    wishes: tuple[tuple[str, Any], ...] = (
        (f"spec.agents[{index}].knowledge", entry.knowledge),
        (f"spec.agents[{index}].handoffs", entry.handoffs),
        (f"spec.agents[{index}].structuredOutput", entry.structured_output),
        ("spec.routing", spec.routing),
        ("spec.memory", spec.memory.caller.enabled or _is_chosen(spec.memory.session)),
        ("spec.conversation.pushToTalk", talk.push_to_talk),
        ("spec.conversation.backgroundAudio", talk.background_audio),
        ("spec.telephony.inbound", spec.telephony.inbound),
        ("spec.telephony.outbound", spec.telephony.outbound),
        ("spec.telephony.transfer", spec.telephony.transfer),
        ("spec.telephony.dtmf", _is_chosen(spec.telephony.dtmf)),
        ("spec.recording", spec.recording.enabled),
        ("spec.transcript", _is_chosen(spec.transcript) and spec.transcript.enabled),
        ("spec.analysis", spec.analysis),
        ("spec.dataProtection", _is_chosen(spec.data_protection)),
        ("spec.billing", spec.billing),
    )
    strange = [tool.name for tool in spec.tools if tool.name in entry.tools and not _is_known(tool)]
    return (*(f"spec.tools[{name}]" for name in strange), *(field for field, wish in wishes if wish))


def _is_known(tool: Tool) -> bool:
    return tool.http is not None or (tool.builtin is not None and tool.builtin.type in KNOWN_BUILTINS)


def _is_chosen(value: ApiModel) -> bool:
    return value != type(value)()
