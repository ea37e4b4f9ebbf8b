"""Ctrl-C, whoever hears it and however often it comes."""

import asyncio
import os
import signal
import termios
import threading
import time
import tty
from collections.abc import Iterator

import pytest

from voicefleet_worker.chat.keyboard import terminal_kept
from voicefleet_worker.chat.leaving import heed_ctrl_c

PATIENCE_SECONDS = 5.0
# Nothing tells that a loop sleeps. One that does not yet is no test, and fails none.
FALLING_ASLEEP_SECONDS = 0.2


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Give back what the loop of a test does not: pytest's own."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


class Chat:
    """Somebody who is talked to, until Ctrl-C."""

    def __init__(self) -> None:
        self.has_left_at_once = threading.Event()
        self.was_cancelled = threading.Event()

    async def talk(self) -> None:
        heed_ctrl_c(self.has_left_at_once.set)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise


async def press_beside(noticed: threading.Event) -> bool:
    """Have Ctrl-C arrive in a thread that does not run the loop, while that sleeps; tell whether it was noticed."""

    def press() -> bool:
        time.sleep(FALLING_ASLEEP_SECONDS)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return noticed.wait(PATIENCE_SECONDS)

    return await asyncio.to_thread(press)


async def test_ctrl_c_wakes_a_loop_that_sleeps_while_another_thread_gets_it() -> None:
    chat = Chat()
    talking = asyncio.create_task(chat.talk())
    await asyncio.sleep(0)

    assert await press_beside(chat.was_cancelled)
    assert talking.cancelled()
    assert not chat.has_left_at_once.is_set()


async def test_a_second_ctrl_c_does_not_wait_for_what_is_being_closed() -> None:
    chat = Chat()
    talking = asyncio.create_task(chat.talk())
    await asyncio.sleep(0)
    await press_beside(chat.was_cancelled)

    assert await press_beside(chat.has_left_at_once)
    assert talking.cancelled()


def test_whoever_leaves_at_once_gives_back_the_terminal_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = os.openpty()
    with os.fdopen(far) as keys:
        monkeypatch.setattr("sys.stdin", keys)
        before = termios.tcgetattr(keys)
        with terminal_kept() as give_back:
            tty.setcbreak(keys)
            changed = termios.tcgetattr(keys)
            give_back()
            after = termios.tcgetattr(keys)
    os.close(near)

    assert (after == before, changed == before) == (True, False)
