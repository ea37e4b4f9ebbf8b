"""One turn about one object, with an outside in memory."""

import asyncio
import copy
import itertools
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from tests.operator.fakes import FakeCluster, FakeWorkers, build_ports, resource
from tests.support.fleet import NOW, state
from tests.support.manifests import minimal, sample
from voicefleet.names import ANNOTATION_REFRESHED_AT, ANNOTATION_SECRETS_CHANGED, FINALIZER
from voicefleet_operator.errors import ApiError
from voicefleet_operator.handlers.providerpool import reconcile_provider_pool
from voicefleet_operator.handlers.voiceagent import reconcile_voice_agent
from voicefleet_operator.kube import PODS, PROVIDER_POOLS, VOICE_AGENTS, Body
from voicefleet_operator.pacing import Pacer
from voicefleet_operator.ports import Ports
from voicefleet_operator.workqueue import Key

POOL = sample("providerpool")
GENERATIONS = itertools.count(1)
KEY = Key("VoiceAgent", "voice", "desk")


@dataclass(frozen=True)
class World:
    ports: Ports
    cluster: FakeCluster
    workers: FakeWorkers

    async def turn(self) -> list[str]:
        """Take one turn and return what it wrote."""
        self.cluster.writes.clear()
        await reconcile_voice_agent(KEY, self.ports)
        return list(self.cluster.writes)

    def apply(self, **spec: object) -> Body:
        before = self.ports.cache.agents.get("voice", "desk")
        manifest = minimal("VoiceAgent")
        manifest["metadata"] |= {
            "name": "desk",
            "finalizers": before["metadata"].get("finalizers", []) if before else [],
        }
        body = resource(manifest, **spec)
        body["metadata"]["generation"] = next(GENERATIONS)
        return self.cluster.put(VOICE_AGENTS, {**body, "status": before["status"]} if before else body)

    async def run(self, **spec: object) -> None:
        """Bring a fleet up."""
        await self.come_up(calls=0, **spec)
        await self.turn()

    async def come_up(self, *, calls: int, **spec: object) -> None:
        """Let workers come up that hold calls, of which no turn knows yet."""
        self.apply(**spec)
        self.apply_pool()
        await self.turn()
        self.cluster.run_pods()
        self.everybody_says(calls=calls)

    def delete(self) -> None:
        """Ask for the agent to go."""
        agent = self.ports.cache.agents.get("voice", "desk")
        assert agent is not None
        metadata = {**agent["metadata"], "deletionTimestamp": "2026-03-02T12:00:00Z"}
        self.cluster.put(VOICE_AGENTS, {**agent, "metadata": metadata})

    def message(self, kind: str) -> str:
        """Return what a condition says."""
        found = next(c for c in self.status()["conditions"] if c["type"] == kind)
        return str(found["message"])

    def apply_pool(self, **spec: object) -> None:
        manifest = copy.deepcopy(POOL)
        manifest["metadata"]["name"] = "pool"
        body = resource(manifest, **spec)
        body["metadata"]["generation"] = next(GENERATIONS)
        self.cluster.put(PROVIDER_POOLS, body)

    def everybody_says(self, *, calls: int) -> None:
        for pod in self.ports.cache.pods:
            self.workers.states[pod["metadata"]["uid"]] = state(calls=calls)

    def status(self) -> Body:
        agent = self.ports.cache.agents.get("voice", "desk")
        assert agent is not None
        status: Body = agent["status"]
        return status

    def condition(self, kind: str) -> str:
        found = next(c for c in self.status()["conditions"] if c["type"] == kind)
        return f"{found['status']} {found['reason']}"


@pytest.fixture
def world() -> World:
    return World(*build_ports())


