"""One turn about a ProviderPool, with an outside in memory."""

import asyncio
import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from tests.operator.agent_turns import put_pool
from tests.operator.fakes import FakeCluster, FakeWorkers, build_ports
from tests.support.fleet import NOW, state
from tests.support.manifests import minimal
from tests.support.providers import MOMENT, opened, refused, word
from voicefleet.names import POOL_FINALIZER
from voicefleet.wire import ProviderWord
from voicefleet_operator.apiserver.kube import PODS, PROVIDER_POOLS, VOICE_AGENTS, Body
from voicefleet_operator.errors import ApiError
from voicefleet_operator.handlers.providerpool import reconcile_provider_pool
from voicefleet_operator.ports import GONE, Ports
from voicefleet_operator.turns.probing import Prober
from voicefleet_operator.turns.workqueue import Key

KEY = Key("ProviderPool", "voice", "pool")
HELD = f"finalizers pool ['{POOL_FINALIZER}']"
AGENT = minimal("VoiceAgent")


@dataclass
class World:
    ports: Ports
    cluster: FakeCluster
    workers: FakeWorkers
    later: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return NOW + self.later

    async def turn(self, *, after: float = 0) -> list[str]:
        """Take one turn some seconds later and return what it wrote."""
        self.later += timedelta(seconds=after)
        self.cluster.writes.clear()
        self.look_again = await reconcile_provider_pool(KEY, self.ports)
        return list(self.cluster.writes)

    def apply_pool(self, **spec: object) -> None:
        put_pool(self.cluster, **spec)

    def apply_agent(self, name: str = "desk", namespace: str = "voice", **status: object) -> Body:
        """Let an agent with one worker use the pool."""
        manifest = copy.deepcopy(AGENT)
        manifest["metadata"] |= {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}"}
        manifest["spec"]["providerPoolRef"] = {"name": "pool", "namespace": "voice"}
        agent = self.cluster.put(VOICE_AGENTS, {**manifest, "status": status})
        owner = {"uid": agent["metadata"]["uid"]}
        pod = {"name": f"{name}-0", "namespace": namespace, "uid": f"uid-{namespace}-{name}-0"}
        labels = {"voicefleet.dev/agent": name}
        self.cluster.put(PODS, {"metadata": {**pod, "labels": labels, "ownerReferences": [owner]}, "spec": {}})
        return agent

    def say(
        self, *words: ProviderWord, agent: str = "desk", namespace: str = "voice", shares: bool | None = None
    ) -> None:
        self.workers.states[f"uid-{namespace}-{agent}-0"] = state(providers=words, shares_health=shares)
        self.workers.said_at = self.now()

    def pool(self) -> Body | None:
        return self.ports.cache.pools.get("voice", "pool")

    def status(self) -> Body:
        pool = self.pool()
        assert pool is not None
        status: Body = pool["status"]
        return status

    def condition(self, kind: str) -> str:
        found = next(c for c in self.status()["conditions"] if c["type"] == kind)
        return f"{found['status']} {found['reason']}"

    def words(self, kind: str) -> str:
        return str(next(c["message"] for c in self.status()["conditions"] if c["type"] == kind))

    def state_of(self, name: str) -> str:
        return str(next(each["state"] for each in self.status()["providers"] if each["name"] == name))

    def in_use(self) -> int:
        return int(self.status()["providers"][0]["inUse"])

    def delete_pool(self) -> None:
        pool = self.pool()
        assert pool is not None
        metadata = {**pool["metadata"], "deletionTimestamp": "2026-03-02T12:00:00Z"}
        self.cluster.put(PROVIDER_POOLS, {**pool, "metadata": metadata})


@pytest.fixture
def world() -> World:
    ports, cluster, workers = build_ports()
    world = World(ports, cluster, workers)
    world.ports = replace(ports, now=world.now, probes=Prober(chance=lambda: 0.0))
    return world


async def test_what_workers_say_of_providers_is_in_the_status(world: World) -> None:
    world.apply_pool()
    world.apply_agent()
    world.say(word("deepgram", requests=3, in_use=2), word("openai", requests=1), opened("cartesia"))

    await world.turn()

    assert [world.state_of(name) for name in ("deepgram", "openai", "cartesia")] == ["Closed", "Closed", "Open"]
    assert world.in_use() == 2
    assert world.condition("Ready") == "False JobWithoutProvider"
    assert ("Warning", "JobWithoutProvider") in [(note.kind, note.reason) for note in world.cluster.told]


async def test_of_agents_that_may_not_use_the_pool_none_counts(world: World) -> None:
    world.apply_pool()
    world.apply_agent("stranger", "elsewhere")
    world.say(opened("deepgram"), agent="stranger", namespace="elsewhere")

    assert await world.turn() == ["status pool"]
    assert (world.status()["agents"], world.state_of("deepgram")) == (0, "Unknown")

    world.apply_pool(allowedNamespaces={"names": ["elsewhere"]})
    await world.turn(after=5)

    assert (world.status()["agents"], world.state_of("deepgram")) == (1, "Open")


