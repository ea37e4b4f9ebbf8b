"""Agents that may sleep, and who sees their callers meanwhile, turn by turn."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.operator.agent_turns import KEY, OTHER, World
from tests.operator.fakes import resource
from tests.support.fleet import NOW, state
from tests.support.manifests import minimal
from voicefleet.manifests import Manifest
from voicefleet.names import ANNOTATION_LIVEKIT, ANNOTATION_SECRETS_CHANGED
from voicefleet_operator.apiserver.kube import PODS, PROVIDER_POOLS, VOICE_AGENTS, Body
from voicefleet_operator.errors import ApiError
from voicefleet_operator.handlers.observing_pods import pods_of
from voicefleet_operator.handlers.voiceagent import reconcile_voice_agent
from voicefleet_operator.turns.workqueue import Key

# Whoever wakes it waits for longer than a start takes, so minutes of silence are enough.
SLEEPY: dict[str, Any] = {"min": 0, "scaleToZero": True, "holdSeconds": 120}
LOOKOUT = "desk-lookout"


async def turn(world: World, *, after_seconds: float, key: Key = KEY) -> list[str]:
    """Take one turn about an agent, and return what it wrote."""
    now = NOW + timedelta(seconds=after_seconds)
    world.cluster.writes.clear()
    # Whoever speaks goes on to speak.
    world.workers.said_at = now
    world.workers.states = {uid: said.model_copy() for uid, said in world.workers.states.items()}
    await reconcile_voice_agent(key, replace(world.ports, now=lambda: now))
    return list(world.cluster.writes)


async def fall_asleep_soon(world: World) -> None:
    """Let an agent have a worker that takes calls, and a lookout, which is up and was not heard yet."""
    await world.run(scaling=SLEEPY)
    assert f"create {LOOKOUT}" in await turn(world, after_seconds=30)
    world.cluster.run_pods()


def names(world: World) -> set[str]:
    return {pod["metadata"]["name"] for pod in world.ports.cache.pods}


def lookout_of(world: World, name: str = LOOKOUT) -> Body:
    body = world.ports.cache.pods.get("voice", name)
    assert body is not None
    return body


def say(world: World, name: str = LOOKOUT) -> None:
    """Let a lookout be heard."""
    uid = lookout_of(world, name)["metadata"]["uid"]
    world.workers.states[uid] = state(slots=0, cordoned=True, registered=False)


async def test_an_agent_that_nobody_watches_over_makes_a_lookout_and_asks_it(world: World) -> None:
    world.apply(scaling=SLEEPY)
    world.apply_pool()
    assert f"create {LOOKOUT}" not in await world.turn()
    assert f"create {LOOKOUT}" in await turn(world, after_seconds=30)

    world.cluster.run_pods()
    say(world)
    writes = await turn(world, after_seconds=31)

    assert [look.pod.name for look in world.workers.looks] == [LOOKOUT]
    assert f"create {LOOKOUT}" not in writes


async def test_a_lookout_is_no_worker(world: World) -> None:
    await fall_asleep_soon(world)
    say(world)
    writes = await turn(world, after_seconds=31)

    assert sum(world.status()["workers"].values()) == 1
    assert len(names(world)) == 2
    assert not [write for write in writes if LOOKOUT in write]
    assert LOOKOUT not in {body["metadata"]["name"] for body in pods_of(world.ports, KEY)}


async def test_why_one_worker_stays_is_said_as_long_as_nobody_looks_out(world: World) -> None:
    await fall_asleep_soon(world)
    why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are free."}
    world.cluster.put(PODS, {**lookout_of(world), "status": {"phase": "Pending", "conditions": [why]}})
    for step in range(6, 60):
        await turn(world, after_seconds=10 * step)

    reasons = world.status()["scale"]["reasons"]
    assert any(reason.startswith("one worker stays") and "0/3 nodes are free" in reason for reason in reasons)


async def test_a_lookout_whose_secrets_changed_is_written_to_once(world: World) -> None:
    await fall_asleep_soon(world)
    say(world)
    await turn(world, after_seconds=35)
    agent = world.ports.cache.agents.get("voice", "desk")
    assert agent is not None
    noted = {**agent["metadata"], "annotations": {ANNOTATION_SECRETS_CHANGED: "today"}}
    world.cluster.put(VOICE_AGENTS, {**agent, "metadata": noted})

    assert f"annotate {LOOKOUT}" in await turn(world, after_seconds=40)
    assert await turn(world, after_seconds=41) == []


async def test_a_lookout_that_waits_for_the_secret_of_its_control_port_has_it_made_anew(world: World) -> None:
    """It may have gone with an agent of that name, while it was thought to be there."""
    await fall_asleep_soon(world)
    message = 'MountVolume.SetUp failed for volume "control" : secret "desk-control-1" not found'
    waiting = {"name": "worker", "state": {"waiting": {"reason": "ContainerCreating"}}}
    status = {"phase": "Pending", "containerStatuses": [waiting]}
    world.cluster.put(PODS, {**lookout_of(world), "status": status})
    world.cluster.events = [{"reason": "FailedMount", "message": message}]

    assert any(write.startswith("create desk-control-") for write in await turn(world, after_seconds=95))


async def test_the_lookout_goes_with_the_wish_to_sleep(world: World) -> None:
    await fall_asleep_soon(world)

    world.apply(scaling={"min": 1})

    assert f"delete {LOOKOUT}" in await turn(world, after_seconds=31)
    assert LOOKOUT not in names(world)


async def test_the_lookout_goes_with_its_agent(world: World) -> None:
    await fall_asleep_soon(world)

    world.delete()

    assert f"delete {LOOKOUT}" in await turn(world, after_seconds=31)


async def test_no_lookout_is_made_while_a_worker_of_another_agent_can_look(world: World) -> None:
    world.apply_another()
    world.apply_pool()
    await reconcile_voice_agent(OTHER, world.ports)
    world.cluster.run_pods()
    world.everybody_says(calls=0)
    world.apply(scaling=SLEEPY)
    await world.turn()

    assert f"create {LOOKOUT}" not in await turn(world, after_seconds=30)


async def test_one_lookout_is_enough_for_a_pool(world: World) -> None:
    world.apply(scaling=SLEEPY)
    world.apply_pool()
    manifest = minimal("VoiceAgent")
    manifest["metadata"]["name"] = "other"
    world.cluster.put(VOICE_AGENTS, resource(manifest, scaling=SLEEPY))
    for seconds in (0, 30):
        for key in (OTHER, KEY):
            await turn(world, after_seconds=seconds, key=key)
    world.cluster.run_pods()
    say(world)
    world.workers.looks.clear()
    await turn(world, after_seconds=61, key=OTHER)

    assert [(look.pod.name, look.order.agent) for look in world.workers.looks] == [(LOOKOUT, "voice.other")]
    assert "other-lookout" not in names(world)


async def test_a_pod_of_that_name_that_is_somebody_elses_is_no_lookout(world: World) -> None:
    stranger = {"name": LOOKOUT, "labels": {"voicefleet.dev/agent": "desk"}, "ownerReferences": [{"uid": "another"}]}
    world.cluster.put(PODS, {"metadata": stranger, "spec": {"containers": []}, "status": {}})
    world.apply(scaling=SLEEPY)
    world.apply_pool()
    await world.turn()

    assert f"create {LOOKOUT}" not in await turn(world, after_seconds=30)
    assert not world.workers.looks


async def test_a_lookout_on_another_livekit_sees_nobody_here(world: World) -> None:
    await fall_asleep_soon(world)
    world.workers.states.clear()
    world.workers.looks.clear()
    say(world)
    await turn(world, after_seconds=36)
    assert [look.pod.name for look in world.workers.looks] == [LOOKOUT]
    moved = lookout_of(world)
    annotations = {**moved["metadata"]["annotations"], ANNOTATION_LIVEKIT: "another"}
    world.cluster.put(PODS, {**moved, "metadata": {**moved["metadata"], "annotations": annotations}})
    world.workers.looks.clear()

    await turn(world, after_seconds=42)

    assert not world.workers.looks


async def test_an_agent_that_may_not_use_its_pool_any_more_keeps_no_lookout(world: World) -> None:
    await fall_asleep_soon(world)
    pool = world.ports.cache.pools.get("voice", "pool")
    assert pool is not None
    theirs = {"name": "pool", "namespace": "elsewhere", "uid": "theirs", "generation": 1}
    world.cluster.put(PROVIDER_POOLS, {**pool, "metadata": theirs})
    world.apply(scaling=SLEEPY, providerPoolRef={"name": "pool", "namespace": "elsewhere"})

    assert f"delete {LOOKOUT}" in await turn(world, after_seconds=31)
    assert world.condition("Stalled") == "True PoolForbidden"


async def test_a_cluster_that_takes_no_lookout_stops_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.run(scaling=SLEEPY)
    tried: list[str] = []

    async def refuse(manifest: Manifest) -> None:
        tried.append(manifest["metadata"]["name"])
        raise ApiError(403, "Forbidden", "pods are used up")

    monkeypatch.setattr(world.cluster, "create_pod", refuse)
    for step in range(6, 120):
        await turn(world, after_seconds=5 * step)

    assert world.condition("Stalled") == "False AsWanted"
    assert 10 <= len(tried) <= 20
    assert any("pods are used up" in reason for reason in world.status()["scale"]["reasons"])


async def test_who_begins_to_want_to_sleep_waits_like_everybody_else(world: World) -> None:
    await world.run()
    await turn(world, after_seconds=3600)

    world.apply(scaling=SLEEPY)

    assert f"create {LOOKOUT}" not in await turn(world, after_seconds=3601)
    assert f"create {LOOKOUT}" in await turn(world, after_seconds=3631)