async def test_the_first_turn_makes_what_is_missing_and_says_so(world: World) -> None:
    world.apply()
    world.apply_pool()

    writes = await world.turn()

    (pod,) = world.ports.cache.pods
    revision = pod["metadata"]["labels"]["voicefleet.dev/revision"]
    assert writes == [
        "create desk-control",
        "apply ServiceAccount/desk-worker",
        f"apply ConfigMap/desk-{revision}",
        "apply NetworkPolicy/desk-worker",
        f"create desk-{revision}-0",
        "status desk",
    ]
    assert world.condition("Reconciling") == "True WorkersStarting"


async def test_a_settled_fleet_is_not_written_to(world: World) -> None:
    await world.come_up(calls=0)
    await world.turn()

    assert await world.turn() == []
    assert world.condition("Ready") == "True Ready"


async def test_a_change_of_calls_marks_the_pod_and_tells_it(world: World) -> None:
    await world.come_up(calls=5)

    writes = await world.turn()

    assert [write.split()[0] for write in writes] == ["apply", "mark", "finalizers", "status"]
    assert writes[0] == "apply PodDisruptionBudget/desk-busy"
    assert (world.status()["calls"], world.status()["freeSlots"]) == (5, 7)


async def test_that_secrets_have_changed_is_written_on_running_pods_once_and_on_new_ones_from_the_start(
    world: World,
) -> None:
    await world.run()
    agent = world.ports.cache.agents.get("voice", "desk")
    assert agent is not None
    noted = {**agent["metadata"], "annotations": {ANNOTATION_SECRETS_CHANGED: "monday"}}
    world.cluster.put(VOICE_AGENTS, {**agent, "metadata": noted})

    (first,) = world.ports.cache.pods
    assert await world.turn() == [f"annotate {first['metadata']['name']}"]
    assert await world.turn() == []

    grown = {"metadata": {**noted, "generation": next(GENERATIONS)}, "spec": {**agent["spec"], "scaling": {"min": 2}}}
    world.cluster.put(VOICE_AGENTS, {**agent, **grown})
    await world.turn()
    words = [pod["metadata"]["annotations"][ANNOTATION_SECRETS_CHANGED] for pod in world.ports.cache.pods]
    assert words == ["monday", "monday"]


async def test_the_first_worker_that_sees_new_secrets_is_enough_and_the_others_are_written_to_once(
    world: World,
) -> None:
    await world.run(scaling={"min": 3})
    assert await world.turn() == []
    seeing, *others = world.ports.cache.pods
    said = world.workers.states[seeing["metadata"]["uid"]]
    world.workers.states[seeing["metadata"]["uid"]] = said.model_copy(update={"secrets_changed_seconds_ago": 0.5})

    assert await world.turn() == [f"annotate {pod['metadata']['name']}" for pod in others]
    assert await world.turn() == []
    noted = [pod["metadata"]["annotations"].get(ANNOTATION_REFRESHED_AT) for pod in world.ports.cache.pods]
    assert noted == [None, "2026-03-02T12:00:00Z", "2026-03-02T12:00:00Z"]
    assert not any(ANNOTATION_SECRETS_CHANGED in pod["metadata"]["annotations"] for pod in world.ports.cache.pods)


async def test_a_suspended_fleet_empties_in_three_turns(world: World) -> None:
    await world.come_up(calls=0)
    await world.turn()

    world.apply(suspend=True)
    told = await world.turn()
    left = await world.turn()

    assert [write.split()[0] for write in told] == ["status"]
    assert [write.split()[0] for write in left] == ["delete", "status"]
    assert world.status()["summary"] == "1 worker, 0 calls, 1 cordoned, Suspended"
    await world.turn()
    assert world.condition("Ready") == "False Suspended"


async def test_an_agent_without_workers_stays_guarded_and_is_left_alone(world: World) -> None:
    await world.run(scaling={"max": 1})
    world.apply(suspend=True, scaling={"max": 1})
    for _ in range(4):
        await world.turn()

    assert list(world.ports.cache.pods) == []
    assert world.status()["childrenDigest"] != ""
    assert await world.turn() == []


NOBODY = {"voice": {"pipeline": {"llm": {"providers": ["nobody"]}}}}


