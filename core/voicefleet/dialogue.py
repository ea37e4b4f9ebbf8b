"""From a VoiceAgent and its pool to what one call is made of.

Pure: it knows neither livekit-agents nor where files lie, only which provider does which job, with which
settings. What it cannot honour it refuses by field, or names in `not_yet`; it never drops a wish in silence.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from voicefleet.api.base import ApiModel
from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.providerpool.providers import Provider
from voicefleet.api.references import SecretKeyRef
from voicefleet.api.voiceagent import VoiceAgent, VoiceAgentSpec
from voicefleet.api.voiceagent.agents import Greeting, NamedAgent, Variable
from voicefleet.api.voiceagent.conversation import Conversation
from voicefleet.api.voiceagent.voice import (
    LanguageModel,
    ModelChoice,
    Pipeline,
    SpeechToText,
    TextToSpeech,
    VoiceActivity,
)
from voicefleet.names import agent_dispatch_name

Role = Literal["Stt", "Llm", "Tts"]
OptionValue = str | int | float | bool

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class DialogueProblem:
    """What stands in the way, and where a person would mend it."""

    source: Literal["agent", "pool"]
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """One provider as one call uses it."""

    name: str
    role: Role
    plugin: str
    model: str | None
    voice: str | None
    base_url: str | None
    api_key: SecretKeyRef | None
    options: tuple[tuple[str, OptionValue], ...]
    language: str
    timeout_seconds: float
    retries: int


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
    stt: ProviderPlan
    llm: ProviderPlan
    tts: ProviderPlan
    not_yet: tuple[str, ...] = ()

    @property
    def dispatch_name(self) -> str:
        """Name under which the agent's workers register."""
        return agent_dispatch_name(self.namespace, self.name)

    @property
    def providers(self) -> "Providers":
        """The three providers, in the order in which a turn meets them."""
        return (self.stt, self.llm, self.tts)


Providers = tuple[ProviderPlan, ProviderPlan, ProviderPlan]


def plan_dialogue(agent: VoiceAgent, pool: ProviderPool) -> DialoguePlan | DialogueProblem:
    """Decide what a call is made of, or say what stands in the way."""
    index, entry = _entry_agent(agent.spec)
    voice = entry.voice or agent.spec.voice
    if voice.realtime is not None:
        return DialogueProblem("agent", "spec.voice.realtime", "this worker runs pipelines only: set voice.pipeline")
    if entry.instructions is None:
        field = f"spec.agents[{index}].instructionsFrom"
        return DialogueProblem("agent", field, "this worker reads instructions from the spec only")
    pipeline = voice.pipeline or Pipeline()
    language = entry.language or agent.spec.languages[0]
    providers = _plan_providers(pool, pipeline, language=language)
    if isinstance(providers, DialogueProblem):
        return providers
    stt, llm, tts = providers
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
        not_yet=_not_yet(agent.spec, entry, index),
    )


def read_option(text: str) -> OptionValue:
    """Read an option's text as the number or truth value that it looks like."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        return int(text)
    if re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", text):
        return float(text)
    return text


def _entry_agent(spec: VoiceAgentSpec) -> tuple[int, NamedAgent]:
    for index, agent in enumerate(spec.agents):
        if agent.name == spec.entry_agent:
            return index, agent
    return 0, spec.agents[0]


def _plan_providers(pool: ProviderPool, pipeline: Pipeline, *, language: str) -> Providers | DialogueProblem:
    stt = _plan_provider(pool, "Stt", pipeline.stt, language=language)
    if isinstance(stt, DialogueProblem):
        return stt
    llm = _plan_provider(pool, "Llm", pipeline.llm, language=language)
    if isinstance(llm, DialogueProblem):
        return llm
    tts = _plan_provider(pool, "Tts", pipeline.tts, language=language)
    if isinstance(tts, DialogueProblem):
        return tts
    return stt, llm, tts


def _plan_provider(
    pool: ProviderPool, role: Role, choice: ModelChoice, *, language: str
) -> ProviderPlan | DialogueProblem:
    usable = {p.name: p for p in pool.spec.providers if p.role == role and p.enabled}
    if choice.providers:
        wanted = [usable[name] for name in choice.providers if name in usable]
        if not wanted:
            listed = ", ".join(choice.providers)
            field = f"spec.voice.pipeline.{role.lower()}.providers"
            return DialogueProblem("agent", field, f"the pool has no enabled provider of role {role} named {listed}")
        return _use(wanted[0], choice, role=role, language=language)
    if not usable:
        return DialogueProblem("pool", "spec.providers", f"no enabled provider has role {role}")
    # Equal priorities keep the pool's order: min() returns the first of equals.
    return _use(min(usable.values(), key=lambda p: p.priority), choice, role=role, language=language)


def _use(provider: Provider, choice: ModelChoice, *, role: Role, language: str) -> ProviderPlan:
    voice = choice.voice if isinstance(choice, TextToSpeech) else None
    timeout_milliseconds = choice.attempt_timeout_milliseconds or provider.attempt.timeout_milliseconds
    return ProviderPlan(
        name=provider.name,
        role=role,
        plugin=provider.plugin,
        model=choice.model or provider.model,
        voice=voice or provider.voice,
        base_url=provider.base_url,
        api_key=provider.api_key,
        options=tuple((name, read_option(text)) for name, text in sorted((provider.options or {}).items())),
        language=language,
        timeout_seconds=timeout_milliseconds / 1000,
        retries=provider.attempt.retries,
    )


def _not_yet(spec: VoiceAgentSpec, entry: NamedAgent, index: int) -> tuple[str, ...]:
    """Name the fields that somebody chose and that this worker does not act on.

    What equals its default was not chosen: the apiserver writes defaults into every object.
    """
    talk = spec.conversation
    wishes: tuple[tuple[str, Any], ...] = (
        (f"spec.agents[{index}].tools", entry.tools),
        (f"spec.agents[{index}].knowledge", entry.knowledge),
        (f"spec.agents[{index}].handoffs", entry.handoffs),
        (f"spec.agents[{index}].structuredOutput", entry.structured_output),
        ("spec.variables.lookup", spec.variables.lookup),
        ("spec.routing", spec.routing),
        ("spec.memory", spec.memory.caller.enabled or _is_chosen(spec.memory.session)),
        ("spec.conversation.pushToTalk", talk.push_to_talk),
        ("spec.conversation.away", _is_chosen(talk.away)),
        ("spec.conversation.backgroundAudio", talk.background_audio),
        ("spec.conversation.noiseSuppression", _is_chosen(talk.noise_suppression)),
        ("spec.conversation.duration.warnAtSeconds", talk.duration.warn_at_seconds),
        ("spec.conversation.endPhrases", talk.end_phrases),
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
    return (*_standing_by(spec, entry, index), *(field for field, wish in wishes if wish))


def _standing_by(spec: VoiceAgentSpec, entry: NamedAgent, index: int) -> tuple[str, ...]:
    """Name the choices of providers of which only the first is used."""
    where = "spec.voice" if entry.voice is None else f"spec.agents[{index}].voice"
    pipeline = (entry.voice or spec.voice).pipeline or Pipeline()
    choices = (("stt", pipeline.stt), ("llm", pipeline.llm), ("tts", pipeline.tts))
    return tuple(
        f"{where}.pipeline.{role}.fallback" for role, choice in choices if choice.fallback and len(choice.providers) > 1
    )


def _is_chosen(value: ApiModel) -> bool:
    return value != type(value)()