async def test_a_namespace_is_let_in_by_its_labels_and_one_that_is_gone_keeps_nobody_else_out(world: World) -> None:
    world.apply_pool(allowedNamespaces={"matchLabels": {"tier": "voice"}})
    world.apply_agent()
    world.apply_agent("guest", "sales")
    world.cluster.labels = {"tier": "voice"}
    await world.turn()
    assert world.status()["agents"] == 2

    async def gone(_name: str) -> dict[str, str]:
        raise ApiError(404, "NotFound", "namespaces not found")

    world.cluster.read_namespace_labels = gone  # type: ignore[method-assign, assignment]
    await world.turn(after=5)

    assert world.status()["agents"] == 1


async def test_a_pool_that_is_used_is_held_back_and_goes_with_its_last_user(world: World) -> None:
    world.apply_pool()
    agent = world.apply_agent()
    assert await world.turn() == [HELD, "status pool"]
    world.delete_pool()

    assert await world.turn(after=5) == ["status pool"]
    assert world.condition("Stalled") == "True InUse"
    assert ("Warning", "InUse") in [(note.kind, note.reason) for note in world.cluster.told]

    (pool_key, *_) = [
        key for key in world.ports.cache.observe(VOICE_AGENTS, agent, gone=True) if key.kind == "ProviderPool"
    ]
    assert pool_key == KEY
    assert await world.turn(after=5) == ["finalizers pool []"]
    assert world.pool() is None
    await world.turn()
    assert world.look_again == GONE
    assert world.ports.pools == {}


async def test_a_stranger_holds_no_pool_back(world: World) -> None:
    world.apply_pool()
    world.apply_agent("stranger", "elsewhere")
    await world.turn()
    pool = world.pool()
    assert pool is not None
    assert "finalizers" not in pool["metadata"]


async def test_a_pool_that_nobody_uses_any_more_needs_no_operator_to_go(world: World) -> None:
    world.apply_pool()
    agent = world.apply_agent()
    await world.turn()
    world.ports.cache.observe(VOICE_AGENTS, agent, gone=True)

    assert await world.turn(after=5) == ["finalizers pool []", "status pool"]


async def test_a_pool_that_cannot_be_read_is_told_and_held_by_its_own_namespace(world: World) -> None:
    world.apply_pool(providers=[])
    world.apply_agent()

    assert await world.turn() == [HELD, "status pool"]
    assert world.condition("Stalled") == "True InvalidSpec"


async def test_a_pool_that_cannot_be_read_any_more_is_still_held_for_whom_it_had_let_in(world: World) -> None:
    """An operator that was set back to an older version may not know what is new in a spec."""
    world.apply_pool(allowedNamespaces={"names": ["elsewhere"]})
    guest = world.apply_agent("guest", "elsewhere")
    await world.turn()
    pool = world.pool()
    assert pool is not None
    spec = {**pool["spec"], "providers": []}
    world.cluster.put(PROVIDER_POOLS, {**pool, "spec": spec, "metadata": {**pool["metadata"], "generation": 0}})
    world.delete_pool()

    assert await world.turn(after=5) == ["status pool"]
    assert world.condition("Stalled") == "True InvalidSpec"

    world.ports.cache.observe(VOICE_AGENTS, guest, gone=True)
    assert await world.turn(after=5) == ["finalizers pool []"]
    assert world.pool() is None


async def test_figures_are_written_every_thirty_seconds_and_a_new_state_at_once(world: World) -> None:
    world.apply_pool()
    world.apply_agent()
    world.say(word("deepgram", requests=1, in_use=1))
    await world.turn()
    quiet = []
    for number in range(2, 8):
        world.say(word("deepgram", requests=number, in_use=number))
        quiet += await world.turn(after=4.9)

    assert (quiet, world.in_use()) == ([], 1)
    assert world.look_again == timedelta(seconds=30)

    assert await world.turn(after=0.6) == ["status pool"]
    assert world.in_use() == 7

    world.say(opened("deepgram", in_use=8))
    assert await world.turn(after=2.1) == ["status pool"]
    assert (world.state_of("deepgram"), world.in_use()) == ("Open", 8)


async def test_words_are_walked_no_more_often_than_every_two_seconds_and_none_is_lost(world: World) -> None:
    world.apply_pool()
    world.apply_agent()
    world.say(word("deepgram", requests=1))
    await world.turn()
    world.say(opened("deepgram", since=MOMENT))

    assert await world.turn(after=1) == []
    assert world.look_again == timedelta(seconds=1.001)

    assert await world.turn(after=1.001) == ["status pool"]
    assert world.state_of("deepgram") == "Open"


async def test_a_worker_that_falls_silent_says_nothing_after_fifteen_seconds(world: World) -> None:
    world.apply_pool()
    world.apply_agent()
    world.say(refused("deepgram"))
    await world.turn()
    assert world.condition("CredentialsAccepted") == "False CredentialsRefused"

    assert world.look_again is not None
    await world.turn(after=world.look_again.total_seconds())

    assert world.state_of("deepgram") == "Unknown"


