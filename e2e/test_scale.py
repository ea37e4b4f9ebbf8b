"""The measurements of `make bench-scale` at a size that says nothing of speed: what they count must be right."""

import asyncio

import pytest

from e2e.bench import Bench
from e2e.scale.applying import measure_apply
from e2e.scale.figures import Figure, Outcome, quantile, table
from e2e.scale.many import Crowd, measure_many
from e2e.scale.one import measure_shrink, measure_stream
from e2e.scale.stage import bench_for_scale, set_stage

# The first test waits for all four measurements.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """All four measurements, on a control plane of their own: the shared one is not there to kill operators on."""
    with bench_for_scale() as bench:
        return asyncio.run(_measure(bench))


async def _measure(bench: Bench) -> dict[str, Outcome]:
    async with set_stage(bench, print, still_seconds=1.5) as stage:
        found = [
            await measure_apply(stage, per_second=10, seconds=0.3),
            await measure_stream(stage, workers=4, changes_per_second=20, seconds=2),
            await measure_shrink(stage, workers=4),
            await measure_many(stage, Crowd(2, workers=2, crash=False, quiet_seconds=1.5)),
        ]
    return {outcome.measurement: outcome for outcome in found}


def test_each_applied_agent_gets_a_pod(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["apply"]["agents without a pod"] == 0


def test_what_workers_say_is_decided_about_and_counted(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["stream"]["changes"] > 0
    assert 0 < outcomes["stream"]["change to decision p99"] < float("inf")


def test_of_a_fleet_that_shrinks_only_idle_workers_go(outcomes: dict[str, Outcome]) -> None:
    shrink = outcomes["shrink"]
    assert shrink["busy workers that were taken"] == 0
    assert shrink["workers missing"] == 0


def test_a_new_operator_changes_nothing_about_a_world_that_is_as_wanted(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["many"]["restart: collections that changed"] == 0


def test_a_new_operator_writes_nothing_at_all(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["many"]["restart: writes"] == 0


def test_a_figure_that_could_not_be_taken_is_not_within_its_limit() -> None:
    assert quantile([], 0.99) == float("inf")
    assert not Figure("nothing seen", quantile([], 0.99), "ms", at_most=500).kept


def test_a_quantile_is_one_of_the_values() -> None:
    assert [quantile(range(1, 101), share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]


def test_the_table_says_which_limits_were_missed() -> None:
    figures = (Figure("fast", 1.0, "s", at_most=2), Figure("slow", 3.0, "s", at_most=2), Figure("free", 3.0, "s"))
    text = table([Outcome("one", "One", figures, (), {"pods": 3})])

    kept, missed, free = text.splitlines()[1:]
    assert kept.endswith("kept")
    assert missed.endswith("MISSED")
    assert free.endswith("s")
