"""Callers who found no slot are looked for, turn by turn."""

from dataclasses import replace
from datetime import timedelta

from tests.operator.agent_turns import KEY, OTHER, World
from tests.support.fleet import NOW
from voicefleet_operator.apiserver.kube import Body
from voicefleet_operator.handlers.voiceagent import reconcile_voice_agent


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


async def test_callers_who_may_not_wait_are_counted_as_lost_and_dispatched_no_more(world: World) -> None:
    await world.run(scaling={"max": 1, "holdSeconds": 0})
    world.everybody_says(calls=12)
    world.workers.waiting = 2
    world.workers.looks.clear()

    for second in (5, 6):
        await reconcile_voice_agent(KEY, replace(world.ports, now=lambda at=second: NOW + timedelta(seconds=at)))
        world.everybody_says(calls=9)

    assert {(look.only_counts, look.order.room) for look in world.workers.looks} == {(True, 0)}
    assert world.status()["waitingCalls"] == 0


async def test_a_look_that_nobody_answers_is_taken_again(world: World) -> None:
    await world.run(scaling={"max": 1})
    world.workers.waiting = None
    world.everybody_says(calls=12)
    for second in (5, 6):
        await reconcile_voice_agent(KEY, replace(world.ports, now=lambda at=second: NOW + timedelta(seconds=at)))

    assert len(world.workers.looks) >= 2
    assert "waitingCalls" not in world.status() or world.status()["waitingCalls"] == 0


async def run_another(world: World) -> Body:
    """Let another agent of the pool have a worker, and return its pod."""
    world.apply_another()
    world.apply_pool()
    await reconcile_voice_agent(OTHER, world.ports)
    world.cluster.run_pods()
    world.everybody_says(calls=12)
    (pod,) = world.ports.cache.pods
    return pod


async def test_another_agent_of_the_pool_watches_for_callers_of_a_fleet_without_workers(world: World) -> None:
    watchman = await run_another(world)
    world.apply(scaling={"min": 0, "scaleToZero": True})

    await world.turn()

    (look,) = world.workers.looks
    assert (look.pod.name, look.order.agent, look.order.room) == (watchman["metadata"]["name"], "voice.desk", 0)


async def test_a_fleet_that_may_not_sleep_asks_nobody_else(world: World) -> None:
    await run_another(world)
    world.apply()

    await world.turn()

    assert not world.workers.looks
