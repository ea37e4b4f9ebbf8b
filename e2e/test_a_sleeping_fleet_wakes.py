"""An agent that is alone in its pool goes to sleep, and the caller who wakes it is answered.

Its lookout and its workers are processes in the name of simulated pods; only LiveKit tells them of the caller.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.caller.line import Line
from e2e.calls import hold_calls
from e2e.operating import Fleet, confined_operator, fleet_of, remove_agents
from e2e.pod_processes import PodProcesses
from e2e.providers import Providers
from e2e.providers.wire import HearingMode
from e2e.working import agent_manifest, pool_manifest, secret_manifests

pytestmark = pytest.mark.timeout(600)

AGENT = "alone"
LOOKOUT = f"{AGENT}-lookout"
# With a chance of one in five within a start, it sleeps after a silence of two starts and a bit.
SLEEPY = {
    "min": 0,
    "max": 2,
    "scaleToZero": True,
    "warmFloorSlots": 0,
    "startupSeconds": 10,
    "holdSeconds": 120,
    "targetBlockedFraction": 0.2,
}
ASLEEP = "no call is expected; the next one starts a worker"
START_SECONDS = 150.0
TOLD_SECONDS = 20.0
SLEEP_SECONDS = 300.0


@pytest.fixture(scope="module")
def hearing() -> HearingMode:
    return "script"


@pytest.fixture
def fleet(bench: Bench, providers: Providers, namespace: str, tmp_path: Path) -> Iterator[Fleet]:
    agent = agent_manifest(AGENT)
    agent["metadata"] = {"name": AGENT}
    agent["spec"]["scaling"] = SLEEPY
    with confined_operator(bench, namespace, tmp_path / "operator.log"), fleet_of(bench, namespace, AGENT) as fleet:
        for manifest in (*secret_manifests(bench), pool_manifest(bench.livekit.ws_url, providers), agent):
            bench.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))
        yield fleet
        remove_agents(bench, namespace)


@pytest.fixture
async def processes(bench: Bench, fleet: Fleet, tmp_path: Path) -> AsyncIterator[None]:
    async with PodProcesses(bench, fleet.namespace, AGENT, tmp_path).kept():
        yield


async def until(probe: Callable[[], object], what: str, within_seconds: float) -> None:
    await asyncio.to_thread(wait_for, probe, what, within_seconds=within_seconds)


@pytest.mark.usefixtures("processes")
async def test_an_agent_alone_in_its_pool_sleeps_and_the_caller_who_wakes_it_is_answered(
    fleet: Fleet, line: Line
) -> None:
    await until(lambda: fleet.told("workers.ready") == 1, "a worker that takes calls", START_SECONDS)
    await until(lambda: [*fleet.pods()] == [LOOKOUT], "a fleet that sleeps", SLEEP_SECONDS)
    await until(lambda: fleet.message() == ASLEEP, "a status that says so", TOLD_SECONDS)
    assert fleet.says("Ready") == "True NoWorkers"

    async with hold_calls(line, f"{fleet.namespace}.{AGENT}", 1) as (caller,):
        pods = set(fleet.pods())
        assert caller.is_live
        assert caller.report().joined_ms < SLEEPY["holdSeconds"] * 1000
        print(f"answered after {caller.report().joined_ms / 1000:.1f} s")
        assert pods > {LOOKOUT}
        await until(lambda: fleet.told("calls") == 1, "a call in the status", START_SECONDS)
    assert not caller.report().was_cut