async def test_a_worker_that_is_gone_is_not_alone(world: World) -> None:
    world.apply_pool(redis={"url": "redis://redis:6379"})
    world.apply_agent()
    for _ in range(3):
        world.say(word("deepgram"), shares=False)
        await world.turn(after=10)
    assert "1 of 1 workers" in world.words("Ready")

    pod = world.ports.cache.pods.get("voice", "desk-0")
    assert pod is not None
    world.ports.cache.observe(PODS, pod, gone=True)
    await world.turn(after=3)

    assert "alone" not in world.words("Ready")


async def test_a_secret_of_the_pool_that_workers_wait_for_is_told_and_one_of_the_agent_is_not(world: World) -> None:
    def stalled(message: str) -> list[dict[str, str]]:
        return [{"type": "Stalled", "status": "True", "reason": "SecretMissing", "message": message}]

    world.apply_pool()
    world.apply_agent("own", conditions=stalled("Secret 'crm' does not exist in namespace 'voice': create it."))
    await world.turn()
    assert world.condition("ReferencesResolved") == "Unknown NothingKnown"

    words = "Secret 'deepgram' in namespace 'voice' lacks key 'api-key': add it, and workers start."
    world.apply_agent("desk", conditions=stalled(words))
    await world.turn(after=5)

    assert world.condition("ReferencesResolved") == "False SecretMissing"
    assert words in str(world.status()["conditions"])


async def test_a_worker_that_goes_on_without_the_pools_redis_is_told_until_it_shares_again(world: World) -> None:
    world.apply_pool(redis={"url": "redis://redis:6379"})
    world.apply_agent()
    world.apply_agent("night")
    alone = "1 of 2 workers decides alone: it does not reach the pool's Redis"

    async def hear(*, shares: bool, after: float) -> str:
        world.say(word("deepgram"), agent="night", shares=True)
        world.say(word("deepgram"), shares=shares)
        await world.turn(after=after)
        return world.words("Ready")

    assert alone not in await hear(shares=False, after=0)
    assert alone not in await hear(shares=False, after=10)
    assert alone in await hear(shares=False, after=5)
    assert alone not in await hear(shares=True, after=5)


async def test_where_the_pool_names_no_redis_nobody_is_alone(world: World) -> None:
    world.apply_pool()
    world.apply_agent()
    for _ in range(3):
        # Of a revision that had one.
        world.say(word("deepgram"), shares=False)
        await world.turn(after=10)

    assert "alone" not in world.words("Ready")


async def test_what_the_probes_find_is_in_the_status_and_a_pool_that_is_gone_is_probed_no_more(world: World) -> None:
    world.apply_pool()
    await world.turn()

    await probe_in_vain(world)
    await world.turn(after=5)
    assert [world.state_of(name) for name in ("deepgram", "openai", "cartesia")] == ["Unreachable"] * 3

    pool = world.pool()
    assert pool is not None
    world.ports.cache.observe(PROVIDER_POOLS, pool, gone=True)
    await world.turn()

    assert world.ports.probes.addresses == []


async def test_what_the_probes_find_counts_at_once_although_the_workers_were_just_heard(world: World) -> None:
    world.apply_pool()
    world.apply_agent()
    world.say(word("deepgram"))
    await world.turn()
    assert world.state_of("deepgram") == "Unknown"

    await probe_in_vain(world)
    await world.turn(after=0.5)

    assert world.state_of("deepgram") == "Unreachable"


async def test_a_worker_that_is_gone_says_nothing_more(world: World) -> None:
    world.apply_pool()
    world.apply_agent()
    world.say(opened("deepgram"))
    await world.turn()
    assert world.state_of("deepgram") == "Open"

    pod = world.ports.cache.pods.get("voice", "desk-0")
    assert pod is not None
    world.ports.cache.observe(PODS, pod, gone=True)
    await world.turn(after=3)

    assert world.state_of("deepgram") == "Unknown"


async def probe_in_vain(world: World) -> None:
    """Have every address probed once, with nobody there."""

    async def nobody(_address: str, _timeout_seconds: float) -> str:
        return "connection refused"

    probes = world.ports.probes
    probing = asyncio.create_task(probes.run(nobody))
    while len(probes.found(probes.addresses)) < len(probes.addresses):  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0)
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)


@pytest.mark.parametrize(
    ("kind", "reason", "summary"),
    [
        pytest.param("Stalled", "LiveKitRefuses", "LiveKit refuses the key", id="a key that LiveKit refuses"),
        pytest.param("Ready", "LiveKitSilent", "LiveKit is not reached", id="a LiveKit that is away"),
    ],
)
async def test_what_agents_say_of_livekit_stands_in_their_pools_line(
    world: World, kind: str, reason: str, summary: str
) -> None:
    world.apply_pool()
    world.apply_agent(conditions=[{"type": kind, "status": "x", "reason": reason, "message": "LiveKit at …"}])
    await world.turn()

    assert summary in world.status()["summary"]
