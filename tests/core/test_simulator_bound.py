"""The clairvoyant bound, against all ways of having workers tried one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet_simulator.bound import bound_pod_hours
from voicefleet_simulator.trace import Call, Trace, build_trace

CALLS = st.lists(st.builds(Call, st.integers(0, 9).map(float), st.integers(1, 6).map(float)), min_size=1, max_size=8)


def _trace(*calls: tuple[float, float], seconds: float | None = None) -> Trace:
    return build_trace("test", [Call(start, duration) for start, duration in calls], seconds=seconds)


def _cheapest(trace: Trace, slots: int, startup: int) -> int:
    """Try every number of workers in every second: each costs its seconds, and a start-up when it is new."""
    spans = list(zip(trace.starts, trace.durations, strict=True))
    needed = [
        -(-sum(start <= at < start + duration for start, duration in spans) // slots)
        for at in range(int(trace.seconds))
    ]
    costs = {0: 0}
    for need in needed:
        costs = {
            count: min(cost + startup * max(0, count - before) for before, cost in costs.items()) + count
            for count in range(need, max(needed) + 1)
        }
    return min(costs.values())


@given(calls=CALLS, slots=st.integers(1, 3), startup=st.integers(0, 6))
def test_no_way_of_having_workers_is_cheaper_and_one_is_as_cheap(calls: list[Call], slots: int, startup: int) -> None:
    trace = build_trace("test", calls)
    seconds = bound_pod_hours(trace, slots=slots, startup_seconds=startup) * 3600
    assert seconds == pytest.approx(_cheapest(trace, slots, startup))


@pytest.mark.parametrize(
    ("calls", "seconds"),
    [
        ([(0, 100)], 145),
        ([(0, 100), (0, 100)], 145),
        ([(0, 100), (0, 100), (50, 10)], 145 + 55),
        ([(0, 100), (110, 90)], 45 + 200),
        ([(0, 100), (1000, 90)], 2 * 45 + 190),
        ([(0, 100), (100, 100), (0, 100), (100, 100)], 45 + 200),
    ],
    ids=[
        "a call takes a start and its length",
        "two calls share a worker of two slots",
        "a third needs another worker for its own length",
        "over a short gap the worker stays",
        "over a long gap it leaves and starts anew",
        "whoever ends makes room for whoever starts at that moment",
    ],
)
def test_the_bound_of_a_small_day_is_what_one_counts_by_hand(calls: list[tuple[float, float]], seconds: float) -> None:
    assert bound_pod_hours(_trace(*calls), slots=2, startup_seconds=45) * 3600 == pytest.approx(seconds)


def test_what_happens_after_the_day_costs_nothing() -> None:
    whole = _trace((0, 100), (200, 1000), seconds=150)
    assert bound_pod_hours(whole, slots=1, startup_seconds=45) * 3600 == pytest.approx(145)


def test_a_day_without_calls_costs_nothing() -> None:
    assert bound_pod_hours(_trace(seconds=100), slots=1, startup_seconds=45) == 0
