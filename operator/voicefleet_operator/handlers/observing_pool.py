"""Gathering all that is known of a ProviderPool: who uses it, what their workers say, and what the probes found."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus

from voicefleet.access import asks_for_labels, may_use_pool
from voicefleet.api import ProviderPool
from voicefleet.manifests.secrets import refs_in
from voicefleet.names import Reason
from voicefleet.providers.alone import Sharing
from voicefleet.providers.fleet_view import ProviderView, view_pool
from voicefleet.providers.probing import Probed, probe_rules
from voicefleet.providers.users import PoolSeen, User
from voicefleet_operator.apiserver.kube import Body
from voicefleet_operator.errors import ApiError
from voicefleet_operator.handlers.observing_pods import pods_of
from voicefleet_operator.ports import Ports
from voicefleet_operator.turns.memory import PoolMemory
from voicefleet_operator.turns.workqueue import Key

_LOOK_SECONDS = 2.0
# To walk the words of ten thousand workers takes some tenths of a second of one core.
_LOOK_SECONDS_EACH = 0.001
_NOTED_AT_ONCE = 100


async def observe_pool(ports: Ports, key: Key, memory: PoolMemory, pool: ProviderPool) -> PoolSeen:
    """Gather all that is known of a pool."""
    now, rules = ports.now(), probe_rules(pool)
    allowed = [body for body in ports.cache.users_of(key.namespace, key.name) if await _may_use(ports, pool, body)]
    ports.probes.want(key, rules)
    if next_look(memory, now) <= timedelta():
        await _look(ports, memory, pool, allowed)
    secrets = {ref.name for ref in refs_in(pool.spec)}
    return PoolSeen(
        pool=pool,
        users=tuple(sorted((_user(body, secrets) for body in allowed), key=str)),
        views=_view(memory, pool, ports.probes.found(rule.address for rule in rules), now),
        has_workers=bool(memory.noted),
        sharing=memory.sharing.count(now.timestamp()) if pool.spec.redis is not None else Sharing(),
    )


async def _look(ports: Ports, memory: PoolMemory, pool: ProviderPool, agents: list[Body]) -> None:
    """Write down what all workers say, a few at a time: others have their turns in between."""
    uids, now = set[str](), ports.now()
    for agent in agents:
        namespace = agent["metadata"]["namespace"]
        for pod in pods_of(ports, Key("VoiceAgent", namespace, agent["metadata"]["name"])):
            uid = pod["metadata"]["uid"]
            if (heard := ports.workers.heard(uid)) is not None:
                uids.add(uid)
                memory.note(uid, namespace, heard)
                if len(uids) % _NOTED_AT_ONCE == 0:
                    await asyncio.sleep(0)
    memory.end_look(uids, {provider.name for provider in pool.spec.providers}, now)


def _view(
    memory: PoolMemory, pool: ProviderPool, probed: Mapping[str, Probed], now: datetime
) -> tuple[ProviderView, ...]:
    """Return how the providers are, worked out once for each look and each change of what the probes found."""
    version = (memory.looked_at, pool.metadata.generation, probed)
    if memory.views.value is None or memory.views.version != version:
        memory.views.version = version
        memory.views.value = view_pool(pool, memory.ledger, probed, now=now.timestamp())
    return memory.views.value


def next_look(memory: PoolMemory, now: datetime) -> timedelta:
    """Return how long to wait before the workers' words are walked again."""
    if memory.looked_at is None or not memory.noted:
        return timedelta()
    pause = timedelta(seconds=_LOOK_SECONDS + _LOOK_SECONDS_EACH * len(memory.noted))
    return memory.looked_at + pause - now


async def _may_use(ports: Ports, pool: ProviderPool, agent: Body) -> bool:
    namespace = agent["metadata"]["namespace"]
    return may_use_pool(pool, namespace, await _labels(ports, namespace) if asks_for_labels(pool, namespace) else {})


async def _labels(ports: Ports, namespace: str) -> dict[str, str]:
    """Return a namespace's labels; one that is gone by now has none, and is no reason to say nothing of the others."""
    try:
        return dict(await ports.cluster.read_namespace_labels(namespace))
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return {}
        raise


def _user(agent: Body, secrets: set[str]) -> User:
    metadata = agent["metadata"]
    return User(
        namespace=metadata["namespace"],
        name=metadata["name"],
        is_leaving="deletionTimestamp" in metadata,
        missing_secret=_missing_secret(agent, secrets),
        livekit_refuses=_words(agent, "Stalled", Reason.LIVEKIT_REFUSES),
        livekit_silent=_words(agent, "Ready", Reason.LIVEKIT_SILENT),
    )


def _words(agent: Body, kind: str, reason: Reason) -> str:
    """Return what an agent's status says for one reason."""
    conditions = agent.get("status", {}).get("conditions", [])
    return next((str(each["message"]) for each in conditions if (each["type"], each["reason"]) == (kind, reason)), "")


def _missing_secret(agent: Body, secrets: set[str]) -> str:
    """Return the words of an agent's status about a Secret of the pool that its workers wait for."""
    conditions = agent.get("status", {}).get("conditions", [])
    said = [
        each["message"] for each in conditions if each["status"] == "True" and each["reason"] == Reason.SECRET_MISSING
    ]
    return next((words for words in said if any(f"Secret {name!r}" in words for name in secrets)), "")
