"""Turns about an agent whose template has changed, with an outside in memory."""

from dataclasses import replace

from tests.operator.agent_turns import World
from tests.support.fleet import state
from voicefleet_operator.apiserver.kube import Body
from voicefleet_operator.turns.pacing import Pacer


async def roll_out(world: World, **spec: object) -> Body:
    """Replace the only worker, which holds a call, and return its pod once it is closed."""
    await world.come_up(calls=1, **spec)
    await world.turn()
    (old,) = world.ports.cache.pods
    name = old["metadata"]["name"]
    world.apply(agents=[{"name": "desk", "instructions": "Be brief."}], **spec)
    await world.turn()
    world.cluster.run_pods()
    for pod in world.ports.cache.pods:
        if pod["metadata"]["name"] != name:
            world.workers.states[pod["metadata"]["uid"]] = state()
    for _ in range(3):
        await world.turn()
    return pod_named(world, name)


def pod_named(world: World, name: str) -> Body:
    return next(pod for pod in world.ports.cache.pods if pod["metadata"]["name"] == name)


async def test_a_worker_that_serves_again_forgets_since_when_it_was_closed(world: World) -> None:
    old = await roll_out(world, rollout={"maxDrainSeconds": 1800, "onDrainLimit": "EndCalls"})
    assert "voicefleet.dev/cordoned-at" in old["metadata"]["annotations"]

    world.apply(rollout={"maxDrainSeconds": 1800, "onDrainLimit": "EndCalls"})
    for _ in range(3):
        await world.turn()

    back = pod_named(world, old["metadata"]["name"])
    assert not world.workers.states[back["metadata"]["uid"]].cordoned
    assert "voicefleet.dev/cordoned-at" not in back["metadata"]["annotations"]


async def test_a_call_that_ends_between_two_words_about_it_is_not_taken_for_cut(world: World) -> None:
    """Its worker goes at once, and is gone before the status may be written again."""
    clock = [0.0]
    paced = replace(world, ports=replace(world.ports, pacer=Pacer(clock=lambda: clock[0])))
    old = await roll_out(world)
    paced.ports.pacer.note("uid-desk")
    uid = old["metadata"]["uid"]
    world.workers.states[uid] = world.workers.states[uid].model_copy(update={"sessions": ()})

    await paced.turn()
    await paced.turn()
    gone = uid not in {pod["metadata"]["uid"] for pod in world.ports.cache.pods}
    clock[0] = 3.0
    await paced.turn()

    assert gone
    rollout = paced.status()["rollout"]
    assert (rollout["callsDrained"], rollout["callsFinished"], rollout["callsCut"]) == (1, 1, 0)
