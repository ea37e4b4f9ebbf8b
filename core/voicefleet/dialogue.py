"""From a VoiceAgent and its pool to what one call is made of.

Pure: it knows neither livekit-agents nor where files lie, only which provider does which job, with which
settings. What it cannot honour it refuses by field, or names in `not_yet`; it never drops a wish in silence.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from voicefleet.api.base import ApiModel
from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.references import ConfigMapKeyRef
from voicefleet.api.voiceagent import VoiceAgent, VoiceAgentSpec
from voicefleet.api.voiceagent.agents import Greeting, Handoff, Lookup, StructuredOutput, Variable
from voicefleet.api.voiceagent.conversation import Conversation
from voicefleet.api.voiceagent.tools import Tool, ToolPolicy
from voicefleet.api.voiceagent.voice import (
    LanguageModel,
    Pipeline,
    SpeechToText,
    TextToSpeech,
    Voice,
    VoiceActivity,
)
from voicefleet.handoffs.offer import tool_name
from voicefleet.handoffs.sight import Member
from voicefleet.names import agent_dispatch_name
from voicefleet.providers.lineup import Lineup, Nobody, ProviderPlan, line_up
from voicefleet.records.plan import RecordPlan, plan_records
from voicefleet.structured import missing_field

DEFAULT_NAMESPACE = "default"
KNOWN_BUILTINS = ("BusinessHours", "EndCall", "SendDtmf")
"""Built-in tools that the worker has."""


@dataclass(frozen=True, slots=True)
class DialogueProblem:
    """What stands in the way, and where a person would mend it."""

    source: Literal["agent", "pool"]
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """How an agent hears, thinks and speaks: its wishes, and who may do each job."""

    hearing: SpeechToText
    thinking: LanguageModel
    speaking: TextToSpeech
    vad: VoiceActivity
    stt: Lineup
    llm: Lineup
    tts: Lineup

    @property
    def lineups(self) -> "Lineups":
        """Who may do the three jobs, in the order in which a turn meets them."""
        return (self.stt, self.llm, self.tts)


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
    voice: PipelinePlan

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

    def with_voices(self, change: Callable[[PipelinePlan], PipelinePlan]) -> "DialoguePlan":
        """Return the plan with another voice for each agent."""
        return replace(self, agents=tuple(replace(agent, voice=change(agent.voice)) for agent in self.agents))


Lineups = tuple[Lineup, Lineup, Lineup]


def plan_dialogue(agent: VoiceAgent, pool: ProviderPool) -> DialoguePlan | DialogueProblem:
    """Decide what a call is made of, or say what stands in the way."""
    spec = agent.spec
    met = agents_met(spec)
    agents = [_plan_agent(spec, pool, index) for index in met]
    problem = next((each for each in agents if isinstance(each, DialogueProblem)), None)
    if problem is not None:
        return problem
    if spec.billing is not None and spec.billing.redis is not None and pool.spec.redis is None:
        return DialogueProblem("agent", "spec.billing.redis", "the pool has no Redis: set spec.redis there")
    namespace = agent.metadata.namespace or DEFAULT_NAMESPACE
    return DialoguePlan(
        namespace=namespace,
        name=agent.metadata.name,
        agents=tuple(each for each in agents if isinstance(each, AgentPlan)),
        variables=spec.variables.declared,
        conversation=spec.conversation,
        lookup=spec.variables.lookup,
        tool_policy=spec.tool_policy,
        records=plan_records(agent, pool, namespace=namespace),
        not_yet=_not_yet(spec, met),
    )


def agents_met(spec: VoiceAgentSpec) -> tuple[int, ...]:
    """Return the agents whom a call may meet: the one that takes it, and whoever may take over from there."""
    at = {agent.name: index for index, agent in enumerate(spec.agents)}
    met = [at[spec.entry_agent or spec.agents[0].name]]
    for index in met:
        # The list grows while it is read.
        met += [at[handoff.agent] for handoff in spec.agents[index].handoffs if at[handoff.agent] not in met]
    return tuple(met)


def _plan_agent(spec: VoiceAgentSpec, pool: ProviderPool, index: int) -> AgentPlan | DialogueProblem:
    named, where = spec.agents[index], f"spec.agents[{index}]"
    language = named.language or spec.languages[0]
    voice = _plan_voice(pool, named.voice or spec.voice, f"{where}.voice" if named.voice else "spec.voice", language)
    if isinstance(voice, DialogueProblem):
        return voice
    tools = tuple(tool for tool in spec.tools if tool.name in named.tools and _is_known(tool))
    taken = {tool.name for tool in tools} & {tool_name(handoff.agent) for handoff in named.handoffs}
    if taken:
        message = f"{taken.pop()} is the name by which the agent hands over: give the tool another one"
        return DialogueProblem("agent", f"{where}.tools", message)
    structured = named.structured_output
    if structured is not None and (lacking := missing_field(structured)):
        message = f"properties has no {lacking}: add it, or correct the field's name"
        return DialogueProblem("agent", f"{where}.structuredOutput.parameters", message)
    return AgentPlan(
        name=named.name,
        description=named.description,
        language=language,
        instructions=named.instructions or "",
        instructions_from=named.instructions_from,
        greeting=named.greeting,
        tools=tools,
        handoffs=named.handoffs,
        private_variables=named.private_variables,
        structured_output=named.structured_output,
        voice=voice,
    )


def _plan_voice(pool: ProviderPool, voice: Voice, where: str, language: str) -> PipelinePlan | DialogueProblem:
    if voice.realtime is not None:
        return DialogueProblem("agent", f"{where}.realtime", "this worker runs pipelines only: set voice.pipeline")
    pipeline = voice.pipeline or Pipeline()
    lineups = _line_up(pool, pipeline, where, language=language)
    if isinstance(lineups, DialogueProblem):
        return lineups
    stt, llm, tts = lineups
    return PipelinePlan(pipeline.stt, pipeline.llm, pipeline.tts, pipeline.vad, stt, llm, tts)


def _line_up(pool: ProviderPool, pipeline: Pipeline, where: str, *, language: str) -> Lineups | DialogueProblem:
    stt = line_up(pool, "Stt", pipeline.stt, language=language)
    llm = line_up(pool, "Llm", pipeline.llm, language=language)
    tts = line_up(pool, "Tts", pipeline.tts, language=language)
    if isinstance(stt, Nobody):
        return _nobody(f"{where}.pipeline.stt", stt)
    if isinstance(llm, Nobody):
        return _nobody(f"{where}.pipeline.llm", llm)
    if isinstance(tts, Nobody):
        return _nobody(f"{where}.pipeline.tts", tts)
    return stt, llm, tts


def _nobody(where: str, nobody: Nobody) -> DialogueProblem:
    if nobody.is_listed:
        return DialogueProblem("agent", f"{where}.providers", nobody.message)
    return DialogueProblem("pool", "spec.providers", nobody.message)


def _not_yet(spec: VoiceAgentSpec, met: tuple[int, ...]) -> tuple[str, ...]:
    """Name the fields that somebody chose and that this worker does not act on.

    What equals its default was not chosen: the apiserver writes defaults into every object.
    """
    talk = spec.conversation
    wishes: tuple[tuple[str, Any], ...] = (
        *((f"spec.agents[{index}].knowledge", spec.agents[index].knowledge) for index in met),
        ("spec.routing", spec.routing),
        ("spec.memory", spec.memory.caller.enabled or _is_chosen(spec.memory.session)),
        ("spec.conversation.pushToTalk", talk.push_to_talk),
        ("spec.conversation.backgroundAudio", talk.background_audio),
        ("spec.telephony.inbound", spec.telephony.inbound),
        ("spec.telephony.outbound", spec.telephony.outbound),
        ("spec.telephony.transfer", spec.telephony.transfer),
        ("spec.telephony.dtmf", _is_chosen(spec.telephony.dtmf)),
        ("spec.recording", spec.recording.enabled),
        ("spec.transcript.store", spec.transcript.store),
        ("spec.transcript.retentionDays", spec.transcript.retention_days),
        ("spec.analysis", spec.analysis),
        ("spec.dataProtection", _is_chosen(spec.data_protection.model_copy(update={"trace_content": False}))),
        ("spec.billing.store", spec.billing and spec.billing.store),
    )
    used = {name for index in met for name in spec.agents[index].tools}
    strange = [tool.name for tool in spec.tools if tool.name in used and not _is_known(tool)]
    return (*(f"spec.tools[{name}]" for name in strange), *(field for field, wish in wishes if wish))


def _is_known(tool: Tool) -> bool:
    return tool.http is not None or (tool.builtin is not None and tool.builtin.type in KNOWN_BUILTINS)


def _is_chosen(value: ApiModel) -> bool:
    return value != type(value)()
