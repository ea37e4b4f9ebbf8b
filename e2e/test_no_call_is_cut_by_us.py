"""Promise 1: no scale-down, rollout, spec edit, crash, lost lease, apiserver restart or drain ends a live call.

Twenty real calls on real workers, while everything that may happen to their fleet happens, in several orders. Callers
watch the agent that answered them, workers tell which calls they hold, and each call leaves a record of how it ended.
It looks for one call that either side has lost.
"""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from e2e.bench.control_plane import REAL_NODE
from e2e.bench.waiting import wait_for
from e2e.calls import HeldCall, Records, Scene, hold_calls, set_scene
from e2e.calls.outage import ApiserverOutages, apiserver_outages
from e2e.calls.scene import START_SECONDS

CALLS = 20
WORKERS = 2
LEASE = "voicefleet-operator"
OUTAGE_SECONDS = 2.0
DRAIN_SECONDS = 5
# A young operator waits a whole lease for one that was killed.
LEAD_SECONDS = 60.0
pytestmark = [
    pytest.mark.node,
    pytest.mark.proof,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(os.geteuid() != 0, reason="a real node needs root"),
]


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with set_scene(tmp_path_factory.mktemp("calls"), workers=WORKERS) as scene:
        yield scene
    if not request.session.testsfailed:
        # The keeper takes the end of the first apiserver for an accident, and keeps the logs.
        shutil.rmtree(scene.bench.dir, ignore_errors=True)


@pytest.fixture(scope="module")
def outages(scene: Scene) -> Iterator[ApiserverOutages]:
    """For as long as the scene: the apiserver that came back after an outage ends with this."""
    with apiserver_outages(scene.bench) as outages:
        yield outages


@dataclass
class Trial:
    """Twenty calls, their fleet, and what is done to it."""

    scene: Scene
    calls: Sequence[HeldCall]
    records: Records
    outages: ApiserverOutages
    began_seconds: float = field(default_factory=time.monotonic)
    edits: int = 0

    async def until(self, probe: Callable[[], object], what: str, within_seconds: float = START_SECONDS) -> None:
        """Wait beside the calls for something."""
        await asyncio.to_thread(wait_for, probe, what, within_seconds=within_seconds)

    async def patch(self, **spec: Any) -> None:  # noqa: ANN401 - fields of a spec
        await asyncio.to_thread(self.scene.fleet.patch, spec)

    async def kubectl(self, *words: str, check: bool = True) -> str:
        return await asyncio.to_thread(self.scene.kubectl, *words, check=check)

    def open_workers(self) -> set[str]:
        return {record.pod for record in self.records.alive if record.is_open}

    def busy_workers(self) -> set[str]:
        return {record.pod for record in self.records.alive if record.now}

    async def check(self, after: str) -> None:
        """See to it that both sides still hold all calls: the very ones that began."""
        jobs = {call.job for call in self.calls}
        lost = [call.report().as_text() for call in self.calls if not call.is_live]
        assert not lost, f"after {after}:\n" + "\n".join(lost)
        # A stream that broke off is dialed again within a second.
        await self.until(lambda: jobs <= self.records.held_now(), f"all calls in workers' words after {after}", 10)
        deleted = [record.pod for record in self.records.alive if record.leaving and record.now]
        assert not deleted, f"after {after} {deleted} are being deleted with their calls"
        restarted = [record.pod for record in self.records.heard if len(record.processes) > 1]
        assert not restarted, f"after {after} the kubelet started {restarted} anew"
        print(f"{time.monotonic() - self.began_seconds:6.1f} s  {after}: {len(self.calls)} calls live")


async def roll_out(trial: Trial) -> None:
    """Change the template: new calls go to a new worker, and those that are busy take no more."""
    old = {record.pod for record in trial.records.alive}
    trial.edits += 1
    await trial.patch(worker={"podTemplate": {"env": [{"name": "EDIT", "value": str(trial.edits)}]}})
    await trial.until(lambda: trial.open_workers() - old, "a worker of the new revision that takes calls")
    await trial.until(lambda: not trial.open_workers() & old, "the old workers to take no more calls")


async def roll_back(trial: Trial) -> None:
    """Take the change back: the busy workers are those of the wanted revision again, and take calls."""
    await trial.patch(worker={"podTemplate": {"env": None}})
    await trial.until(lambda: trial.open_workers() & trial.busy_workers(), "busy workers that take calls again")


