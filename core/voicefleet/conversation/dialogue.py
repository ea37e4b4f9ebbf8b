"""From a VoiceAgent and its pool to what one call is made of.

Pure: it knows neither livekit-agents nor where files lie, only which provider does which job, with which
settings. What it cannot honour it refuses by field, or names in `not_yet`; it never drops a wish in silence.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from voicefleet.api.base import ApiModel
from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.references import ConfigMapKeyRef
from voicefleet.api.voiceagent import VoiceAgent, VoiceAgentSpec
from voicefleet.api.voiceagent.agents import Greeting, Handoff, Lookup, StructuredOutput, Variable
from voicefleet.api.voiceagent.conversation import Conversation
from voicefleet.api.voiceagent.records import Recording
from voicefleet.api.voiceagent.telephony import Telephony
from voicefleet.api.voiceagent.tools import Tool, ToolPolicy
from voicefleet.conversation.contradictions import contradictions
from voicefleet.conversation.moot import crowded_out, unheard_turns
from voicefleet.conversation.unfilled import unfilled
from voicefleet.conversation.voice_plan import RealtimePlan, VoicePlan, ignored_steering, ignored_wishes, plan_voice
from voicefleet.handoffs.sight import Member
from voicefleet.names import agent_dispatch_name
from voicefleet.problem import DialogueProblem
from voicefleet.providers.lineup import ProviderPlan
from voicefleet.providers.needs import needs_of
from voicefleet.records.plan import RecordPlan, plan_records

__all__ = ["DEFAULT_NAMESPACE", "KNOWN_BUILTINS", "AgentPlan", "DialoguePlan", "DialogueProblem", "plan_dialogue"]
from voicefleet.conversation.transferring import DialOut, can_transfer, dial_out

DEFAULT_NAMESPACE = "default"
KNOWN_BUILTINS = ("BusinessHours", "Callback", "CollectFeedback", "EndCall", "OptOut", "SendDtmf", "Transfer")
"""Built-in tools that the worker has."""


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """One agent of a call."""

    name: str
    description: str | None
    language: str
    instructions: str
    instructions_from: ConfigMapKeyRef | None
    """Where the worker reads the instructions, if they do not stand in the spec."""
    greeting: Greeting | None
    tools: tuple[Tool, ...]
    handoffs: tuple[Handoff, ...]
    private_variables: tuple[str, ...]
    structured_output: StructuredOutput | None
    voice: VoicePlan

    @property
    def member(self) -> Member:
        """The agent as far as the others are concerned."""
        return Member(self.name, frozenset(self.private_variables), frozenset(tool.name for tool in self.tools))


@dataclass(frozen=True, slots=True)
class DialoguePlan:
    """Everything that a call needs to know, fixed when the worker starts: a revision never changes under a call."""

    namespace: str
    name: str
    agents: tuple[AgentPlan, ...]
    """Those whom a call may meet, beginning with the one that takes it."""
    variables: tuple[Variable, ...]
    conversation: Conversation
    lookup: Lookup | None
    tool_policy: ToolPolicy
    records: RecordPlan
    recording: Recording
    telephony: Telephony
    dial_out: DialOut | None = None
    """How people are dialed; None if nobody can be."""
    not_yet: tuple[str, ...] = ()

    @property
    def dispatch_name(self) -> str:
        """Name under which the agent's workers register."""
        return agent_dispatch_name(self.namespace, self.name)

    @property
    def language(self) -> str:
        """Language in which a call begins."""
        return self.entry.language

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools of all agents, each once."""
        return tuple({tool.name: tool for agent in self.agents for tool in agent.tools}.values())

    @property
    def prompts(self) -> str:
        """What all agents are told, before variables are filled in."""
        return "\n".join(agent.instructions for agent in self.agents)

    @property
    def entry(self) -> AgentPlan:
        """The agent that takes the call."""
        return self.agents[0]

    @property
    def providers(self) -> tuple[ProviderPlan, ...]:
        """All providers that may be asked, who begins and who stands by; each use of one counts once."""
        found: list[ProviderPlan] = []
        for lineup in (lineup for agent in self.agents for lineup in agent.voice.lineups):
            found += [plan for plan in lineup.plans if plan not in found]
        return tuple(found)

    def with_voices(self, change: Callable[[VoicePlan], VoicePlan]) -> "DialoguePlan":
        """Return the plan with another voice for each agent."""
        return replace(self, agents=tuple(replace(agent, voice=change(agent.voice)) for agent in self.agents))


def plan_dialogue(agent: VoiceAgent, pool: ProviderPool) -> DialoguePlan | DialogueProblem:
    """Decide what a call is made of, or say what stands in the way."""
    spec = agent.spec
    if problem := next(contradictions(spec), None):
        return problem
    if spec.billing is not None and spec.billing.redis is not None and pool.spec.redis is None:
        return DialogueProblem("agent", "spec.billing.redis", "the pool has no Redis: set spec.redis there")
    met = agents_met(spec)
    over = dial_out(spec.telephony, pool)
    planned = [_plan_agent(spec, pool, index, over) for index in met]
    if problem := next((each for each in planned if isinstance(each, DialogueProblem)), None):
        return problem
    namespace = agent.metadata.namespace or DEFAULT_NAMESPACE
    agents = tuple(each for each in planned if isinstance(each, AgentPlan))
    return DialoguePlan(
        namespace=namespace,
        name=agent.metadata.name,
        agents=agents,
        variables=spec.variables.declared,
        conversation=spec.conversation,
        lookup=spec.variables.lookup,
        tool_policy=spec.tool_policy,
        records=plan_records(agent, pool, namespace=namespace),
        recording=spec.recording,
        telephony=spec.telephony,
        dial_out=over,
        not_yet=(*_not_yet(spec, met, over), *_ignored(spec, zip(met, agents, strict=True))),
    )


def agents_met(spec: VoiceAgentSpec) -> tuple[int, ...]:
    """Return the agents whom a call may meet: the one that takes it, those behind keys, and whoever may take over."""
    at = {agent.name: index for index, agent in enumerate(spec.agents)}
    keys = spec.telephony.dtmf
    by_key = [action.agent for action in keys.actions if action.agent is not None and keys.enabled]
    met = [at[name] for name in dict.fromkeys([spec.entry_agent or spec.agents[0].name, *by_key])]
    for index in met:
        # The list grows while it is read.
        met += [at[handoff.agent] for handoff in spec.agents[index].handoffs if at[handoff.agent] not in met]
    return tuple(met)


def _plan_agent(
    spec: VoiceAgentSpec, pool: ProviderPool, index: int, over: DialOut | None
) -> AgentPlan | DialogueProblem:
    named, where = spec.agents[index], f"spec.agents[{index}]"
    tools = tuple(tool for tool in spec.tools if tool.name in named.tools and _is_known(tool, over))
    needs = needs_of(spec, named, tools)
    at = f"{where}.voice" if named.voice else "spec.voice"
    voice = plan_voice(pool, named.voice or spec.voice, spec.conversation, needs, at=at)
    if isinstance(voice, DialogueProblem):
        return voice
    structured = named.structured_output
    if structured is not None and isinstance(voice, RealtimePlan):
        message = "a realtime model speaks by itself: leave it out, or set voice.pipeline"
        return DialogueProblem("agent", f"{where}.structuredOutput", message)
    return AgentPlan(
        name=named.name,
        description=named.description,
        language=needs.language,
        instructions=named.instructions or "",
        instructions_from=named.instructions_from,
        greeting=named.greeting,
        tools=tools,
        handoffs=named.handoffs,
        private_variables=named.private_variables,
        structured_output=named.structured_output,
        voice=voice,
    )


def _ignored(spec: VoiceAgentSpec, agents: Iterable[tuple[int, AgentPlan]]) -> tuple[str, ...]:
    """Name the wishes that mean nothing to the voices that were chosen."""
    found: list[str] = []
    for index, agent in agents:
        realtime = agent.voice if isinstance(agent.voice, RealtimePlan) else None
        decides = realtime is not None and realtime.decides_about_turns
        greeting = agent.greeting
        wishes = (
            (f"spec.agents[{index}].greeting.interruptible", greeting is not None and not greeting.interruptible),
            *((f"spec.tools[{tool.name}].interruptible", not tool.interruptible) for tool in agent.tools),
        )
        at = f"spec.agents[{index}].voice" if spec.agents[index].voice else "spec.voice"
        found += ignored_wishes(agent.voice, at)
        found += ignored_steering(agent.voice, agent.structured_output, f"spec.agents[{index}].structuredOutput")
        found += [field for field, wish in wishes if decides and wish]
        unheard = unheard_turns(spec.conversation, decides=decides) if realtime is not None else ()
        found += [f"spec.conversation.{field}" for field in unheard]
    return tuple(dict.fromkeys(found))


def _not_yet(spec: VoiceAgentSpec, met: tuple[int, ...], over: DialOut | None) -> tuple[str, ...]:
    """Name the fields that somebody chose and that this worker does not act on.

    What equals its default was not chosen: the apiserver writes defaults into every object.
    """
    talk, phone, privacy = spec.conversation, spec.telephony, spec.data_protection
    wishes: tuple[tuple[str, Any], ...] = (
        *((f"spec.agents[{index}].knowledge", spec.agents[index].knowledge) for index in met),
        ("spec.knowledge", spec.knowledge),
        ("spec.routing", spec.routing),
        ("spec.memory", spec.memory.caller.enabled or _is_chosen(spec.memory.session)),
        ("spec.conversation.backgroundAudio.hold", talk.background_audio and talk.background_audio.hold),
        ("spec.telephony.inbound", phone.inbound),
        ("spec.telephony.outbound", phone.outbound),
        ("spec.telephony.transfer", phone.transfer is not None and not can_transfer(phone.transfer, over)),
        ("spec.telephony.headersToAttributes", phone.headers_to_attributes),
        ("spec.recording.retentionDays", spec.recording.enabled and spec.recording.retention_days),
        ("spec.transcript.retentionDays", spec.transcript.retention_days),
        ("spec.analysis", spec.analysis),
        ("spec.dataProtection.redaction", _is_chosen(privacy.redaction)),
        ("spec.dataProtection.logPersonalData", privacy.log_personal_data),
        ("spec.dataProtection.retentionDays", privacy.retention_days),
    )
    names = {name for index in met for name in spec.agents[index].tools}
    used = [tool for tool in spec.tools if tool.name in names]
    strange = (f"spec.tools[{tool.name}]" for tool in used if not _is_known(tool, over))
    wished = (field for field, wish in wishes if wish)
    return (*strange, *wished, *crowded_out(spec, used), *unfilled(spec, met, used))


def _is_known(tool: Tool, over: DialOut | None) -> bool:
    if tool.builtin is None:
        return True
    transfer = tool.builtin.transfer if tool.builtin.type == "Transfer" else None
    return tool.builtin.type in KNOWN_BUILTINS and (transfer is None or can_transfer(transfer, over))


def _is_chosen(value: ApiModel) -> bool:
    return value != type(value)()
