"""Turns while the server tells nothing of pods, or while a name is taken by a pod that is no worker any more."""

from dataclasses import replace

from tests.operator.agent_turns import World
from tests.operator.test_agent_turns_refused import NOBODY
from voicefleet_operator.apiserver.kube import PODS


def without_word_of_pods(world: World) -> World:
    return replace(world, ports=replace(world.ports, pods_are_old=lambda namespace: namespace == "voice"))


async def test_a_fleet_whose_pods_nobody_tells_of_does_not_shrink_and_says_why(world: World) -> None:
    await world.run(scaling={"min": 3, "warmFloorSlots": 0})
    world.apply(scaling={"min": 1, "warmFloorSlots": 0, "scaleDownDelaySeconds": 0})

    writes = await without_word_of_pods(world).turn()

    assert writes == ["status desk"]
    assert world.condition("Reconciling") == "True PodsUnknown"
    assert "the apiserver is slow or silent" in world.message("Reconciling")
    assert world.status()["scale"]["limit"] == "Blind"

    await world.turn()

    assert [state.cordoned for state in world.workers.states.values()].count(True) == 2


async def test_a_fleet_whose_pods_nobody_tells_of_may_grow(world: World) -> None:
    await world.run(scaling={"min": 1, "warmFloorSlots": 0})
    world.apply(scaling={"min": 2, "warmFloorSlots": 0})

    writes = await without_word_of_pods(world).turn()

    assert [write for write in writes if write.startswith("create")] != []


async def test_a_fleet_whose_spec_cannot_be_had_says_as_well_why_it_does_not_shrink(world: World) -> None:
    await world.run(scaling={"min": 3, "warmFloorSlots": 0})
    world.apply(**NOBODY, scaling={"min": 1, "warmFloorSlots": 0, "scaleDownDelaySeconds": 0})

    await without_word_of_pods(world).turn()

    assert world.condition("Stalled") == "True InvalidSpec"
    assert world.message("Reconciling").startswith("the apiserver is slow or silent about the fleet's pods")


async def test_a_worker_that_is_put_aside_by_its_labels_is_replaced_under_another_name(world: World) -> None:
    await world.run(scaling={"min": 1, "warmFloorSlots": 0})
    (aside,) = world.ports.cache.pods
    name = aside["metadata"]["name"]
    world.ports.cache.observe(PODS, aside, gone=True)
    world.cluster.taken = frozenset({name})

    await world.turn()

    (other,) = world.ports.cache.pods
    assert other["metadata"]["name"] == name.removesuffix("0") + "1"
