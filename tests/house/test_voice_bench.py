"""The arithmetic of `make bench-worker`: figures that were taken side by side on a machine that changes its speed."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.voice_bench.pairs import added, grown_share, ratio, slope
from e2e.voice_bench.plot import write_plot
from e2e.voice_bench.series import PARTS, Sample
from e2e.voice_bench.usage import Process, cpu_seconds, descend, megabytes, parse_stat

MINUTES = [60.0 * minute for minute in range(11)]
positive = st.floats(min_value=0.01, max_value=1_000)


@given(st.lists(st.tuples(positive, positive), min_size=1), st.lists(positive, min_size=1))
def test_a_machine_that_slows_down_between_pairs_changes_no_ratio(
    pairs: list[tuple[float, float]], speeds: list[float]
) -> None:
    speed = [speeds[number % len(speeds)] for number in range(len(pairs))]
    ours, theirs = zip(*pairs, strict=True)
    slowed = [value * s for value, s in zip(ours, speed, strict=True)]
    also_slowed = [value * s for value, s in zip(theirs, speed, strict=True)]

    assert ratio(slowed, also_slowed) == pytest.approx(ratio(ours, theirs))


def test_one_disturbed_pair_of_five_does_not_decide() -> None:
    assert ratio([1.0, 1.1, 9.0, 1.1, 1.1], [1.0] * 5) == pytest.approx(1.1)


@pytest.mark.parametrize("theirs", [[], [0.0]])
def test_a_ratio_that_could_not_be_measured_keeps_no_limit(theirs: list[float]) -> None:
    assert math.isinf(ratio([1.0] * len(theirs), theirs))


def test_what_is_added_at_a_quantile_is_the_distance_of_the_two_quantiles() -> None:
    theirs = [float(value) for value in range(1, 101)]
    ours = [value + 5 for value in theirs[:90]] + [value + 40 for value in theirs[90:]]

    assert added(ours, theirs, 0.5) == 5
    assert added(ours, theirs, 0.95) == 40
    assert math.isinf(added([], [], 0.5))


@given(st.floats(min_value=-50, max_value=50), st.floats(min_value=0, max_value=1_000))
def test_the_slope_of_a_line_is_found_although_one_point_is_far_off(per_second: float, start: float) -> None:
    values = [start + per_second * second for second in MINUTES]
    values[-1] += 1e6

    assert slope(MINUTES, values) == pytest.approx(per_second, abs=1e-6)


def test_memory_that_grows_by_a_megabyte_a_minute_shows_and_memory_that_sways_does_not() -> None:
    grows = [500.0 + minute for minute in range(11)]
    sways = [500.0 + (minute % 2) * 10 for minute in range(11)]

    assert grown_share(MINUTES, grows, within=600) == pytest.approx(10 / 505)
    assert grown_share(MINUTES, sways, within=600) == 0


def test_memory_that_shrinks_has_not_grown() -> None:
    assert grown_share(MINUTES, [500.0 - minute for minute in range(11)], within=600) == 0


def test_too_few_points_for_a_slope_keep_no_limit() -> None:
    assert math.isinf(grown_share([60.0], [500.0], within=600))


def test_a_process_is_read_whatever_its_name() -> None:
    fields = ["S", "7", *["0"] * 9, "100", "20", "3", "4", *["0"] * 30]
    line = f"42 (a) b (c) {' '.join(fields)}"

    assert parse_stat(line) == Process(pid=42, parent=7, ticks=127)


def test_a_family_is_a_process_and_all_that_came_of_it_and_nobody_else() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 20: 1}
    processes = {pid: Process(pid, parent, 0) for pid, parent in parents.items()}

    assert descend(10, processes) == {10, 11, 12}
    assert descend(99, processes) == set()


def test_a_process_that_is_gone_has_used_nothing_and_holds_nothing() -> None:
    assert cpu_seconds([-1]) == (0.0,)
    assert megabytes(-1) == 0


def test_a_picture_of_a_soak_is_drawn(tmp_path: Path) -> None:
    samples = [Sample(10.0 * n, 900.0, 0.8, dict.fromkeys(PARTS, 0.3)) for n in range(1, 9)]
    one, two = tmp_path / "docs" / "one.svg", tmp_path / "docs" / "two.svg"
    for path in (one, two):
        write_plot(path, samples, title="8 calls on one worker", cores=2)

    assert all(part in one.read_text() for part in (*PARTS, "8 calls on one worker"))
    assert one.read_text() == two.read_text(), "the same figures make the same file"
