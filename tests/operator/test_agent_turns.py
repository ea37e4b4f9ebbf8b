"""One turn about one agent, with an outside in memory."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.operator.agent_turns import GENERATIONS, KEY, World
from tests.support.fleet import NOW, mounted_secret, state
from voicefleet.manifests.children import control_key_id
from voicefleet.names import ANNOTATION_REFRESHED_AT, ANNOTATION_SECRETS_CHANGED
from voicefleet_operator.apiserver.kube import PODS, VOICE_AGENTS, Body
from voicefleet_operator.handlers.voiceagent import reconcile_voice_agent


async def test_the_first_turn_makes_what_is_missing_and_says_so(world: World) -> None:
    world.apply()
    world.apply_pool()

    writes = await world.turn()

    (pod,) = world.ports.cache.pods
    revision = pod["metadata"]["labels"]["voicefleet.dev/revision"]
    assert writes == [
        f"create desk-control-{control_key_id(world.ports.control_key)}",
        "apply ServiceAccount/desk-worker",
        f"apply ConfigMap/desk-{revision}",
        "apply NetworkPolicy/desk-worker",
        f"create desk-{revision}-0",
        "status desk",
    ]
    assert world.condition("Reconciling") == "True WorkersStarting"


async def test_under_another_control_key_new_workers_get_a_token_that_opens_them(world: World) -> None:
    """The old ones answer 401 from then on, and may hold calls: they stay."""
    await world.run()
    (old,) = world.ports.cache.pods
    world.workers.states.clear()
    world.apply(scaling={"min": 2})
    world.cluster.writes.clear()

    await reconcile_voice_agent(KEY, replace(world.ports, control_key=b"j" * 32))

    secret, pod = [write for write in world.cluster.writes if write.startswith("create")]
    assert secret == f"create desk-control-{control_key_id(b'j' * 32)}"
    (new,) = [body for body in world.ports.cache.pods if pod.endswith(body["metadata"]["name"])]
    assert mounted_secret(new, "control") != mounted_secret(old, "control")
    assert not [write for write in world.cluster.writes if write.startswith("delete")]


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


async def test_pods_of_a_namesake_that_is_gone_are_not_counted(world: World) -> None:
    world.apply()
    world.apply_pool()
    stranger = {"labels": {"voicefleet.dev/agent": "desk"}, "ownerReferences": [{"uid": "another"}]}
    world.cluster.put(PODS, {"metadata": {"name": "desk-old-0", **stranger}, "spec": {}, "status": {}})

    await world.turn()

    assert world.status()["replicas"] == 0
    assert "uid-desk-old-0" not in world.workers.followed[KEY]


async def test_pods_without_calls_need_no_guard(world: World) -> None:
    await world.run()

    assert not any(name.startswith("PodDisruptionBudget") for name in world.cluster.applied)


async def test_a_new_operator_finds_the_guard_that_its_predecessor_made(world: World) -> None:
    await world.run()
    world.everybody_says(calls=5)
    await world.turn()
    await world.turn()
    world.cluster.applied.clear()

    assert await world.turn() == []
    assert "PodDisruptionBudget/desk-busy" in world.cluster.applied


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
