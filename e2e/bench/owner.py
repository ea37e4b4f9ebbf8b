"""The owner's end of the line to its keeper: one pipe each way."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from e2e.bench.options import BenchError
from e2e.bench.paths import REPOSITORY, Layout

_UP_WITHIN_SECONDS = 180.0
# A real node on a machine that does much else takes its time; who is killed leaves it to whoever sweeps.
DOWN_WITHIN_SECONDS = 180.0


def start_keeper(layout: Layout, alive: int) -> subprocess.Popen[bytes]:
    """Start the process that will own the parts; `alive` is the lock that it holds from now on."""
    with (layout.logs / "keeper.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "e2e.bench.keeper", str(layout.directory), str(os.getpid())],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=(alive,),
            # Ctrl-C in the owner's terminal must not reach the parts before the owner decided what to do.
            start_new_session=True,
        )


def await_ready(keeper: subprocess.Popen[bytes], layout: Layout, tell: Callable[[str], None]) -> None:
    """Wait for the keeper's word, passing on what it says meanwhile."""
    _, stdout = _pipes(keeper)
    deadline = time.monotonic() + _UP_WITHIN_SECONDS
    poll = select.poll()  # select() itself fails in an owner with a thousand open files
    poll.register(stdout, select.POLLIN)
    buffer = b""
    while time.monotonic() < deadline:
        if not poll.poll(1000):
            continue
        chunk = os.read(stdout.fileno(), 65_536)
        if not chunk:
            break
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            message = json.loads(line)
            match message["event"]:
                case "ready":
                    return
                case "failed":
                    raise BenchError(f"the bench did not come up: {message['text']}")
                case _:
                    tell(message["text"])
    raise BenchError(f"the bench did not come up: see {layout.logs / 'keeper.log'}")


def end_keeper(keeper: subprocess.Popen[bytes], word: str) -> None:
    """Say `keep` or `discard`, as to the logs, and wait until the keeper has ended everything."""
    stdin, stdout = _pipes(keeper)
    with suppress(OSError):
        stdin.write(f"{word}\n".encode())
        stdin.flush()
    with suppress(OSError):
        stdin.close()
    try:
        keeper.wait(timeout=DOWN_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()
    stdout.close()


def detach_keeper(keeper: subprocess.Popen[bytes]) -> None:
    """Let the keeper outlive this process."""
    stdin, stdout = _pipes(keeper)
    stdin.write(b"detach\n")
    stdin.close()
    stdout.close()
    # It is meant to run on, so its object must not complain that it does.
    keeper.returncode = 0


def _pipes(keeper: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    return keeper.stdin, keeper.stdout
