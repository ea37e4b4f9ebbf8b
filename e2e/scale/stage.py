"""What all measurements share: a bench, an operator with the chart's rights, and namespaces with a pool each."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from e2e.bench import Bench, BenchOptions
from e2e.bench.process import find_part
from e2e.operating import OperatorProcess, install_rights
from e2e.scale.client import Client, until
from e2e.scale.gauges import Gauges, read_gauges
from e2e.scale.objects import AGENTS_PATH, PODS_PATH, POOLS_PATH, Manifest, agent, pool
from e2e.scale.swarm import Member

ROOT = Path(__file__).resolve().parents[2]
OPERATORS = "operators"
# The last one since nodes are not heard of while `nobody_starts`.
_KCM_FLAGS = ("--kube-api-qps=500", "--kube-api-burst=1000", "--node-monitor-grace-period=10m")
_GONE_SECONDS = 180.0
_LEAD_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a measurement works with."""

    bench: Bench
    operator: OperatorProcess
    client: Client
    tell: Callable[[str], None]
    still_seconds: float = 5.0
    """An operator that writes nothing for so long has settled."""

    async def gauges(self) -> Gauges:
        """Read the operator's metrics."""
        self.must_run()
        return await read_gauges(self.operator)

    def must_run(self) -> None:
        """Fail if the operator ended by itself: no figure is to hide that, and nobody need wait for it."""
        code = self.operator.ended_by_itself()
        if code is not None:
            raise RuntimeError(f"the operator ended by itself with code {code}; its log says why")

    async def is_leading(self) -> bool:
        """Tell whether the operator leads."""
        return (await self.gauges()).leads

    @asynccontextmanager
    async def namespaces(self, prefix: str, count: int) -> AsyncIterator[Sequence[str]]:
        """Make namespaces with a pool each; they go with the block, and with the bench if the block fails."""
        names = [f"{prefix}-{number}" for number in range(count)]
        for name in names:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await self.client.post("/api/v1/namespaces", body)
            # Pods are refused until a controller has made it.
            await until(partial(self._has_account, name), f"a ServiceAccount in {name}", within_seconds=30)
            await self.client.post(POOLS_PATH.format(namespace=name), pool(name))
        yield names
        await self._clear(names)

    @contextmanager
    def nobody_starts(self) -> Iterator[None]:
        """Let no pod come up meanwhile.

        A real worker takes most of a minute. A simulated one is ready at once, and one that is ready and says nothing
        may hold calls as far as anybody knows: the operator would guard it, tell of it and create one more.
        """
        kubelet = find_part(self.bench.dir, "kwok")
        os.kill(kubelet, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(kubelet, signal.SIGCONT)

    async def settle(self, *, within_seconds: float = 120.0) -> float:
        """Wait until the operator wrote nothing for a while; return how long it went on writing."""
        began = changed = time.monotonic()
        before = (await self.gauges()).writes
        while time.monotonic() - changed < self.still_seconds:
            await asyncio.sleep(0.5)
            now = await self.gauges()
            if now.writes != before or now.queued:
                before, changed = now.writes, time.monotonic()
            if time.monotonic() - began > within_seconds:
                raise TimeoutError(f"the operator still writes after {within_seconds:g} s")
        return changed - began

    async def make_fleet(self, namespace: str, name: str, *, workers: int, within_seconds: float) -> list[Member]:
        """Create one agent and wait until all of its pods have an address."""
        await self.client.post(AGENTS_PATH.format(namespace=namespace), agent(namespace, name, workers=workers))
        members: list[Member] = []

        async def all_run() -> bool:
            if await self.client.count(PODS_PATH.format(namespace=namespace)) >= workers:
                members[:] = await self.read_members([namespace])
            return len(members) == workers

        await until(all_run, f"{workers} running pods", within_seconds=within_seconds, every_seconds=1.0)
        return members

    async def read_members(self, namespaces: Sequence[str]) -> list[Member]:
        """Return a member for each pod that has an address."""
        lists = [(await self.client.get(PODS_PATH.format(namespace=name)))["items"] for name in namespaces]
        return [member for pods in lists for pod in pods if (member := member_of(pod))]

    async def _has_account(self, namespace: str) -> bool:
        return await self.client.count(f"/api/v1/namespaces/{namespace}/serviceaccounts") > 0

    async def _clear(self, names: Sequence[str]) -> None:
        for name in names:
            for path in (AGENTS_PATH, "/apis/apps/v1/namespaces/{namespace}/deployments", PODS_PATH):
                await self.client.clear(path.format(namespace=name))
            await self.client.delete(f"/api/v1/namespaces/{name}")

        async def gone() -> bool:
            left = (await self.client.get("/api/v1/namespaces"))["items"]
            return not set(names) & {namespace["metadata"]["name"] for namespace in left}

        # Whatever is measured next must not pay for the end of this.
        await until(gone, "namespaces that leave", within_seconds=_GONE_SECONDS, every_seconds=0.5)


def member_of(pod: Manifest) -> Member | None:
    """Return the worker of a pod, if it has an address and stays."""
    metadata, address = pod["metadata"], pod["status"].get("podIP")
    if not address or "deletionTimestamp" in metadata:
        return None
    return Member(metadata["uid"], metadata["name"], address, metadata["labels"].get("voicefleet.dev/revision", ""))


@contextmanager
def bench_for_scale() -> Iterator[Bench]:
    """Bring up a control plane that thousands of pods fit into."""
    options = BenchOptions(livekit=False, redis=False, kwok_nodes=4, controller_manager_flags=_KCM_FLAGS)
    with Bench.up(options) as bench:
        yield bench


@asynccontextmanager
async def set_stage(bench: Bench, tell: Callable[[str], None], *, still_seconds: float = 5.0) -> AsyncIterator[Stage]:
    """Install the operator's rights and start it."""
    bench.kubectl("create", "namespace", OPERATORS)
    install_rights(bench, OPERATORS)
    operator = OperatorProcess(bench, OPERATORS, log=bench.logs_dir / "operator.log")
    async with Client.open(bench) as client:
        stage = Stage(bench, operator, client, tell, still_seconds)
        try:
            await asyncio.to_thread(operator.start)
            await until(stage.is_leading, "an operator that leads", within_seconds=_LEAD_SECONDS)
            yield stage
        finally:
            await asyncio.to_thread(operator.stop)
