"""A bad example, for the test of the guard that catches it."""

import time


def sleep_in_the_loop() -> None:
    """Block whoever calls."""
    time.sleep(0.001)