async def test_callers_notice_nothing_of_a_spec_that_cannot_be_had(world: World) -> None:
    """Workers of the revision before are made as calls come, and leave as they go."""
    await world.run()
    (pod,) = world.ports.cache.pods
    revision = pod["metadata"]["labels"]["voicefleet.dev/revision"]

    world.apply(**NOBODY, worker={"sessionsPerWorker": 200})
    world.everybody_says(calls=12)
    writes = await world.turn()

    created = [write.removeprefix("create ") for write in writes if write.startswith("create")]
    assert created
    assert all(name.startswith(f"desk-{revision}-") for name in created)
    assert world.condition("Stalled") == "True InvalidSpec"
    assert world.message("Ready").endswith(f" Until then the fleet goes on with revision {revision}.")
    assert world.status()["revision"] == revision

    world.cluster.run_pods()
    world.everybody_says(calls=0)
    later = replace(world.ports, now=lambda: NOW + timedelta(hours=1))
    world.workers.said_at = later.now()
    for _ in range(4):
        await reconcile_voice_agent(KEY, later)
    assert len(world.ports.cache.pods) == 1


async def test_of_a_pool_that_is_withheld_nobody_gets_another_worker(world: World) -> None:
    here = {"name": "pool", "namespace": "there"}
    world.apply(providerPoolRef=here)
    pool = resource({**POOL, "metadata": {"name": "pool", "namespace": "there"}}, allowedNamespaces={"all": True})
    world.cluster.put(PROVIDER_POOLS, pool)
    await world.turn()
    world.cluster.run_pods()
    world.everybody_says(calls=12)
    withheld = {**pool, "metadata": {**pool["metadata"], "generation": 2}, "spec": POOL["spec"]}
    world.cluster.put(PROVIDER_POOLS, withheld)

    assert not [write for write in await world.turn() if write.startswith("create")]
    assert world.condition("Stalled") == "True PoolForbidden"


async def test_an_agent_that_is_being_deleted_gets_no_new_workers(world: World) -> None:
    agent = world.apply()
    world.apply_pool()
    metadata = {**agent["metadata"], "finalizers": [FINALIZER], "deletionTimestamp": "2026-03-02T12:00:00Z"}
    world.cluster.put(VOICE_AGENTS, {**agent, "metadata": metadata})

    assert await world.turn() == ["finalizers desk []"]
    assert world.ports.cache.agents.get("voice", "desk") is None


async def test_an_agent_that_is_being_deleted_waits_for_its_calls(world: World) -> None:
    await world.run(scaling={"max": 1})
    world.everybody_says(calls=1)
    await world.turn()
    world.delete()

    assert await world.turn() == ["status desk"]
    assert world.condition("Reconciling") == "True Deleting"
    assert "waits for 1 call to end" in world.message("Reconciling")
    assert [worker.cordoned for worker in world.workers.states.values()] == [True]

    (uid,) = world.workers.states
    world.workers.states[uid] = world.workers.states[uid].model_copy(update={"sessions": ()})
    # Guarded as long as it is marked busy, so it is marked first.
    assert [write.split()[0] for write in await world.turn()] == ["mark", "status"]
    assert [write.split()[0] for write in await world.turn()] == ["delete"]
    assert await world.turn() == ["finalizers desk []"]


async def test_whoever_deletes_in_haste_does_not_wait(world: World) -> None:
    await world.run(deletionPolicy="Now", scaling={"max": 1})
    world.everybody_says(calls=1)
    await world.turn()
    world.delete()

    assert [write.split()[0] for write in await world.turn()] == ["end", "status"]
    assert await world.turn() == ["finalizers desk []"]


async def test_an_agent_that_cannot_be_read_can_be_deleted_and_loses_no_call(world: World) -> None:
    await world.run()
    world.everybody_says(calls=1)
    world.apply(agents=[])
    await world.turn()
    world.delete()

    assert "finalizers desk []" not in await world.turn()
    assert [worker.cordoned for worker in world.workers.states.values()] == [True]
    world.workers.states = {uid: state(cordoned=True) for uid in world.workers.states}
    await world.turn()
    await world.turn()
    assert await world.turn() == ["finalizers desk []"]


