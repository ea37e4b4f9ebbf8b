"""Which keys of which Secrets the workers of an agent need: those, and no others, are mounted."""

from collections import defaultdict
from collections.abc import Iterator

from pydantic import BaseModel

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.providerpool.providers import Provider
from voicefleet.api.references import SecretKeyRef
from voicefleet.api.voiceagent.voice import ModelChoice, Pipeline, Voice

SecretKeys = dict[str, tuple[str, ...]]


def secrets_of_worker(agent: VoiceAgent, pool: ProviderPool) -> SecretKeys:
    """Return the keys by Secret, both sorted, so that the same spec always gives the same pod."""
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for ref in _refs_of(agent, pool):
        keys[ref.name].add(ref.key)
    return {name: tuple(sorted(keys[name])) for name in sorted(keys)}


def _refs_of(agent: VoiceAgent, pool: ProviderPool) -> Iterator[SecretKeyRef]:
    # The worker's own env takes its values through the kubelet; trunks are the operator's business.
    yield from refs_in(agent.spec.model_copy(update={"worker": None}))
    yield from refs_in(pool.spec.livekit)
    yield from refs_in(pool.spec.redis)
    for provider in _providers_of(agent, pool):
        yield from refs_in(provider)


def refs_in(value: object) -> Iterator[SecretKeyRef]:
    """Yield every key that a part of a spec refers to."""
    match value:
        case SecretKeyRef():
            yield value
        case BaseModel():
            for name in type(value).model_fields:
                yield from refs_in(getattr(value, name))
        case tuple() | list():
            for item in value:
                yield from refs_in(item)
        case dict():
            yield from refs_in(list(value.values()))
        case _:
            return


def _providers_of(agent: VoiceAgent, pool: ProviderPool) -> list[Provider]:
    """Return every provider that a call may reach, stand-ins included."""
    everyone: set[str] = set()
    named: set[tuple[str, str]] = set()
    for role, choice in _choices(agent):
        if choice.providers and not choice.fallback:
            named |= {(role, name) for name in choice.providers}
        else:
            everyone.add(role)
    return [p for p in pool.spec.providers if p.enabled and (p.role in everyone or (p.role, p.name) in named)]


def _choices(agent: VoiceAgent) -> Iterator[tuple[str, ModelChoice]]:
    for voice in (agent.spec.voice, *(named.voice for named in agent.spec.agents if named.voice)):
        yield from _choices_of_voice(voice)
    if agent.spec.analysis is not None:
        names = agent.spec.analysis.providers
        yield "Llm", ModelChoice(providers=names, fallback=not names)


def _choices_of_voice(voice: Voice) -> Iterator[tuple[str, ModelChoice]]:
    if voice.realtime is not None:
        yield "Realtime", voice.realtime
        if voice.realtime.tts is not None:
            yield "Tts", voice.realtime.tts
        return
    pipeline = voice.pipeline or Pipeline()
    yield "Stt", pipeline.stt
    yield "Llm", pipeline.llm
    yield "Tts", pipeline.tts
