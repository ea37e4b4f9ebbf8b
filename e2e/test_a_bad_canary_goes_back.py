"""A canary that callers flee from is found out by its own figures, goes back by itself, and cuts nobody.

Real calls on real workers of two revisions, and callers who hang up at once on the new one. It looks for a canary that
is never judged, for new calls that still reach one that was found worse, and for a call that ends with it.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.bench.waiting import wait_for
from e2e.calls import HeldCall, Records, Scene, set_scene
from e2e.calls.scene import START_SECONDS

WORKERS = 2
CALLERS = 5
MOST_CALLS = 80
# Whoever hangs up later than ten seconds after the beginning was not put off.
CONTENT_SECONDS = 12.0
CANARY = {
    "steps": [{"sharePercent": 50, "pauseSeconds": 600}],
    "analysis": {"intervalSeconds": 5, "minCalls": 10},
}
pytestmark = [
    pytest.mark.node,
    pytest.mark.proof,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a real node needs root"),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with set_scene(tmp_path_factory.mktemp("canary"), workers=WORKERS) as scene:
        yield scene


class Trial:
    """Callers who come one after another, and which revision answered whom."""

    def __init__(self, scene: Scene, records: Records) -> None:
        self.scene = scene
        self.records = records
        self.answered: dict[str, int] = {}

    async def until(self, probe: Any, what: str, within_seconds: float = START_SECONDS) -> None:  # noqa: ANN401
        """Wait beside the calls for something."""
        await asyncio.to_thread(wait_for, probe, what, within_seconds=within_seconds)

    def rollout(self) -> dict[str, Any]:
        found: dict[str, Any] = self.scene.fleet.status().get("rollout", {})
        return found

    def is_over(self) -> bool:
        return self.rollout().get("phase") == "RolledBack"

    def takes_calls(self, revision: str) -> bool:
        return any(record.is_open for record in self.records.alive if record.revision == revision)

    async def answer(self) -> tuple[HeldCall, str]:
        """Have a call answered, and return the revision that did."""
        call = HeldCall(self.scene.line, self.scene.agent)
        await call.join()
        await self.until(lambda: call.job in self.records.held_now(), "the call in a worker's words", 20)
        revision = next(record.revision for record in self.records.heard if call.job in record.held)
        self.answered[revision] = self.answered.get(revision, 0) + 1
        return call, revision

    async def keep_calling(self, disliked: str) -> None:
        """Call again and again until the rollout is over, and hang up at once on the revision that nobody likes."""
        while sum(self.answered.values()) < MOST_CALLS and not await asyncio.to_thread(self.is_over):
            began = time.monotonic()
            call, revision = await self.answer()
            if revision != disliked:
                await asyncio.sleep(began + CONTENT_SECONDS - time.monotonic())
            assert call.is_live, call.report().as_text()
            await call.hang_up()


async def test_a_canary_that_callers_flee_from_goes_back_by_itself_and_cuts_nobody(scene: Scene) -> None:
    await asyncio.to_thread(scene.wait_until_ready, WORKERS)
    records = Records(scene.bench, scene.fleet.namespace, scene.fleet.agent)
    async with scene.kept_operator(), records.kept():
        trial = Trial(scene, records)
        # A revision that never took a call has nothing that a canary could be compared with.
        loyal, stable = await trial.answer()
        await asyncio.to_thread(scene.fleet.patch, {"rollout": {"canary": CANARY}})
        await asyncio.to_thread(
            scene.fleet.patch, {"worker": {"podTemplate": {"env": [{"name": "EDIT", "value": "1"}]}}}
        )
        await trial.until(lambda: trial.rollout().get("phase") == "Progressing", "a rollout")
        canary = (await asyncio.to_thread(trial.rollout))["revision"]
        await trial.until(lambda: trial.takes_calls(canary), "a canary that takes calls")
        patient = await _until_answered_by(trial, canary)

        await asyncio.gather(*(trial.keep_calling(canary) for _ in range(CALLERS)))

        await trial.until(trial.is_over, "the canary to be found out")
        rollout = await asyncio.to_thread(trial.rollout)
        print(f"answered by {trial.answered}: {rollout['verdict']}")
        assert "callers who hang up within ten seconds" in rollout["verdict"]
        await trial.until(lambda: not trial.takes_calls(canary), "the canary to take no more calls")
        late = [await trial.answer() for _ in range(4)]
        assert {revision for _, revision in late} == {stable}
        # Who was on the line with it stays there.
        assert loyal.is_live, loyal.report().as_text()
        assert patient.is_live, patient.report().as_text()
        for call in (loyal, patient, *(call for call, _ in late)):
            await call.hang_up()
        assert records.tally()[1] == 0
        await trial.until(lambda: {r.revision for r in records.alive} == {stable}, "the canary's workers to leave")


async def _until_answered_by(trial: Trial, revision: str) -> HeldCall:
    for _ in range(MOST_CALLS):
        call, answered_by = await trial.answer()
        if answered_by == revision:
            return call
        await asyncio.sleep(CONTENT_SECONDS)
        await call.hang_up()
    raise AssertionError(f"{revision} gets no calls")
