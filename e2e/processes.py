"""How processes of ours are started, and what they have begun, as /proc tells; it may be gone by the time one looks."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# The second start finds compiled what the first one compiled: in the images everything is.
COMPILED = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(__file__).resolve().parent.parent / "build" / "compiled"),
}


def children_of(pid: int) -> list[int]:
    # Each is listed with the thread that forked it.
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in listed for child in read(thread).split()]


def descendants_of(pid: int) -> Iterator[int]:
    for child in children_of(pid):
        yield child
        yield from descendants_of(child)


def kill_calls_of(worker: int) -> None:
    """Kill what a worker's fork server has forked, as a kernel out of memory would."""
    for call in [call for fork_server in children_of(worker) for call in children_of(fork_server)]:
        with suppress(ProcessLookupError):
            os.kill(call, signal.SIGKILL)


def read(path: Path) -> str:
    """Read what is told of a process, which is nothing once it is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""
