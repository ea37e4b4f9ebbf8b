"""Wait for something to become true, for so long and no longer."""

import time
from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")


def wait_for(probe: Callable[[], _Value], what: str, *, within_seconds: float = 30.0) -> _Value:
    """Call `probe` until its answer is truthy and return that; fail naming `what` was waited for."""
    deadline = time.monotonic() + within_seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_seconds:g} s: {what} (last answer: {answer!r})")
        time.sleep(0.05)
