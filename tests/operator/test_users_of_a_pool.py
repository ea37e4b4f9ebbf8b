"""A pool says how many agents use it."""

from dataclasses import replace
from datetime import timedelta

from tests.operator.agent_turns import OTHER, POOL, World
from voicefleet_operator.handlers.providerpool import reconcile_provider_pool
from voicefleet_operator.handlers.voiceagent import reconcile_voice_agent
from voicefleet_operator.turns.pacing import Pacer
from voicefleet_operator.turns.workqueue import Key


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


async def test_a_fleet_does_not_count_on_streams_that_another_agent_of_its_pool_holds(world: World) -> None:
    """Each would take the whole quota for its own, and two would grow to twice what the provider lets them have."""
    ears = next(provider for provider in POOL["spec"]["providers"] if provider["role"] == "Stt")
    others = [provider for provider in POOL["spec"]["providers"] if provider["role"] != "Stt"]
    bounded = [{**ears, "quota": {"concurrent": 36}}, *others]
    world.apply_another()
    world.apply(scaling={"max": 50, "warmFloorSlots": 100})
    world.apply_pool(providers=bounded)

    await reconcile_voice_agent(OTHER, world.ports)
    world.cluster.run_pods()
    world.everybody_says(calls=12)
    await reconcile_voice_agent(OTHER, world.ports)
    await world.turn()
    assert (world.status()["scale"]["desired"], world.status()["scale"]["limit"]) == (2, "ProviderQuota")

    world.everybody_says(calls=0)
    await reconcile_voice_agent(OTHER, world.ports)
    await world.turn()
    assert world.status()["scale"]["desired"] == 3


def agents_of(world: World) -> int:
    pool = world.ports.cache.pools.get("voice", "pool")
    assert pool is not None
    return int(pool["status"]["agents"])
