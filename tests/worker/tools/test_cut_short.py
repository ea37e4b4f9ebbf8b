"""A text that a pattern never comes to an end with holds up a call for a moment, and not for good."""

import asyncio
import signal
import time

import pytest
from livekit.agents import ToolError

from voicefleet_worker.tools.arguments import Arguments
from voicefleet_worker.tools.cut_short import TookTooLongError, cut_short

NAMES = {"type": "object", "properties": {"name": {"type": "string", "pattern": r"^(\w+\s?)*$"}}}
# It would take a thousand years.
ENDLESS = "a" * 60 + "!"


def work(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_text_that_a_pattern_does_not_come_to_an_end_with_is_told_to_the_model() -> None:
    began = time.process_time()
    with pytest.raises(ToolError, match="cannot be checked"):
        Arguments(NAMES).check({"name": ENDLESS})

    assert time.process_time() - began < 2.0
    Arguments(NAMES).check({"name": "Ada Okonkwo"})


def test_a_timer_that_rings_late_ends_no_process() -> None:
    with cut_short(0.02):
        pass
    signal.raise_signal(signal.SIGVTALRM)


def test_whoever_listened_to_the_timer_before_does_so_again() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGVTALRM, lambda number, _: heard.append(number))
    try:
        with pytest.raises(TookTooLongError), cut_short(0.02):
            work(1.0)
        with cut_short(0.05):
            pass
        work(0.2)
        assert heard == [], "nothing rings afterwards"
        signal.raise_signal(signal.SIGVTALRM)
    finally:
        signal.signal(signal.SIGVTALRM, before)

    assert heard == [signal.SIGVTALRM]


async def test_a_thread_is_left_alone() -> None:
    def in_a_thread() -> str:
        with cut_short(0.02):
            work(0.1)
        return "done"

    assert await asyncio.to_thread(in_a_thread) == "done"
