"""Measurements 2 and 4: one agent with a thousand workers that speak all the time; then half of them leave."""

import asyncio
import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from e2e.scale.client import until
from e2e.scale.figures import Figure, Outcome, quantile
from e2e.scale.objects import AGENTS_PATH, PODS_PATH
from e2e.scale.stage import Stage
from e2e.scale.swarm import Member, Swarm

AGENT = "receptionist"
_FLEET_SECONDS = 240.0
_WARM_SECONDS = 3.0
_TICK_SECONDS = 0.05
# One worker in so many has one call or none, and one change in so many is its: that shows on its pod.
_EDGE = 50


async def measure_stream(stage: Stage, *, workers: int, changes_per_second: float, seconds: float) -> Outcome:
    """Let calls come and go at random, and see how soon the operator has decided about it and at what cost."""
    async with stage.namespaces("stream", 1) as (namespace,), Swarm() as swarm:
        await _speaking_fleet(stage, swarm, namespace, workers)
        traffic = Traffic(list(swarm.members.values()))
        for member in swarm.members.values():
            member.tell()
        await stage.settle(within_seconds=_FLEET_SECONDS)
        marks = Marks(stage, namespace)
        watching = asyncio.create_task(marks.watch())
        driving = asyncio.create_task(traffic.drive(changes_per_second, marks.expect))
        await asyncio.sleep(_WARM_SECONDS)
        before, began, made = await stage.gauges(), time.monotonic(), traffic.changes
        marks.delays.clear()
        await asyncio.sleep(seconds)
        after, took = await stage.gauges(), time.monotonic() - began
        rate = (traffic.changes - made) / took
        for task in (driving, watching):
            task.cancel()
        await asyncio.gather(driving, watching, return_exceptions=True)
    figures = (
        Figure("changes", rate, "/s"),
        Figure("operator CPU", (after.cpu_seconds - before.cpu_seconds) / took, "cores", at_most=1.0),
        Figure("change to decision p50", after.quantile("decision_delay_seconds", 0.5, before) * 1000, "ms"),
        Figure("change to decision p99", after.quantile("decision_delay_seconds", 0.99, before) * 1000, "ms", 500),
        Figure("change to a mark on the pod p50", quantile(marks.delays, 0.5) * 1000, "ms"),
        Figure("change to a mark on the pod p99", quantile(marks.delays, 0.99) * 1000, "ms"),
        Figure("marks seen", len(marks.delays), ""),
        Figure("turns", (after.turns - before.turns) / took, "/s"),
        Figure("writes", (after.writes - before.writes) / took, "/s"),
        Figure("memory", after.megabytes, "MB"),
    )
    notes = ("quantiles of decisions are upper bounds of histogram buckets; of marks they are exact, by a watch",)
    sizes = {"workers": workers, "seconds": round(took, 1)}
    return Outcome("stream", "One agent whose workers speak all the time", figures, notes, sizes)


async def measure_shrink(stage: Stage, *, workers: int) -> Outcome:
    """Ask for half of the workers while the other half holds a call each."""
    keep = workers // 2
    async with stage.namespaces("shrink", 1) as (namespace,), Swarm() as swarm:
        members = await _speaking_fleet(stage, swarm, namespace, workers)
        busy = random.sample(members, keep)
        for member in busy:
            member.calls[f"call-{member.name}"] = time.monotonic()
            member.tell()
        await _wait_for_calls(stage, namespace, keep)
        await stage.settle(within_seconds=_FLEET_SECONDS)
        left: list[Member] = []
        watching = asyncio.create_task(_note_leaving(stage, swarm, namespace, left))
        await asyncio.sleep(0.5)
        before, began = await stage.gauges(), time.monotonic()
        path = f"{AGENTS_PATH.format(namespace=namespace)}/{AGENT}"
        await stage.client.merge(path, {"spec": {"scaling": {"min": keep, "max": keep}}})

        async def half_are_gone() -> bool:
            return await stage.client.count(PODS_PATH.format(namespace=namespace)) <= keep

        with suppress(TimeoutError):
            await until(half_are_gone, "half of the workers to leave", within_seconds=90)
        took = time.monotonic() - began
        await asyncio.sleep(2.0)
        after = await stage.gauges()
        there = await stage.client.count(PODS_PATH.format(namespace=namespace))
        watching.cancel()
    figures = (
        Figure("until all idle ones are gone", took if there <= keep else math.inf, "s", at_most=60),
        Figure("busy workers that were taken", sum(bool(member.calls) for member in left), "", at_most=0),
        Figure("busy workers that were cordoned", sum(member.was_busy_when_asked for member in busy), ""),
        Figure("workers missing", keep - there, "", at_most=0),
        Figure("operator CPU meanwhile", after.cpu_seconds - before.cpu_seconds, "s"),
    )
    return Outcome(
        "shrink", "Half of one agent's workers leave", figures, (), {"workers": workers, "idle": workers - keep}
    )


