"""An agent, its pool and its workers in memory, and turns about the agent."""

import copy
import itertools
from dataclasses import dataclass

from tests.operator.fakes import FakeCluster, FakeWorkers, resource
from tests.support.fleet import state
from tests.support.manifests import minimal, sample
from voicefleet_operator.apiserver.kube import PROVIDER_POOLS, VOICE_AGENTS, Body
from voicefleet_operator.handlers.voiceagent import reconcile_voice_agent
from voicefleet_operator.ports import Ports
from voicefleet_operator.turns.workqueue import Key

POOL = sample("providerpool")
GENERATIONS = itertools.count(1)
KEY = Key("VoiceAgent", "voice", "desk")
OTHER = Key("VoiceAgent", "voice", "other")


def put_pool(cluster: FakeCluster, **spec: object) -> None:
    """Apply the pool that agents use."""
    manifest = copy.deepcopy(POOL)
    manifest["metadata"]["name"] = "pool"
    body = resource(manifest, **spec)
    body["metadata"]["generation"] = next(GENERATIONS)
    cluster.put(PROVIDER_POOLS, body)


@dataclass(frozen=True)
class World:
    ports: Ports
    cluster: FakeCluster
    workers: FakeWorkers

    async def turn(self) -> list[str]:
        """Take one turn and return what it wrote."""
        self.cluster.writes.clear()
        await reconcile_voice_agent(KEY, self.ports)
        return list(self.cluster.writes)

    def apply(self, **spec: object) -> Body:
        before = self.ports.cache.agents.get("voice", "desk")
        manifest = minimal("VoiceAgent")
        manifest["metadata"] |= {
            "name": "desk",
            "finalizers": before["metadata"].get("finalizers", []) if before else [],
        }
        body = resource(manifest, **spec)
        body["metadata"]["generation"] = next(GENERATIONS)
        return self.cluster.put(VOICE_AGENTS, {**body, "status": before["status"]} if before else body)

    def apply_another(self) -> None:
        """Let another agent use the pool."""
        manifest = minimal("VoiceAgent")
        manifest["metadata"]["name"] = "other"
        self.cluster.put(VOICE_AGENTS, resource(manifest))

    async def run(self, **spec: object) -> None:
        """Bring a fleet up."""
        await self.come_up(calls=0, **spec)
        await self.turn()

    async def come_up(self, *, calls: int, **spec: object) -> None:
        """Let workers come up that hold calls, of which no turn knows yet."""
        self.apply(**spec)
        self.apply_pool()
        await self.turn()
        self.cluster.run_pods()
        self.everybody_says(calls=calls)

    def delete(self) -> None:
        """Ask for the agent to go."""
        agent = self.ports.cache.agents.get("voice", "desk")
        assert agent is not None
        metadata = {**agent["metadata"], "deletionTimestamp": "2026-03-02T12:00:00Z"}
        self.cluster.put(VOICE_AGENTS, {**agent, "metadata": metadata})

    def message(self, kind: str) -> str:
        """Return what a condition says."""
        found = next(c for c in self.status()["conditions"] if c["type"] == kind)
        return str(found["message"])

    def apply_pool(self, **spec: object) -> None:
        put_pool(self.cluster, **spec)

    def everybody_says(self, *, calls: int) -> None:
        for pod in self.ports.cache.pods:
            self.workers.states[pod["metadata"]["uid"]] = state(calls=calls)

    def status(self) -> Body:
        agent = self.ports.cache.agents.get("voice", "desk")
        assert agent is not None
        status: Body = agent["status"]
        return status

    def condition(self, kind: str) -> str:
        found = next(c for c in self.status()["conditions"] if c["type"] == kind)
        return f"{found['status']} {found['reason']}"
