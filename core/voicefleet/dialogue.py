"""From a VoiceAgent and its pool to what one call is made of.

Pure: it knows neither livekit-agents nor where files lie, only which provider does which job, with which
settings. What it cannot honour it refuses by field, or names in `not_yet`; it never drops a wish in silence.
"""

from dataclasses import dataclass
from typing import Any, Literal

from voicefleet.api.base import ApiModel
from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.voiceagent import VoiceAgent, VoiceAgentSpec
from voicefleet.api.voiceagent.agents import Greeting, Lookup, NamedAgent, Variable
from voicefleet.api.voiceagent.conversation import Conversation
from voicefleet.api.voiceagent.records import Recording
from voicefleet.api.voiceagent.tools import Tool, ToolPolicy
from voicefleet.api.voiceagent.voice import LanguageModel, Pipeline, SpeechToText, TextToSpeech, VoiceActivity
from voicefleet.keeping.choosing import TOOLS as RECORDING_TOOLS
from voicefleet.names import agent_dispatch_name
from voicefleet.providers.lineup import Lineup, Nobody, ProviderPlan, line_up

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
class DialoguePlan:
    """Everything that a call needs to know, fixed when the worker starts: a revision never changes under a call."""

    namespace: str
    name: str
    language: str
    instructions: str
    greeting: Greeting | None
    variables: tuple[Variable, ...]
    conversation: Conversation
    hearing: SpeechToText
    thinking: LanguageModel
    speaking: TextToSpeech
    vad: VoiceActivity
    stt: Lineup
    llm: Lineup
    tts: Lineup
    lookup: Lookup | None
    tools: tuple[Tool, ...]
    tool_policy: ToolPolicy
    recording: Recording
    not_yet: tuple[str, ...] = ()

    @property
    def dispatch_name(self) -> str:
        """Name under which the agent's workers register."""
        return agent_dispatch_name(self.namespace, self.name)

    @property
    def lineups(self) -> "Lineups":
        """Who may do the three jobs, in the order in which a turn meets them."""
        return (self.stt, self.llm, self.tts)

    @property
    def providers(self) -> tuple[ProviderPlan, ...]:
        """All providers that may be asked, who begins and who stands by."""
        return tuple(plan for lineup in self.lineups for plan in lineup.plans)


Lineups = tuple[Lineup, Lineup, Lineup]


def plan_dialogue(agent: VoiceAgent, pool: ProviderPool) -> DialoguePlan | DialogueProblem:
    """Decide what a call is made of, or say what stands in the way."""
    index, entry = _entry_agent(agent.spec)
    voice = entry.voice or agent.spec.voice
    if voice.realtime is not None:
        return DialogueProblem("agent", "spec.voice.realtime", "this worker runs pipelines only: set voice.pipeline")
    if entry.instructions is None:
        field = f"spec.agents[{index}].instructionsFrom"
        return DialogueProblem("agent", field, "this worker reads instructions from the spec only")
    taken = next((tool.name for tool in agent.spec.tools if tool.name in RECORDING_TOOLS), None)
    if taken is not None and agent.spec.recording.enabled:
        return DialogueProblem("agent", f"spec.tools[{taken}]", "the recording has a tool of this name: choose another")
    pipeline = voice.pipeline or Pipeline()
    language = entry.language or agent.spec.languages[0]
    lineups = _line_up(pool, pipeline, language=language)
    if isinstance(lineups, DialogueProblem):
        return lineups
    stt, llm, tts = lineups
    return DialoguePlan(
        namespace=agent.metadata.namespace or DEFAULT_NAMESPACE,
        name=agent.metadata.name,
        language=language,
        instructions=entry.instructions,
        greeting=entry.greeting,
        variables=agent.spec.variables.declared,
        conversation=agent.spec.conversation,
        hearing=pipeline.stt,
        thinking=pipeline.llm,
        speaking=pipeline.tts,
        vad=pipeline.vad,
        stt=stt,
        llm=llm,
        tts=tts,
        lookup=agent.spec.variables.lookup,
        tools=tuple(tool for tool in agent.spec.tools if tool.name in entry.tools and _is_known(tool)),
        tool_policy=agent.spec.tool_policy,
        recording=agent.spec.recording,
        not_yet=_not_yet(agent.spec, entry, index),
    )


def _entry_agent(spec: VoiceAgentSpec) -> tuple[int, NamedAgent]:
    for index, agent in enumerate(spec.agents):
        if agent.name == spec.entry_agent:
            return index, agent
    return 0, spec.agents[0]


def _line_up(pool: ProviderPool, pipeline: Pipeline, *, language: str) -> Lineups | DialogueProblem:
    stt = line_up(pool, "Stt", pipeline.stt, language=language)
    llm = line_up(pool, "Llm", pipeline.llm, language=language)
    tts = line_up(pool, "Tts", pipeline.tts, language=language)
    if isinstance(stt, Nobody):
        return _nobody("stt", stt)
    if isinstance(llm, Nobody):
        return _nobody("llm", llm)
    if isinstance(tts, Nobody):
        return _nobody("tts", tts)
    return stt, llm, tts


def _nobody(job: str, nobody: Nobody) -> DialogueProblem:
    if nobody.is_listed:
        return DialogueProblem("agent", f"spec.voice.pipeline.{job}.providers", nobody.message)
    return DialogueProblem("pool", "spec.providers", nobody.message)


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
        ("spec.recording.retentionDays", spec.recording.enabled and spec.recording.retention_days),
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