async def _speaking_fleet(stage: Stage, swarm: Swarm, namespace: str, workers: int) -> list[Member]:
    members = await stage.make_fleet(namespace, AGENT, workers=workers, within_seconds=_FLEET_SECONDS)
    await swarm.join(members)

    async def all_heard() -> bool:
        return swarm.heard == workers

    await until(all_heard, f"{workers} workers that are heard", within_seconds=60)
    await stage.settle(within_seconds=_FLEET_SECONDS)
    stage.tell(f"{workers} workers of one agent are heard")
    return members


async def _wait_for_calls(stage: Stage, namespace: str, calls: int) -> None:
    path = f"{AGENTS_PATH.format(namespace=namespace)}/{AGENT}"

    async def counted() -> bool:
        return bool((await stage.client.get(path)).get("status", {}).get("calls") == calls)

    await until(counted, f"{calls} calls in the status", within_seconds=60)


async def _note_leaving(stage: Stage, swarm: Swarm, namespace: str, left: list[Member]) -> None:
    path = PODS_PATH.format(namespace=namespace)
    version = (await stage.client.get(path, limit="1"))["metadata"]["resourceVersion"]
    async for event in stage.client.watch(path, version):
        uid = event["object"]["metadata"]["uid"]
        if event["type"] == "DELETED" and uid in swarm.members:
            left.append(swarm.leave(uid))


class Traffic:
    """Calls that come and go at random: half of all slots are taken, and now and then a worker gets its first call."""

    def __init__(self, members: list[Member]) -> None:
        self.changes = 0
        self._names = count()
        edge = max(1, len(members) // _EDGE)
        self._quiet, self._members = members[:edge], members[edge:]
        for member in self._members:
            for _ in range(member.slots // 2):
                self._call(member)

    async def drive(self, per_second: float, expect: Callable[[Member], None]) -> None:
        """Change so many workers each second, for ever."""
        began, done = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * per_second)
            for number in range(done, due):
                self._change(random.choice(self._members if number % _EDGE else self._quiet), expect)
            done = due
            await asyncio.sleep(_TICK_SECONDS)

    def _change(self, member: Member, expect: Callable[[Member], None]) -> None:
        busy, quiet = bool(member.calls), member in self._quiet
        if member.calls and (quiet or random.random() < len(member.calls) / member.slots):
            member.calls.pop(next(iter(member.calls)))
        else:
            self._call(member)
        self.changes += 1
        member.tell()
        if busy != bool(member.calls):
            expect(member)

    def _call(self, member: Member) -> None:
        member.calls[f"call-{next(self._names)}"] = time.monotonic()


class Marks:
    """How long it takes until a pod's label says what its worker said."""

    def __init__(self, stage: Stage, namespace: str) -> None:
        self.delays: list[float] = []
        self._stage = stage
        self._path = PODS_PATH.format(namespace=namespace)
        self._expected: dict[str, tuple[str, float]] = {}

    def expect(self, member: Member) -> None:
        """Note that a worker became busy or idle; if it changed back before anybody saw, nothing is to be seen."""
        if self._expected.pop(member.uid, None) is None:
            self._expected[member.uid] = ("true" if member.calls else "false", time.monotonic())

    async def watch(self) -> None:
        """Look at every change of a pod, for ever."""
        version = (await self._stage.client.get(self._path, limit="1"))["metadata"]["resourceVersion"]
        async for event in self._stage.client.watch(self._path, version):
            metadata = event["object"]["metadata"]
            wanted, since = self._expected.get(metadata["uid"], ("", 0.0))
            if metadata.get("labels", {}).get("voicefleet.dev/busy") == wanted:
                del self._expected[metadata["uid"]]
                self.delays.append(time.monotonic() - since)
