"""Starting the stand-ins in a process of their own, so that a test's event loop stays its own."""

import json
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.providers.urls import Providers
from e2e.providers.wire import HearingMode

_ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0


class DidNotStartError(RuntimeError):
    """The server ended or said nothing in time."""


@contextmanager
def start_providers(
    *, host: str = "127.0.0.1", port: int = 0, advertise: str = "", hearing: HearingMode = "hear"
) -> Iterator[Providers]:
    """Run the server and yield its URLs; it ends with the block."""
    command = [
        sys.executable, "-m", "e2e.providers", "--print-json", "--tethered",
        "--host", host, "--port", str(port), "--advertise", advertise, "--hearing", hearing,
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT) as process:
        try:
            yield Providers(**json.loads(_first_line(process)))
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    if process.stdout is None:
        raise DidNotStartError("no pipe")
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(_START_SECONDS):
            raise DidNotStartError(f"nothing printed in {_START_SECONDS:.0f} s")
    line = process.stdout.readline()
    if not line:
        raise DidNotStartError(f"exit status {process.wait(_STOP_SECONDS)}")
    return line