async def scale_down(trial: Trial) -> None:
    """Ask for one worker where two hold calls, as an HPA would, and for two again."""
    await trial.patch(replicas=1)
    await trial.until(lambda: len(trial.open_workers()) <= 1, "all workers but one to take no more calls")
    await trial.patch(replicas=WORKERS)


async def edit_the_spec(trial: Trial) -> None:
    """Hand the size over with a maximum below what is busy, suspend the agent, and take all of it back."""
    await trial.patch(scaling={"mode": "Auto", "max": 1}, replicas=None)
    await trial.patch(suspend=True)
    await trial.until(lambda: not trial.open_workers(), "a suspended agent to take no more calls")
    await trial.patch(suspend=False, scaling={"mode": "External", "max": 8}, replicas=WORKERS)
    await trial.until(trial.open_workers, "an agent that takes calls again")


async def kill_the_operator(trial: Trial) -> None:
    """End the operator as a crash would, with an edit that it has not seen."""
    await trial.patch(scaling={"max": 3})
    await asyncio.to_thread(trial.scene.operator.kill)
    await trial.patch(scaling={"max": 8})
    await asyncio.to_thread(trial.scene.operator.start)
    await trial.until(trial.scene.operator.leads, "the next operator to lead", LEAD_SECONDS)


async def lose_operator_and_lease(trial: Trial) -> None:
    """End the operator as a crash would, and with it the record of who led."""
    await asyncio.to_thread(trial.scene.operator.kill)
    await trial.kubectl("delete", "lease", LEASE)
    await asyncio.to_thread(trial.scene.operator.start)
    await trial.until(trial.scene.operator.leads, "the next operator to lead", LEAD_SECONDS)


async def freeze_the_operator(trial: Trial) -> None:
    """Hold the operator still for longer than its lease, so that another one leads when it wakes."""
    frozen, standby = trial.scene.operator, trial.scene.another_operator()
    await asyncio.to_thread(standby.start)
    trial.scene.operator = standby
    # From now on the standby is the one that is kept alive.
    frozen.freeze()
    try:
        await trial.until(standby.leads, "the standby to lead", LEAD_SECONDS)
    finally:
        status = await asyncio.to_thread(frozen.thaw)
    assert status == 1


async def take_the_lease(trial: Trial) -> None:
    """Give the lease to somebody else: whoever held it ends at once, and the next one comes up."""
    # One that had just ended by itself would have nothing to lose, and would not end again.
    await trial.until(trial.scene.operator.leads, "an operator that leads", LEAD_SECONDS)
    ends = trial.scene.ends
    lease = ("patch", "lease", LEASE, "--type=merge", "-p")
    await trial.kubectl(*lease, json.dumps({"spec": {"holderIdentity": "somebody-else"}}))
    await trial.until(lambda: trial.scene.ends > ends, "the operator to end by itself")
    await trial.kubectl(*lease, json.dumps({"spec": {"holderIdentity": ""}}))
    await trial.until(trial.scene.operator.leads, "the next operator to lead", LEAD_SECONDS)


async def restart_the_apiserver(trial: Trial) -> None:
    """Take the apiserver away from operator, kubelet and everybody else."""
    await asyncio.to_thread(trial.outages.end)
    await asyncio.sleep(OUTAGE_SECONDS)
    await asyncio.to_thread(trial.outages.begin)
    await trial.until(trial.scene.operator.leads, "an operator that leads", LEAD_SECONDS)


async def drain_the_node(trial: Trial) -> None:
    """Drain the only node: busy workers are not evicted, and serve on when the node is given back."""
    busy = trial.busy_workers()
    said = await trial.kubectl("drain", REAL_NODE, "--delete-emptydir-data", f"--timeout={DRAIN_SECONDS}s", check=False)
    try:
        assert all(f"/{pod}: global timeout reached" in said or pod in said for pod in busy), said
        assert "global timeout" in said, said
        await trial.until(lambda: not trial.open_workers() & busy, "the busy workers to take no more calls")
    finally:
        await trial.kubectl("uncordon", REAL_NODE)
    await trial.until(trial.open_workers, "a worker that takes calls again")


async def lay_hands_on_workers(trial: Trial) -> None:
    """Relabel, delete and evict a busy worker, as somebody in a hurry would."""
    pod = min(trial.busy_workers())
    await trial.until(lambda: _is_marked_busy(trial.scene, pod), "the busy label")
    for words in (("label", "pod", pod, "voicefleet.dev/busy=false", "--overwrite"), ("delete", "pod", pod)):
        assert "is forbidden" in await trial.kubectl(*words, check=False)


