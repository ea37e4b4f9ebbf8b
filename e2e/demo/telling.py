"""Showing how far the demo is, to a person or to a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    started = time.monotonic()
    print(f"▸ {title} …", flush=True)
    yield
    print(f"✓ {title} ({time.monotonic() - started:.1f} s)", flush=True)


def show(title: str, text: str) -> None:
    """Print a command's answer under what was asked."""
    print(f"\n  {title}", flush=True)
    for line in text.rstrip().splitlines():
        print(f"    {line}", flush=True)
    print(flush=True)


def fail(message: str) -> int:
    """Say in one line why it does not go on."""
    print(f"demo: {message}", file=sys.stderr, flush=True)
    return 1
