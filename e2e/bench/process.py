"""Start parts so that none can outlive the keeper, and say what one wrote before it died."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from e2e.bench.options import BenchError

TAIL_LINES = 15
ENVIRONMENT_MARK = "VOICEFLEET_BENCH"
"""Every process of a bench carries the bench's directory under this name."""
_TETHER = Path(__file__).with_name("tether.py")
_STOP_SECONDS = 5.0
# The kernel cuts names of processes.
_LONGEST_COMM = 15


@dataclass(frozen=True, slots=True)
class Command:
    """One part to start."""

    name: str
    argv: tuple[str, ...]
    user: str = "-"
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGKILL
    """Nothing here is worth saving, so most parts are killed; Postgres wants to be told."""


class PartDiedError(BenchError):
    """A part ended by itself."""


@dataclass(frozen=True, slots=True)
class Running:
    """A part that was started."""

    command: Command
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def name(self) -> str:
        return self.command.name

    def describe_death(self) -> str:
        """Say how it ended, with its last words."""
        return f"{self.name} {_describe_exit(self.process.wait())}; {describe_log(self.log)}"


def start_part(command: Command, *, bench: Path, logs: Path) -> Running:
    """Start a part. Must be called from the keeper's main thread: its death is what ends the part."""
    log = logs / f"{command.name}.log"
    tether = (sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), command.user)
    environment = {**os.environ, **command.environment, ENVIRONMENT_MARK: str(bench)}
    with log.open("ab") as output:
        process = subprocess.Popen(
            (*tether, *command.argv),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
        )
    return Running(command, process, log)


def stop_parts(parts: list[Running]) -> None:
    """Stop all at once; whoever needs more than a few seconds is killed."""
    for part in parts:
        if part.process.poll() is None:
            part.process.send_signal(part.command.stop_signal)
    for part in parts:
        try:
            part.process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            part.process.kill()
            part.process.wait()


def describe_log(log: Path) -> str:
    """Quote a log's last lines and say where it is."""
    return f"its last lines ({log}):\n{tail(log) or '(nothing)'}"


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """Read the last lines of a file that may not exist."""
    with suppress(OSError):
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    return ""


def find_part(bench: Path, name: str) -> int:
    """Return the process of a part."""
    for pid in processes_of(bench):
        if Path(f"/proc/{pid}/comm").read_text().strip() == name[:_LONGEST_COMM]:
            return pid
    raise LookupError(f"no {name} of {bench}")


def processes_of(bench: Path) -> list[int]:
    """List the living processes of a bench, by the mark in their environment or where they work.

    Postgres writes its titles over its environment. Containers don't inherit it, but their shims do.
    """
    mark = f"{ENVIRONMENT_MARK}={bench}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended meanwhile, or is somebody else's
            marked = mark in (entry / "environ").read_bytes().split(b"\0")
            if marked or str((entry / "cwd").readlink()).startswith(f"{bench}/"):
                found.append(int(entry.name))
    return found


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    return f"was killed by {signal.Signals(-code).name}"
