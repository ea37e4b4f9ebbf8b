"""Measurement 3: agents are applied at a steady rate; how soon does each have its first pod?"""

import asyncio
import time
from typing import Any

from e2e.scale.client import Client
from e2e.scale.figures import Figure, Outcome, quantile
from e2e.scale.objects import AGENTS_PATH, agent
from e2e.scale.stage import Stage

_LATEST_SECONDS = 30.0


async def measure_apply(stage: Stage, *, per_second: float, seconds: float) -> Outcome:
    """Apply agents one after another and note when the first pod of each is there."""
    applies, first = {}, First()
    async with stage.namespaces("apply", 1) as (namespace,):
        watching = asyncio.create_task(first.watch(stage.client, namespace))
        await asyncio.sleep(1.0)
        before, began = await stage.gauges(), time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(per_second * seconds)):
                await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
                name = f"agent-{number}"
                applies[name] = time.monotonic()
                body = agent(namespace, name, workers=1)
                group.create_task(stage.client.post(AGENTS_PATH.format(namespace=namespace), body))
        took = time.monotonic() - began
        await first.all_there(set(applies))
        after = await stage.gauges()
        watching.cancel()
    delays = [first.seen[name] - at for name, at in applies.items() if name in first.seen]
    figures = (
        Figure("applies", len(applies) / took, "/s"),
        Figure("apply to first pod p50", quantile(delays, 0.5) * 1000, "ms"),
        Figure("apply to first pod p99", quantile(delays, 0.99) * 1000, "ms", at_most=500),
        Figure("apply to first pod, worst", max(delays) * 1000, "ms"),
        Figure("agents without a pod", len(applies) - len(delays), "", at_most=0),
        Figure("operator CPU", (after.cpu_seconds - before.cpu_seconds) / took, "cores"),
    )
    return Outcome("apply", "Agents applied at a steady rate", figures, (), {"applies": len(applies)})


class First:
    """When the first pod of each agent was seen."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}

    async def watch(self, client: Client, namespace: str) -> None:
        """Look at every pod that comes, for ever."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        version = (await client.get(path, limit="1"))["metadata"]["resourceVersion"]
        async for event in client.watch(path, version):
            self._note(event)

    async def all_there(self, agents: set[str]) -> None:
        """Wait until each of these was seen, for so long and no longer."""
        deadline = time.monotonic() + _LATEST_SECONDS
        while agents - self.seen.keys() and time.monotonic() < deadline:  # noqa: ASYNC110 - `_note` is one of many
            await asyncio.sleep(0.1)

    def _note(self, event: Any) -> None:  # noqa: ANN401 - JSON has no type
        if event["type"] == "ADDED":
            self.seen.setdefault(event["object"]["metadata"]["labels"]["voicefleet.dev/agent"], time.monotonic())
