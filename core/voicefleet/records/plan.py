"""From a VoiceAgent and its pool to what is kept of calls, and where it goes."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.providerpool.connections import Redis
from voicefleet.api.voiceagent import VoiceAgent
from voicefleet.api.voiceagent.records import RedisSink, Store, Transcript, WebhookSink
from voicefleet.records.making import Circumstances, PricedProvider
from voicefleet.records.record import RecordedAgent

_HASH_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class ToRedis:
    """Records go to a stream."""

    redis: Redis
    sink: RedisSink


@dataclass(frozen=True, slots=True)
class ToFiles:
    """Records go to files on the worker's own disk, the oldest of which go when there are too many."""

    kind: Literal["local"] = "local"


@dataclass(frozen=True, slots=True)
class ToStore:
    """Each record is a file in a store."""

    store: Store


Destination = ToRedis | WebhookSink | ToStore | ToFiles


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """What is kept of each call, and where it goes."""

    around: Circumstances
    destination: Destination
    transcript: Transcript
    account: str = ""
    """May hold variables in double braces."""

    @property
    def transcripts(self) -> Store | None:
        """Where transcripts are kept besides the records."""
        return self.transcript.store if self.transcript.enabled else None


def plan_records(agent: VoiceAgent, pool: ProviderPool, *, namespace: str) -> RecordPlan:
    """Decide what is kept of a call, and where it goes: to the pool's Redis if there is one."""
    billing, transcript = agent.spec.billing, agent.spec.transcript
    around = Circumstances(
        agent=RecordedAgent(namespace=namespace, name=agent.metadata.name),
        worker="",
        providers={each.name: PricedProvider(each.role, each.price) for each in pool.spec.providers},
        currency=pool.spec.currency,
        keeps_transcript=transcript.enabled,
        keeps_tool_calls=transcript.include_tool_calls,
        tags=billing.tags or {} if billing else {},
    )
    return RecordPlan(around, _destination(agent, pool), transcript, (billing.account or "") if billing else "")


def _destination(agent: VoiceAgent, pool: ProviderPool) -> Destination:
    billing, redis = agent.spec.billing, pool.spec.redis
    if billing is not None and billing.webhook is not None:
        return billing.webhook
    if billing is not None and billing.store is not None:
        return ToStore(billing.store)
    if redis is not None:
        return ToRedis(redis, (billing.redis if billing else None) or RedisSink())
    return ToFiles()


def prompt_hash(prompts: str) -> str:
    """Tell prompts from each other."""
    return hashlib.sha256(prompts.encode()).hexdigest()[:_HASH_CHARACTERS]
