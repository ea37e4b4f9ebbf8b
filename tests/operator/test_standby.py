"""A process that does not lead hears the workers, and changes nothing."""

import asyncio
from collections.abc import Callable

import pytest

from tests.operator.fakes import FakeCluster, FakeWorkers, build_ports, resource
from tests.support.fleet import NOW, heard, state
from tests.support.manifests import minimal
from voicefleet.api import VoiceAgent
from voicefleet.api.voiceagent.status import ScaleDecision, VoiceAgentStatus
from voicefleet.fleet import Fleet
from voicefleet.wire import Tally
from voicefleet_operator.apiserver.kube import PODS, PROVIDER_POOLS, VOICE_AGENTS
from voicefleet_operator.handlers.voiceagent import look_at_voice_agent
from voicefleet_operator.lead import standby as module
from voicefleet_operator.lead.standby import Standby
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.ports import Ports
from voicefleet_operator.turns.memory import AgentMemory
from voicefleet_operator.turns.workqueue import Key, WorkQueue

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


async def test_what_was_heard_while_standing_by_is_known_to_whoever_leads(world: World) -> None:
    world.workers.states["uid-desk-r-0"] = state(calls=3)
    async with world.standby.kept():
        world.queue.add(world.agent())
        await until(lambda: DESK in world.ports.memories and world.ports.memories[DESK].fleet.calls_known)

        await world.standby.hand_over()

    assert world.ports.memories[DESK].fleet.calls_known == 3


async def test_what_workers_counted_before_the_lead_is_counted_no_second_time(world: World) -> None:
    memory = world.ports.memories[DESK] = AgentMemory("uid-desk")

    def count(calls: int) -> None:
        memory.note_tallies(Fleet((heard("desk-r-0", state(tally=Tally(calls_ended=calls))),)), compared=True)

    count(5)
    count(9)
    await world.standby.hand_over()
    assert memory.ledger.since_look() == {}

    count(10)
    assert memory.ledger.since_look()["r"].calls_ended == 1


async def test_an_agent_that_is_gone_is_forgotten(world: World) -> None:
    async with world.standby.kept():
        world.queue.add(world.agent())
        await until(lambda: DESK in world.ports.memories)
        agent = world.ports.cache.agents.get("voice", "desk")
        assert agent is not None
        world.ports.cache.observe(VOICE_AGENTS, agent, gone=True)
        world.queue.add(DESK)
        await until(lambda: DESK not in world.ports.memories)

    assert world.heard(DESK) == set()


async def test_an_object_that_nobody_expected_does_not_end_the_hearing_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(key: Key, ports: Ports) -> None:
        if key.name == "odd":
            raise KeyError("metadata")
        await look_at_voice_agent(key, ports)

    monkeypatch.setattr(module, "look_at_voice_agent", look)
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


def test_who_comes_to_decide_goes_on_from_the_rest_that_its_predecessor_brought_a_fleet_to() -> None:
    memory, spec = AgentMemory("uid"), VoiceAgent.model_validate(minimal("VoiceAgent")).spec
    asleep = VoiceAgentStatus(scale=ScaleDecision(desired=0, limit="Demand", at="2026-03-02T11:00:00Z"))
    for told in (VoiceAgentStatus(), asleep):
        memory.fleet.observe(spec, Fleet(), NOW, told=told)
    assert memory.fleet.lessons(NOW).arrivals.silent_seconds < 3600

    memory.begin_to_decide()
    memory.fleet.observe(spec, Fleet(), NOW, told=asleep)

    assert memory.fleet.lessons(NOW).arrivals.silent_seconds > 3600