async def test_what_is_remembered_of_an_agent_goes_with_it(world: World) -> None:
    await world.run()
    agent = world.ports.cache.agents.get("voice", "desk")
    assert agent is not None
    world.ports.cache.observe(VOICE_AGENTS, agent, gone=True)

    await world.turn()

    assert world.ports.memories == {}
    assert world.cluster.forgotten == [agent["metadata"]["uid"]]


async def test_pods_of_a_namesake_that_is_gone_are_not_counted(world: World) -> None:
    world.apply()
    world.apply_pool()
    stranger = {"labels": {"voicefleet.dev/agent": "desk"}, "ownerReferences": [{"uid": "another"}]}
    world.cluster.put(PODS, {"metadata": {"name": "desk-old-0", **stranger}, "spec": {}, "status": {}})

    await world.turn()

    assert world.status()["replicas"] == 0
    assert "uid-desk-old-0" not in world.workers.followed[KEY]


async def test_a_spec_that_this_version_refuses_is_told_and_touches_nothing(world: World) -> None:
    world.apply(agents=[])

    assert await world.turn() == ["status desk"]
    assert world.condition("Stalled") == "True InvalidSpec"
    assert await world.turn() == []


async def test_calls_are_guarded_even_if_the_spec_cannot_be_read(world: World) -> None:
    await world.come_up(calls=4)

    world.apply(agents=[])

    assert [write.split()[0] for write in await world.turn()] == ["apply", "mark", "status"]
    assert world.status()["calls"] == 4


async def test_pods_without_calls_need_no_guard(world: World) -> None:
    await world.run()

    assert not any(name.startswith("PodDisruptionBudget") for name in world.cluster.applied)


async def test_a_guard_that_the_cluster_refuses_keeps_no_pod_from_being_marked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.come_up(calls=4)
    world.apply(agents=[])

    async def refuse(_manifest: Body) -> None:
        raise ApiError(403, "Forbidden", "not you")

    monkeypatch.setattr(world.cluster, "apply", refuse)
    with pytest.raises(ApiError):
        await world.turn()

    assert [write.split()[0] for write in world.cluster.writes] == ["mark", "status"]
    assert world.condition("Stalled") == "True InvalidSpec"


