"""Turns about an agent whose spec cannot be had, or whose cluster refuses what is written."""

import copy
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.operator.agent_turns import KEY, POOL, World
from tests.operator.fakes import resource
from tests.support.fleet import NOW, state
from voicefleet_operator.apiserver.kube import PROVIDER_POOLS, Body
from voicefleet_operator.errors import ApiError
from voicefleet_operator.handlers.voiceagent import reconcile_voice_agent

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


async def test_a_worker_is_called_back_only_when_a_deletion_without_an_answer_can_no_more_take_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request may be carried out after it was given up, and would find the worker with calls by then."""

    async def lost(*_: object) -> None:
        raise ApiError(0, "TimeoutError", "")

    external = {"mode": "External"}
    await world.run(scaling=external, replicas=1)
    (pod,) = world.ports.cache.pods
    uid = pod["metadata"]["uid"]
    world.workers.states[uid] = state(cordoned=True)
    world.apply(scaling=external, replicas=0)
    with monkeypatch.context() as patched:
        patched.setattr(world.cluster, "delete_pod", lost)
        with pytest.raises(ApiError):
            await world.turn()

    world.apply(scaling=external, replicas=1)
    with monkeypatch.context() as patched:
        patched.setattr(world.cluster, "annotate_pod", lost)
        with pytest.raises(ApiError):
            await world.turn()
    assert world.workers.states[uid].cordoned

    assert f"annotate {pod['metadata']['name']}" in await world.turn()
    assert not world.workers.states[uid].cordoned
    assert not world.ports.unanswered
