"""Latencies as counts: quantiles near the truth, two sketches as one, and old ones forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from voicefleet.providers.latency import Sketch

LATENCIES = st.lists(st.floats(0.021, 15), min_size=1, max_size=200)


def sketch_of(latencies: list[float], *, now: float = 600.0) -> Sketch:
    sketch = Sketch()
    for latency in latencies:
        sketch = sketch.adding(latency, now)
    return sketch


@given(LATENCIES, st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_a_tenth_off_at_most(latencies: list[float], share: float) -> None:
    ordered = sorted(latencies)
    exact = ordered[max(0, -(-int(share * len(ordered) * 100) // 100) - 1)]
    above = ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    measured = sketch_of(latencies).quantile(share)

    assert measured is not None
    assert exact * 0.9 <= measured <= above * 1.1


@given(LATENCIES, LATENCIES)
def test_two_workers_know_what_one_would(one: list[float], two: list[float]) -> None:
    assert sketch_of(one).merged(sketch_of(two), 600.0) == sketch_of([*one, *two])


def test_what_was_is_forgotten_after_two_minutes() -> None:
    sketch = sketch_of([1.0], now=600.0)

    assert sketch.at(659.0).quantile(0.5) is not None
    assert sketch.at(719.0).quantile(0.5) is not None
    assert sketch.at(720.0).quantile(0.5) is None


def test_nobody_knows_how_long_takes_who_was_never_asked() -> None:
    assert Sketch().quantile(0.5) is None


def test_whatever_takes_longer_than_anything_is_counted_too() -> None:
    assert (sketch_of([1e6]).quantile(0.5) or 0) > 10
