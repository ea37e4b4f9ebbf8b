"""Measurement 1: a thousand agents with ten workers each, against as many Deployments; then a start amid all of it."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from e2e.scale.client import all_at_once, until
from e2e.scale.figures import Figure, Outcome
from e2e.scale.objects import (
    AGENTS_PATH,
    ALL_PODS_PATH,
    DEPLOYMENTS_PATH,
    PODS_PATH,
    TEMPLATE,
    Manifest,
    agent,
    deployment,
)
from e2e.scale.stage import ROOT, Stage, member_of
from e2e.scale.swarm import Member
from voicefleet.names import LABEL_MANAGED_BY, MANAGED_BY

_CREATE_SECONDS = 300.0
_SYNC_SECONDS = 120.0
_READING_SECONDS = 5.0
_PER_PROCESS = 5_000
_OURS = f"{LABEL_MANAGED_BY}={MANAGED_BY}"


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many fleets of how many workers, and what is done to them."""

    agents: int
    workers: int
    pairs: int = 2
    speaking: bool = True
    crash: bool = True
    quiet_seconds: float = 20.0

    @property
    def pods(self) -> int:
        """All of them."""
        return self.agents * self.workers

    @property
    def namespaces(self) -> int:
        """Over how many they are spread."""
        return max(1, self.agents // 100)


async def measure_many(stage: Stage, crowd: Crowd) -> Outcome:
    """Create both kinds of fleets in turn, and start the operator anew amid the last ones of ours."""
    async with stage.namespaces("single", 1) as (name,):
        await stage.make_fleet(name, TEMPLATE, workers=1, within_seconds=60)
        (pod,) = (await stage.client.get(PODS_PATH.format(namespace=name)))["items"]
    a_deployment = partial(deployment, pod=pod, replicas=crowd.workers)
    create_theirs = partial(_create_alone, stage, crowd=crowd, path=DEPLOYMENTS_PATH, build=a_deployment)
    theirs: list[float] = []
    ours: list[float] = []
    # Of two rounds of the very same one may take a third longer: ours come between theirs, and means are compared.
    for number in range(1, crowd.pairs):
        theirs.append(await create_theirs(f"theirs-{number}"))
        ours.append(await _create_alone(stage, f"ours-{number}", crowd, path=AGENTS_PATH, build=_an_agent(crowd)))
    theirs.append(await create_theirs("theirs"))
    last, figures = await _create_and_go_on(stage, crowd)
    ours.append(last)
    theirs.append(await create_theirs("theirs-last"))
    figures = (
        *_rounds("pods of Deployments", theirs),
        *_rounds("pods of VoiceAgents", ours),
        Figure("ratio to Deployments", fmean(ours) / fmean(theirs), "x", at_most=1.0),
        *figures,
    )
    sizes: dict[str, float] = {"agents": crowd.agents, "pods": crowd.pods}
    return Outcome("many", "Many agents, amid as many Deployments; then ended and started", figures, (), sizes)


def _rounds(what: str, took: Sequence[float]) -> tuple[Figure, ...]:
    return tuple(Figure(f"{what}, round {number}", seconds, "s") for number, seconds in enumerate(took, 1))


def _an_agent(crowd: Crowd) -> Callable[[str, str], Manifest]:
    # No more workers than that: to the operator these are late, and it would have others beside them.
    return partial(agent, workers=crowd.workers, at_most=crowd.workers)


async def _create_alone(
    stage: Stage, prefix: str, crowd: Crowd, *, path: str, build: Callable[[str, str], Manifest]
) -> float:
    with stage.nobody_starts():
        async with stage.namespaces(prefix, crowd.namespaces) as names:
            return await _create(stage, names, crowd, path=path, build=build)


async def _create_and_go_on(stage: Stage, crowd: Crowd) -> tuple[float, tuple[Figure, ...]]:
    async with stage.namespaces("agents", crowd.namespaces) as names:
        before = await stage.gauges()
        with stage.nobody_starts():
            took = await _create(stage, names, crowd, path=AGENTS_PATH, build=_an_agent(crowd))
            after = await stage.gauges()
            version = (await stage.client.get(ALL_PODS_PATH, limit="1"))["metadata"]["resourceVersion"]
        with closing(StandIns(crowd.pods if crowd.speaking else 0)) as stand_ins:
            await _running(stage, version, crowd.pods, stand_ins)
            if crowd.speaking:
                await _all_ready(stage, names, crowd.agents)
            settling = await stage.settle(within_seconds=_SYNC_SECONDS)
            written = await stage.gauges()
            restarts: list[Figure] = []
            for name, end in _ends(stage, crash=crowd.crash).items():
                restarts += await _restart(stage, names, crowd, name=name, end=end)
    return took, (
        Figure("operator CPU meanwhile", after.cpu_seconds - before.cpu_seconds, "s"),
        Figure("turns per agent meanwhile", (after.turns - before.turns) / crowd.agents, ""),
        Figure("writes per pod until settled", (written.writes - before.writes) / crowd.pods, ""),
        Figure("until nothing is written", settling, "s"),
        Figure("event loop late until settled, p99", written.quantile("loop_lag_seconds", 0.99, before), "s"),
        *restarts,
    )


async def _create(
    stage: Stage,
    names: Sequence[str],
    crowd: Crowd,
    *,
    path: str,
    build: Callable[[str, str], Manifest],
) -> float:
    """Create so many owners of pods at once and return the time to the last pod."""
    bodies = [(names[number % len(names)], f"fleet-{number}") for number in range(crowd.agents)]
    posts = [partial(stage.client.post, path.format(namespace=where), build(where, name)) for where, name in bodies]

    async def all_there() -> bool:
        stage.must_run()
        return await stage.client.count_pods(names) >= crowd.pods

    began = time.monotonic()
    creating = asyncio.create_task(all_at_once(posts))
    await until(all_there, f"{crowd.pods} pods", within_seconds=_CREATE_SECONDS)
    took = time.monotonic() - began
    await creating
    stage.tell(f"{crowd.pods} pods by {path.rpartition('/')[2]}: {took:.1f} s")
    return took


async def _running(stage: Stage, version: str, wanted: int, stand_ins: "StandIns") -> None:
    """Wait until all pods run, and let each have a worker as soon as it has an address, as a real one has."""
    stage.tell(f"the operator wrote {(await stage.gauges()).writes_by_kind}")
    came: list[Member] = []
    running: set[str] = set()

    async def look_on() -> None:
        async for event in stage.client.watch(ALL_PODS_PATH, version, labelSelector=_OURS):
            member = member_of(event["object"])
            if member is None or event["type"] == "DELETED":
                running.discard(event["object"]["metadata"]["uid"])
            else:
                running.add(member.uid)
                came.append(member)
        raise RuntimeError("the watch of pods ended")

    async def all_run() -> bool:
        stage.must_run()
        members, came[:], all_came = came[:], [], len(running) >= wanted
        await asyncio.to_thread(stand_ins.serve, members)
        if watching.done():
            watching.result()
        return all_came

    watching = asyncio.create_task(look_on())
    try:
        took = await until(all_run, f"{wanted} running pods", within_seconds=_CREATE_SECONDS)
    finally:
        watching.cancel()
    stage.tell(f"all run after another {took:.1f} s")


async def _all_ready(stage: Stage, names: Sequence[str], agents: int) -> None:
    """Wait until the statuses say that the workers were heard: what comes of that is not the next operator's doing."""

    async def all_say_so() -> bool:
        stage.must_run()
        lists = [(await stage.client.get(AGENTS_PATH.format(namespace=name)))["items"] for name in names]
        return sum(_is_ready(item) for items in lists for item in items) == agents

    what = f"{agents} agents that are ready"
    await until(all_say_so, what, within_seconds=_CREATE_SECONDS, every_seconds=_READING_SECONDS)


def _is_ready(item: Manifest) -> bool:
    conditions = item.get("status", {}).get("conditions", [])
    said = {condition["type"]: condition["status"] for condition in conditions}
    return (said.get("Ready"), said.get("Reconciling")) == ("True", "False")


def _ends(stage: Stage, *, crash: bool) -> dict[str, Callable[[], object]]:
    """Return how the operator ends before it starts anew; who is killed leaves a lease of 15 s behind."""
    return ({"after a kill": stage.operator.kill} if crash else {}) | {"restart": stage.operator.stop}


async def _restart(
    stage: Stage, names: Sequence[str], crowd: Crowd, *, name: str, end: Callable[[], object]
) -> tuple[Figure, ...]:
    """Start the operator anew, and see that it comes to know everything and changes nothing."""
    paths = [path.format(namespace=each) for path in (AGENTS_PATH, PODS_PATH) for each in names]
    versions = [await stage.client.versions(path) for path in paths]
    began = time.monotonic()
    await asyncio.to_thread(end)
    await asyncio.to_thread(stage.operator.start)
    await until(stage.is_leading, "a new leader", within_seconds=60)
    leading = time.monotonic() - began

    async def synced() -> bool:
        gauges = await stage.gauges()
        return gauges.turns >= crowd.agents and gauges.queued == 0

    await until(synced, "every agent looked at", within_seconds=_SYNC_SECONDS)
    synced_at = time.monotonic() - began
    stage.tell(f"{name}: synced again after {synced_at:.1f} s")
    first = await stage.gauges()
    await asyncio.sleep(crowd.quiet_seconds)
    last = await stage.gauges()
    if last.writes_by_kind:
        stage.tell(f"{name}: wrote {last.writes_by_kind}")
    changed = sum(
        before != after for before, after in zip(versions, [await stage.client.versions(p) for p in paths], strict=True)
    )
    return (
        Figure(f"{name}: until leading", leading, "s"),
        Figure(f"{name}: until synced", synced_at, "s", at_most=30),
        Figure(f"{name}: CPU until synced", first.cpu_seconds, "s"),
        Figure(f"{name}: memory", last.megabytes, "MB", at_most=600),
        Figure(f"{name}: writes", last.writes, "", at_most=0),
        Figure(f"{name}: collections that changed", changed, "", at_most=0),
        Figure(f"{name}: cores when nothing happens", (last.cpu_seconds - first.cpu_seconds) / crowd.quiet_seconds, ""),
    )


class StandIns:
    """Idle workers in processes of their own: one has not enough file descriptors for all."""

    def __init__(self, count: int) -> None:
        command = [sys.executable, "-m", "e2e.scale.swarm"]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            for _ in range(-(-count // _PER_PROCESS))
        ]
        self._served: set[str] = set()

    def serve(self, members: Sequence[Member]) -> None:
        """Let those speak that do not yet."""
        for member in members if self._processes else ():
            if member.uid not in self._served:
                self._served.add(member.uid)
                line = json.dumps([member.uid, member.name, member.address, member.revision])
                self._say(self._processes[len(self._served) % len(self._processes)], line)
        for process in self._processes:
            self._say(process, "")
            if process.stdout is None or process.stdout.readline() != "ok\n":
                raise RuntimeError("a stand-in for workers does not serve")

    def close(self) -> None:
        """Let none of them speak."""
        for process in self._processes:
            process.kill()
            process.communicate()

    @staticmethod
    def _say(process: "subprocess.Popen[str]", line: str) -> None:
        if process.stdin is not None:
            process.stdin.write(line + "\n")
            process.stdin.flush()
