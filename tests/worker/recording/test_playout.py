"""When an agent's words are heard: a time line with a rate of ten samples a second."""

import numpy as np

from voicefleet_worker.recording.playout import Playout

RATE = 10


def words(seconds: float, value: int = 1) -> np.ndarray:
    return np.full(round(seconds * RATE), value, dtype=np.int16)


def heard(playout: Playout, now: float) -> list[tuple[float, int, int]]:
    return [(round(at, 3), len(samples), int(samples[0])) for at, samples in playout.take(now)]


def test_what_is_made_at_once_is_heard_one_after_the_other() -> None:
    playout = Playout(RATE)
    playout.add(words(1, 1), now=5.0)
    playout.add(words(2, 2), now=5.1)

    assert heard(playout, 5.5) == [(5.0, 5, 1)]
    assert heard(playout, 7.0) == [(5.5, 5, 1), (6.0, 10, 2)]
    assert heard(playout, 99.0) == [(7.0, 10, 2)]


def test_a_voice_that_is_slower_than_speech_leaves_gaps() -> None:
    playout = Playout(RATE)
    playout.add(words(1), now=0.0)
    playout.add(words(1), now=3.0)

    assert heard(playout, 9.0) == [(0.0, 10, 1), (3.0, 10, 1)]


def test_what_is_cut_short_is_never_heard() -> None:
    playout = Playout(RATE)
    playout.add(words(4), now=0.0)
    playout.clear(now=1.5)
    playout.add(words(1, 2), now=2.0)

    assert heard(playout, 9.0) == [(0.0, 15, 1), (2.0, 10, 2)]


def test_a_pause_moves_what_comes_after_it() -> None:
    playout = Playout(RATE)
    playout.add(words(2), now=0.0)
    playout.pause(now=1.0)
    assert heard(playout, 3.0) == [(0.0, 10, 1)]
    playout.resume(now=4.0)
    playout.add(words(1, 2), now=4.5)

    assert heard(playout, 9.0) == [(4.0, 10, 1), (5.0, 10, 2)]


def test_a_pause_that_nobody_looked_at_counts_as_well() -> None:
    playout = Playout(RATE)
    playout.add(words(2), now=0.0)
    playout.pause(now=1.0)
    playout.resume(now=4.0)

    assert heard(playout, 9.0) == [(0.0, 10, 1), (4.0, 10, 1)]


def test_what_is_cut_short_in_a_pause_ends_where_the_pause_began() -> None:
    playout = Playout(RATE)
    playout.add(words(4), now=0.0)
    playout.pause(now=1.0)
    playout.clear(now=3.0)
    playout.resume(now=3.0)
    playout.add(words(1, 2), now=3.5)

    assert heard(playout, 9.0) == [(0.0, 10, 1), (3.5, 10, 2)]
