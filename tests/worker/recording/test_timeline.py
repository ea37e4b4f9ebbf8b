"""Both sides on one time line, at a rate of ten samples a second."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet_worker.recording.timeline import AGENT, CALLER, Run, Timeline

RATE = 10


def sound(count: int, value: int = 1) -> np.ndarray:
    return np.full(count, value, dtype=np.int16)


def sides(block: np.ndarray) -> tuple[list[int], list[int]]:
    return block[:, CALLER].tolist(), block[:, AGENT].tolist()


def test_each_side_has_its_channel_and_its_time() -> None:
    line = Timeline(RATE, began_at=100.0)
    line.place(CALLER, 100.1, sound(2, 5))
    line.place(AGENT, 100.3, sound(3, 7))

    assert sides(line.take(100.5)) == ([0, 5, 5, 0, 0], [0, 0, 0, 7, 7])
    assert sides(line.take(100.7)) == ([0, 0], [7, 0])


def test_what_comes_too_late_is_lost_and_moves_nothing() -> None:
    line = Timeline(RATE, began_at=0.0)
    line.take(1.0)
    line.place(CALLER, 0.8, sound(4, 5))

    assert sides(line.take(1.4)) == ([5, 5, 0, 0], [0, 0, 0, 0])


def test_a_pause_is_silence_on_both_sides_and_lasts_as_long_as_it_lasted() -> None:
    line = Timeline(RATE, began_at=0.0)
    line.place(CALLER, 0.0, sound(10))
    line.place(AGENT, 0.0, sound(10))
    line.pause(0.2)
    line.pause(0.3)
    first = sides(line.take(0.4))
    line.resume(0.6)
    second = sides(line.take(1.0))

    assert first == ([1, 1, 0, 0], [1, 1, 0, 0])
    assert second == ([0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1])


@given(st.lists(st.floats(0, 0.5), max_size=20))
def test_the_file_is_as_long_as_the_call_however_often_it_is_written(steps: list[float]) -> None:
    line, now, length = Timeline(1000, began_at=0.0), 0.0, 0
    for step in steps:
        line.place(CALLER, now, sound(100))
        now += step
        length += len(line.take(now))

    assert length == round(now * 1000)


@pytest.mark.parametrize(
    ("arrivals", "begins"),
    [
        pytest.param([1.0, 1.1, 1.2], [0.9, 1.0, 1.1], id="in time"),
        pytest.param([1.0, 1.15, 1.19], [0.9, 1.0, 1.1], id="a little late, and back"),
        pytest.param([1.0, 1.5, 1.5, 1.5, 1.5, 1.5], [0.9, 1.0, 1.1, 1.2, 1.3, 1.4], id="late, and then all at once"),
        pytest.param([1.0, 9.0, 9.1], [0.9, 8.9, 9.0], id="after a long silence"),
        pytest.param(
            [1.0, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.1, 2.2],
            [0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.0, 2.1],
            id="late, and staying so",
        ),
    ],
)
def test_sound_that_arrives_is_put_where_it_was_spoken(arrivals: list[float], begins: list[float]) -> None:
    run = Run(RATE)

    assert [round(run.place(1, at), 3) for at in arrivals] == begins
