"""Turns about a fleet whose node is about to go."""

from dataclasses import replace

from tests.operator.agent_turns import World
from voicefleet_operator.sight.nodes import Nodes


def on_a_node_that_goes(world: World) -> World:
    """Return the same, but for the node that all its pods run on: somebody drains it."""
    nodes = Nodes()
    nodes.observe({"metadata": {"name": "node", "resourceVersion": "1"}, "spec": {"unschedulable": True}})
    return replace(world, ports=replace(world.ports, nodes=nodes))


async def test_workers_of_a_node_that_goes_are_closed_only_after_others_were_made_in_their_place(world: World) -> None:
    """In this order: where the cluster is slow, or refuses, callers would find a closed fleet and nobody to come."""
    await world.run(scaling={"min": 2})
    world.workers.orders = world.cluster.writes

    acts = await on_a_node_that_goes(world).turn()

    kinds = [kind for kind, _, _ in (act.partition(" ") for act in acts) if kind in ("create", "cordon")]
    assert kinds == ["create", "create", "cordon", "cordon"]