async def test_a_child_that_could_not_be_made_is_not_told_of_as_if_it_were(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.apply()
    world.apply_pool()

    async def time_out(_manifest: Body) -> None:
        raise ApiError(0, "TimeoutError", "")

    with monkeypatch.context() as patched:
        patched.setattr(world.cluster, "apply", time_out)
        with pytest.raises(ApiError):
            await world.turn()
    assert world.status().get("childrenDigest") is None

    await world.turn()
    assert world.status()["childrenDigest"] != ""


async def test_a_new_operator_finds_the_guard_that_its_predecessor_made(world: World) -> None:
    await world.run()
    world.everybody_says(calls=5)
    await world.turn()
    await world.turn()
    world.cluster.applied.clear()

    assert await world.turn() == []
    assert "PodDisruptionBudget/desk-busy" in world.cluster.applied


WEBHOOK = 'Internal error occurred: failed calling webhook "pods.example.com": connection refused'


@pytest.mark.parametrize(
    "refusal", [ApiError(403, "Forbidden", "exceeded quota: pods"), ApiError(500, "InternalError", WEBHOOK)], ids=str
)
async def test_a_cluster_that_refuses_pods_keeps_no_call_from_being_guarded_and_nobody_in_the_dark(
    world: World, monkeypatch: pytest.MonkeyPatch, refusal: ApiError
) -> None:
    await world.come_up(calls=12)

    async def refuse(_manifest: Body) -> None:
        raise refusal

    async def be_too_late(*_: object) -> None:
        raise ApiError(409, "Conflict", "")

    monkeypatch.setattr(world.cluster, "create_pod", refuse)
    monkeypatch.setattr(world.cluster, "set_finalizers", be_too_late)
    with pytest.raises(ApiError):
        await world.turn()

    assert [write.split()[0] for write in world.cluster.writes] == ["apply", "mark", "status"]
    assert world.condition("Stalled") == "True RefusedByCluster"
    assert str(refusal) in world.message("Stalled")
    assert world.condition("Ready") == "True Ready"


async def test_a_worker_that_speaks_at_the_last_moment_is_not_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.come_up(calls=0)
    world.apply(suspend=True)
    await world.turn()

    async def take_a_call_meanwhile(_manifest: Body) -> None:
        world.everybody_says(calls=1)

    monkeypatch.setattr(world.cluster, "apply", take_a_call_meanwhile)

    assert [write for write in await world.turn() if write.startswith("delete")] == []


async def test_a_pod_that_ended_tomorrow_by_its_nodes_clock_is_replaced_today(world: World) -> None:
    await world.run()
    (pod,) = world.ports.cache.pods
    terminated = {"exitCode": 1, "finishedAt": (NOW + timedelta(days=1)).isoformat()}
    status = {"phase": "Failed", "containerStatuses": [{"name": "worker", "state": {"terminated": terminated}}]}
    world.cluster.put(PODS, {**pod, "status": status})
    assert not any(write.startswith("delete") for write in await world.turn())

    await reconcile_voice_agent(KEY, replace(world.ports, now=lambda: NOW + timedelta(seconds=10)))

    assert f"delete {pod['metadata']['name']}" in world.cluster.writes


async def test_a_missing_secret_is_found_in_the_pods_events(world: World) -> None:
    world.apply()
    world.apply_pool()
    await world.turn()
    (pod,) = world.ports.cache.pods
    waiting = {"name": "worker", "state": {"waiting": {"reason": "ContainerCreating"}}}
    status = {"phase": "Pending", "containerStatuses": [waiting]}
    world.cluster.put(PODS, {**pod, "spec": {**pod["spec"], "nodeName": "node"}, "status": status})
    message = 'MountVolume.SetUp failed for volume "secret-0" : secret "livekit" not found'
    world.cluster.events = [{"reason": "FailedMount", "message": message}]

    await world.turn()

    assert world.condition("Stalled") == "True SecretMissing"


async def test_a_pool_may_be_shared_by_the_labels_of_a_namespace(world: World) -> None:
    world.apply(providerPoolRef={"name": "pool", "namespace": "shared"})
    manifest = copy.deepcopy(POOL)
    manifest["metadata"] = {"name": "pool", "namespace": "shared"}
    world.cluster.put(PROVIDER_POOLS, resource(manifest, allowedNamespaces={"matchLabels": {"tier": "voice"}}))

    await world.turn()
    assert world.condition("Stalled") == "True PoolForbidden"

    world.cluster.labels = {"tier": "voice", "more": "labels"}
    await world.turn()
    assert world.condition("Stalled") == "False AsWanted"


async def test_workers_of_an_agent_that_is_gone_are_heard_no_more(world: World) -> None:
    assert await world.turn() == []
    assert world.workers.followed == {KEY: {}}


async def test_a_pool_counts_who_uses_it_and_is_written_once(world: World) -> None:
    world.apply()
    world.apply_pool()
    key = Key("ProviderPool", "voice", "pool")

    await reconcile_provider_pool(key, world.ports)
    await reconcile_provider_pool(key, world.ports)

    assert world.cluster.writes == ["finalizers pool ['voicefleet.dev/in-use']", "status pool"]
    pool = world.ports.cache.pools.get("voice", "pool")
    assert pool is not None
    assert pool["status"]["agents"] == 1


async def test_a_second_word_within_two_seconds_waits_and_is_not_lost(world: World) -> None:
    clock = iter([0.0, 0.0, 1.5, 2.1, 2.1])
    ports = replace(world.ports, pacer=Pacer(clock=clock.__next__))
    world.apply_pool()
    key = Key("ProviderPool", "voice", "pool")

    await reconcile_provider_pool(key, ports)
    world.apply()
    early = await reconcile_provider_pool(key, ports)

    assert early == timedelta(seconds=0.5)
    assert agents_of(world) == 0
    assert await reconcile_provider_pool(key, ports) is None
    assert agents_of(world) == 1


def agents_of(world: World) -> int:
    pool = world.ports.cache.pools.get("voice", "pool")
    assert pool is not None
    return int(pool["status"]["agents"])


async def test_callers_who_found_no_slot_are_looked_for_and_told_of_until_they_have_one(world: World) -> None:
    await world.run(scaling={"max": 1})
    world.everybody_says(calls=12)
    world.workers.waiting = 2
    world.workers.looks.clear()

    await reconcile_voice_agent(KEY, replace(world.ports, now=lambda: NOW + timedelta(seconds=5)))
    assert [(look.order.hold_seconds, look.order.room) for look in world.workers.looks] == [(15, 0)]

    await reconcile_voice_agent(KEY, replace(world.ports, now=lambda: NOW + timedelta(seconds=6)))
    assert world.status()["waitingCalls"] == 2
    assert "2 waiting for a slot" in world.status()["summary"]

    world.everybody_says(calls=9)
    await reconcile_voice_agent(KEY, replace(world.ports, now=lambda: NOW + timedelta(seconds=7)))
    assert world.workers.looks[-1].order.room == 3
    assert world.workers.waiting == 0


async def test_whoever_wants_no_holding_is_not_looked_for(world: World) -> None:
    await world.run(scaling={"max": 1, "holdSeconds": 0})
    world.everybody_says(calls=12)

    await world.turn()

    assert not world.workers.looks


async def test_a_look_that_nobody_answers_is_taken_again(world: World) -> None:
    await world.run(scaling={"max": 1})
    world.workers.waiting = None
    world.everybody_says(calls=12)
    for second in (5, 6):
        await reconcile_voice_agent(KEY, replace(world.ports, now=lambda at=second: NOW + timedelta(seconds=at)))

    assert len(world.workers.looks) >= 2
    assert "waitingCalls" not in world.status() or world.status()["waitingCalls"] == 0


async def test_another_agent_of_the_pool_watches_for_callers_of_a_fleet_without_workers(world: World) -> None:
    manifest = minimal("VoiceAgent")
    manifest["metadata"]["name"] = "other"
    world.cluster.put(VOICE_AGENTS, resource(manifest))
    world.apply_pool()
    await reconcile_voice_agent(Key("VoiceAgent", "voice", "other"), world.ports)
    world.cluster.run_pods()
    world.everybody_says(calls=12)
    (watchman,) = world.ports.cache.pods
    world.apply(scaling={"min": 0, "scaleToZero": True})

    await world.turn()

    (look,) = world.workers.looks
    assert (look.pod.name, look.order.agent, look.order.room) == (watchman["metadata"]["name"], "voice.desk", 0)


async def test_a_fleet_that_may_not_sleep_asks_nobody_else(world: World) -> None:
    world.apply()
    world.apply_pool()

    await world.turn()

    assert not world.workers.looks


async def test_workers_open_while_the_apiserver_takes_its_time_for_guards(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write may take four seconds, and a fleet whose calls rise has many to make while callers wait for a slot."""
    await world.run(scaling={"min": 2})
    world.workers.states = {uid: state(calls=1, cordoned=True) for uid in world.workers.states}
    answered = asyncio.Event()
    monkeypatch.setattr(world.cluster, "mark_pod", lambda _namespace, _mark: answered.wait())

    turn = asyncio.create_task(world.turn())
    async with asyncio.timeout(5):
        while any(said.cordoned for said in world.workers.states.values()):  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.01)

    assert not turn.done()
    turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
