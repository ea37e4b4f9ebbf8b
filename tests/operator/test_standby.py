"""A process that does not lead hears the workers, and changes nothing."""

import asyncio
from collections.abc import Callable

import pytest

from tests.operator.fakes import FakeCluster, FakeWorkers, build_ports, resource
from tests.support.manifests import minimal
from voicefleet_operator import standby as module
from voicefleet_operator.handlers.observing import follow_workers
from voicefleet_operator.kube import PODS, PROVIDER_POOLS, VOICE_AGENTS
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.ports import Ports
from voicefleet_operator.standby import Standby
from voicefleet_operator.workqueue import Key, WorkQueue

DESK = Key("VoiceAgent", "voice", "desk")
POOL = Key("ProviderPool", "voice", "pool")


class World:
    def __init__(self) -> None:
        self.ports: Ports
        self.cluster: FakeCluster
        self.workers: FakeWorkers
        self.ports, self.cluster, self.workers = build_ports()
        self.queue = WorkQueue(pace_seconds=0)
        self.metrics = Metrics()
        self.standby = Standby(self.queue, self.ports, self.metrics)

    def agent(self, name: str = "desk") -> Key:
        """Let there be an agent with one running pod."""
        body = resource({**minimal("VoiceAgent"), "metadata": {"name": name, "namespace": "voice"}})
        self.cluster.put(VOICE_AGENTS, body)
        owner = {"kind": "VoiceAgent", "name": name, "uid": f"uid-{name}"}
        labels = {"voicefleet.dev/agent": name}
        metadata = {"name": f"{name}-r-0", "labels": labels, "ownerReferences": [owner]}
        status = {"phase": "Running", "podIP": "10.0.0.1"}
        self.cluster.put(PODS, {"metadata": metadata, "spec": {"nodeName": "node"}, "status": status})
        return Key("VoiceAgent", "voice", name)

    def heard(self, key: Key) -> set[str]:
        return {address.pod for address in self.workers.followed.get(key, {}).values()}


@pytest.fixture
def world() -> World:
    return World()


async def until(probe: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not probe():  # noqa: ASYNC110 - a task of another gets there
            await asyncio.sleep(0)


async def test_a_standby_hears_the_workers_that_come_and_writes_nothing(world: World) -> None:
    async with world.standby.kept():
        world.queue.add(world.agent())
        await until(lambda: world.heard(DESK) == {"desk-r-0"})

    assert world.cluster.writes == []


async def test_whoever_leads_from_now_on_looks_at_everything_though_the_standby_had_taken_it(world: World) -> None:
    async with world.standby.kept():
        world.queue.add(world.agent())
        world.cluster.put(PROVIDER_POOLS, resource(minimal("ProviderPool") | {"metadata": {"name": "pool"}}))
        await until(lambda: world.heard(DESK) and not len(world.queue))

        await world.standby.hand_over()
        await asyncio.sleep(0)

        assert {world.queue.take(), world.queue.take()} == {DESK, POOL}


async def test_a_worker_that_came_with_the_lead_is_heard_as_well(world: World) -> None:
    async with world.standby.kept():
        world.agent()

        await world.standby.hand_over()

    assert world.heard(DESK) == {"desk-r-0"}


async def test_an_object_that_nobody_expected_does_not_end_the_hearing_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(ports: Ports, key: Key) -> object:
        if key.name == "odd":
            raise KeyError("metadata")
        return follow_workers(ports, key)

    monkeypatch.setattr(module, "follow_workers", follow)
    async with world.standby.kept():
        world.queue.add(world.agent("odd"))
        world.queue.add(world.agent())
        await until(lambda: world.heard(DESK))


async def test_what_workers_say_to_a_standby_waits_for_no_decision_of_it(world: World) -> None:
    async with world.standby.kept():
        world.metrics.delays.changed(world.agent())
        world.queue.add(DESK)
        await until(lambda: world.heard(DESK) and not len(world.queue))

    world.metrics.delays.seen(DESK)
    world.metrics.delays.decided(DESK)
    assert world.metrics.registry.get_sample_value("voicefleet_operator_decision_delay_seconds_count") == 0
