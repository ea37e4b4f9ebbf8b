"""Ctrl-C: the first one ends a chat in order, another one at once."""

import asyncio
import signal
from collections.abc import Callable


def heed_ctrl_c(leave_at_once: Callable[[], None]) -> asyncio.Event:
    """Cancel this task at the first Ctrl-C, leave at the second, and return what tells that there was one.

    What is closed in order may wait for a tool that is at work, or for an address that is looked up.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    was_heard = asyncio.Event()

    def hear(*_: object) -> None:
        if was_heard.is_set():
            leave_at_once()
        was_heard.set()
        if task is not None:
            loop.call_soon_threadsafe(task.cancel)

    # For its effect: the signal itself wakes the loop. One that comes as the loop falls asleep, or to another
    # thread, would else lie there until something else happens, and nothing else does while a line is awaited.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    # In place of what the loop would do: that waits until the loop comes round, which something may be keeping it from.
    signal.signal(signal.SIGINT, hear)
    return was_heard
