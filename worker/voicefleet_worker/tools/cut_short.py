"""Work that is cut short when it takes too much of the processor.

A pattern that meets the wrong text takes twice as long for each further letter, and no thread helps: while it is read,
nothing else of a call's process runs, not even its sound.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class TookTooLongError(Exception):
    """It was cut short."""


@contextlib.contextmanager
def cut_short(processor_seconds: float) -> Iterator[None]:
    """Raise in the block once the process has worked for so long; only the main thread can be cut short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, processor_seconds)
    try:
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        finally:
            # One that rings late is passed over: by itself it would end the process.
            signal.signal(signal.SIGVTALRM, before if callable(before) else signal.SIG_IGN)


def _ring(_signal: int, _frame: FrameType | None) -> None:
    raise TookTooLongError
