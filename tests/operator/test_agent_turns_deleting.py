"""Turns about an agent that goes, or is gone."""

from tests.operator.agent_turns import KEY, World
from tests.support.fleet import state
from voicefleet.names import FINALIZER
from voicefleet_operator.apiserver.kube import VOICE_AGENTS


async def test_an_agent_that_is_being_deleted_gets_no_new_workers(world: World) -> None:
    agent = world.apply()
    world.apply_pool()
    metadata = {**agent["metadata"], "finalizers": [FINALIZER], "deletionTimestamp": "2026-03-02T12:00:00Z"}
    world.cluster.put(VOICE_AGENTS, {**agent, "metadata": metadata})

    assert await world.turn() == ["finalizers desk []"]
    assert world.ports.cache.agents.get("voice", "desk") is None


async def test_an_agent_is_held_back_before_its_first_worker_comes_up(world: World) -> None:
    """Whoever deletes it while a new leader takes over would take the first calls along."""
    world.apply()
    world.apply_pool()
    await world.turn()
    assert len(list(world.ports.cache.pods)) == 1, "it is there, and nothing of it has been heard"

    assert f"finalizers desk ['{FINALIZER}']" in await world.turn()


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


async def test_an_agent_that_others_alone_hold_back_takes_no_more_calls(world: World) -> None:
    await world.run(scaling={"max": 1})
    agent = world.ports.cache.agents.get("voice", "desk")
    assert agent is not None
    others = {**agent["metadata"], "finalizers": ["example.com/audit"]}
    world.cluster.put(VOICE_AGENTS, {**agent, "metadata": others})
    world.delete()

    assert "finalizers desk []" not in await world.turn()
    assert [worker.cordoned for worker in world.workers.states.values()] == [True]


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


async def test_workers_of_an_agent_that_is_gone_are_heard_no_more(world: World) -> None:
    assert await world.turn() == []
    assert world.workers.followed == {KEY: {}}