Act = Callable[[Trial], Coroutine[Any, Any, None]]
ACTS: tuple[Act, ...] = (
    roll_out,
    roll_back,
    scale_down,
    edit_the_spec,
    kill_the_operator,
    freeze_the_operator,
    restart_the_apiserver,
    drain_the_node,
    lay_hands_on_workers,
)
# A lease that runs out takes a quarter of a minute; after the first order it is lost at once.
AT_ONCE: dict[Act, Act] = {kill_the_operator: lose_operator_and_lease, freeze_the_operator: take_the_lease}
QUICK_ACTS = tuple(AT_ONCE.get(act, act) for act in ACTS)


def each_after_each_other(acts: Sequence[Act]) -> list[Act]:
    """Return a walk in which every act follows every other one, and no pair comes twice: Hierholzer's."""
    left = {act: [other for other in acts if other is not act] for act in acts}
    way, walk = [acts[0]], []
    while way:
        if left[way[-1]]:
            way.append(left[way[-1]].pop())
        else:
            walk.append(way.pop())
    return walk[::-1]


async def test_twenty_calls_outlive_all_that_is_done_to_their_fleet(scene: Scene, outages: ApiserverOutages) -> None:
    await asyncio.to_thread(scene.wait_until_ready, WORKERS)
    records = Records(scene.bench, scene.fleet.namespace, scene.fleet.agent)
    async with scene.kept_operator(), records.kept(), hold_calls(scene.line, scene.agent, CALLS) as calls:
        trial = Trial(scene, calls, records, outages)
        await trial.check("the beginning")
        first = {record.pod for record in records.alive if record.now}
        for act in (*ACTS, *each_after_each_other(QUICK_ACTS)):
            await act(trial)
            await trial.check(act.__name__.replace("_", " "))
        # So that those who hold the calls have to leave when these end.
        await roll_out(trial)
        await trial.check("a last roll out")
        assert records.tally() == (0, 0, 0)
        assert {record.pod for record in records.heard if record.emptied_with_calls} >= first

        await asyncio.gather(*(call.hang_up() for call in calls))

        await trial.until(lambda: records.tally()[0] == CALLS, "the workers to have counted all calls")
        await trial.until(lambda: len(scene.call_records()) >= CALLS, "a record of each call")
        await trial.until(lambda: not first & set(scene.fleet.pods()), "the workers of the first calls to leave")
        await trial.until(lambda: scene.fleet.says("Reconciling") == "False AsWanted", "a fleet as wanted")
        assert {name.split("-")[1] for name in scene.fleet.pods()} == {scene.fleet.told("revision")}
    reports, left = [call.report() for call in calls], scene.call_records()
    shortest = min(report.seconds for report in reports)
    print(f"shortest call {shortest:.0f} s, begun on {sorted(first)}; {scene.ends} operators ended by themselves")
    assert [report.as_text() for report in reports if report.was_cut] == []
    assert {len(call.agents) for call in calls} == {1}
    assert records.tally() == (CALLS, 0, 0)
    ended = {record["room"]: record["disposition"] for record in left}
    assert ended == {call.seat.room: "CallerHungUp" for call in calls}
    assert len(left) == CALLS
    # The guard would have stopped an operator that errs; ours never asked for what it forbids.
    assert "holds calls" not in scene.log.read_text()


async def test_a_call_that_is_cut_shows_on_both_sides(scene: Scene) -> None:
    """The instruments can tell: when somebody ends a worker with its calls, caller and records notice."""
    await asyncio.to_thread(scene.wait_until_ready, WORKERS)
    records = Records(scene.bench, scene.fleet.namespace, scene.fleet.agent)
    async with scene.kept_operator(), records.kept(), hold_calls(scene.line, scene.agent, 1) as (call,):
        await asyncio.to_thread(wait_for, lambda: records.held_now() == {call.job}, "the call in a worker's words")
        (holder,) = (record for record in records.alive if record.now)
        ended = await asyncio.to_thread(_end_with_its_calls, scene, holder.pod)
        await asyncio.to_thread(wait_for, lambda: not call.is_live, "the caller to notice")
        report = call.report()

    assert ended
    assert report.was_cut
    assert call.job not in records.held_now()


def _end_with_its_calls(scene: Scene, pod: str) -> str:
    scene.kubectl("annotate", "pod", pod, "voicefleet.dev/end-calls=true")
    return scene.kubectl("delete", "pod", pod, "--force", "--grace-period=0", "--wait=false")


def _is_marked_busy(scene: Scene, pod: str) -> bool:
    return bool(scene.fleet.pods()[pod]["metadata"]["labels"]["voicefleet.dev/busy"] == "true")
