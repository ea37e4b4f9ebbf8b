"""What a chat is made of: files, the environment, and what stands in for both."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.providerpool.providers import Provider
from voicefleet.api.voiceagent.voice import Voice
from voicefleet.conversation.dialogue import AgentPlan, DialoguePlan, plan_dialogue
from voicefleet.conversation.voice_plan import PipelinePlan, VoicePlan
from voicefleet.names import text_file
from voicefleet.providers.lineup import Lineup
from voicefleet_worker.access.secret_files import SecretFiles, SecretsAtHand, check_keys_of
from voicefleet_worker.access.spec_files import load_agent, load_pool, with_texts
from voicefleet_worker.calls.requests import check_requests
from voicefleet_worker.problems import BadInputError, or_refuse
from voicefleet_worker.providers import check_options, without_strangers
from voicefleet_worker.settings import as_wished

_WITHOUT_POOL = "OPENAI_API_KEY"
_OPENAI = {"plugin": "openai", "apiKey": {"name": "openai", "key": "api-key"}}
_LIVEKIT_KEY = {"name": "livekit", "key": "api-key"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """The command line as it was written."""

    agent: Path
    pool: Path | None
    secrets: Path | None
    variables: Mapping[str, str]
    texts: Path | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """All that a chat goes by."""

    plan: DialoguePlan
    secrets: SecretFiles
    variables: Mapping[str, str]
    asides: tuple[str, ...] = ()
    """In what it is unlike a call."""


def gather(wishes: Wishes, environment: Mapping[str, str]) -> Material:
    """Read everything, and refuse at once what would fail in the first answer."""
    agent = load_agent(wishes.agent)
    pool = load_pool(wishes.pool) if wishes.pool else _pool_without_file(environment)
    where = str(wishes.pool or "--pool")
    talkers = _who_only_talks(agent)
    if talkers:
        agent, pool = _in_writing(agent), _with_writers(pool, where)
    planned = plan_dialogue(agent, pool)
    source = "" if isinstance(planned, DialoguePlan) else planned.source
    plan = as_wished(or_refuse(planned, where if source == "pool" else str(wishes.agent)), environment)
    # Nobody hears and nobody speaks, so it does not matter whether somebody could.
    plan = plan.with_voices(lambda voice: _who_thinks(voice, where))
    for provider in (each for agent in plan.agents for each in thinking_of(agent).plans):
        or_refuse(check_options(provider), where)
    check_requests(plan, str(wishes.agent))
    secrets = SecretsAtHand(wishes.secrets or Path(), environment, has_files=wishes.secrets is not None)
    for agent_plan in plan.agents:
        check_keys_of(thinking_of(agent_plan), secrets)
    return Material(_told(plan, wishes), secrets, wishes.variables, tuple(map(_aside, talkers)))


def _told(plan: DialoguePlan, wishes: Wishes) -> DialoguePlan:
    """Return the plan with all instructions: an agent without them would be another one."""
    if wishes.texts is not None:
        return with_texts(plan, wishes.texts)
    for agent in plan.agents:
        if (ref := agent.instructions_from) is not None:
            message = f"stand in a ConfigMap: give --texts DIR with a file {text_file(ref.name, ref.key)}"
            raise BadInputError(str(wishes.agent), message, f"instructions of {agent.name}")
    return plan


def thinking_of(agent: AgentPlan) -> Lineup:
    """Return who may think for an agent."""
    return next(lineup for lineup in agent.voice.lineups if lineup.need.role == "Llm")


def _who_thinks(voice: VoicePlan, where: str) -> VoicePlan:
    if not isinstance(voice, PipelinePlan):
        return voice
    return replace(voice, llm=or_refuse(without_strangers(voice.llm), where))


def _who_only_talks(agent: VoiceAgent) -> list[str]:
    """Return those agents whose calls a realtime model holds, which reads and writes nothing."""
    voices = {each.name: each.voice or agent.spec.voice for each in agent.spec.agents}
    return [name for name, voice in voices.items() if voice.realtime is not None]


def _in_writing(agent: VoiceAgent) -> VoiceAgent:
    """Return the same agents, with the same instructions and tools, as they would be as a pipeline."""
    agents = tuple(each.model_copy(update={"voice": _pipeline(each.voice)}) for each in agent.spec.agents)
    spec = agent.spec.model_copy(update={"voice": _pipeline(agent.spec.voice) or Voice(), "agents": agents})
    return agent.model_copy(update={"spec": spec})


def _pipeline(voice: Voice | None) -> Voice | None:
    return Voice() if voice is not None and voice.realtime is not None else voice


def _with_writers(pool: ProviderPool, where: str) -> ProviderPool:
    """Return a pool for a chat with agents who only talk; of what nobody asks for there, it need have nothing."""
    roles = {provider.role for provider in pool.spec.providers if provider.enabled}
    if "Llm" not in roles:
        message = "a realtime model only talks: a chat needs a provider of role Llm that answers in its place"
        raise BadInputError(where, message, "spec.providers")
    missing = [role for role in ("Stt", "Tts") if role not in roles]
    nobody = [Provider.model_validate({**_OPENAI, "name": f"nobody-{role.lower()}", "role": role}) for role in missing]
    spec = pool.spec.model_copy(update={"providers": (*pool.spec.providers, *nobody)})
    return pool.model_copy(update={"spec": spec})


def _aside(talker: str) -> str:
    return f"{talker} is a realtime model, which only talks: here a model that writes answers in its place"


def _pool_without_file(environment: Mapping[str, str]) -> ProviderPool:
    """Return the pool of somebody who has none, and has a key."""
    if not environment.get(_WITHOUT_POOL):
        raise BadInputError("--pool", f"give the agent's ProviderPool, or set {_WITHOUT_POOL}")
    roles = ("Stt", "Llm", "Tts")
    model = {"baseUrl": url} if (url := environment.get("OPENAI_BASE_URL")) else {}
    spec = {
        # A pool has one; a chat does not ask for it.
        "livekit": {"url": "ws://localhost:7880", "apiKey": _LIVEKIT_KEY, "apiSecret": _LIVEKIT_KEY},
        "providers": [{**_OPENAI, **model, "name": f"openai-{role.lower()}", "role": role} for role in roles],
    }
    body = {"apiVersion": "voicefleet.dev/v1alpha1", "kind": "ProviderPool", "metadata": {"name": "chat"}, "spec": spec}
    return ProviderPool.model_validate(body)
