"""The measurements of `make bench-scale` at a size that says nothing of speed: what they count must be right."""

from collections.abc import Iterator

import pytest

from e2e.bench import Bench
from e2e.scale.applying import measure_apply
from e2e.scale.figures import Figure, Outcome, quantile, table
from e2e.scale.many import measure_many
from e2e.scale.one import measure_shrink, measure_stream
from e2e.scale.stage import bench_for_scale, set_stage


@pytest.fixture(scope="module")
def scale_bench() -> Iterator[Bench]:
    """A control plane of its own: the shared one is somebody else's to kill operators on."""
    with bench_for_scale() as bench:
        yield bench


async def test_every_measurement_counts_what_it_should_and_nothing_is_written_or_cut(scale_bench: Bench) -> None:
    async with set_stage(scale_bench, print) as stage:
        applied = await measure_apply(stage, per_second=10, seconds=0.3)
        stream = await measure_stream(stage, workers=4, changes_per_second=20, seconds=2)
        shrink = await measure_shrink(stage, workers=4)
        many = await measure_many(stage, agents=2, workers=2, quiet_seconds=2)

    assert applied["agents without a pod"] == 0
    assert stream["changes"] > 0
    assert stream["change to decision p99"] > 0
    assert (shrink["busy workers that were taken"], shrink["workers missing"]) == (0, 0)
    assert many["restart: writes"] == 0
    assert many["restart: collections that changed"] == 0


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
