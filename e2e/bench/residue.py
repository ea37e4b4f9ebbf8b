"""What processes leave behind that the kernel does not clean up with them: a bridge, and cgroups.

The keeper writes the list down before it makes anything, so whoever finds a dead bench can finish the job.
"""

import json
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from e2e.bench.packages import find_program
from e2e.bench.paths import Layout

_CGROUPS = Path("/sys/fs/cgroup")
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Residue:
    """One bench's leftovers."""

    bridge: str
    cgroup: str
    """Its name below each cgroup hierarchy."""


def record_residue(layout: Layout, residue: Residue) -> None:
    """Write down what is about to be made."""
    layout.residue.write_text(json.dumps(asdict(residue)))


def remove_residue(layout: Layout) -> bool:
    """Remove what was written down, and tell whether that is done; safe to repeat."""
    if not layout.residue.is_file():
        return True
    residue = Residue(**json.loads(layout.residue.read_text()))
    program = find_program("ip")
    if program is not None:
        subprocess.run([str(program), "link", "delete", residue.bridge], capture_output=True, check=False)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not remove_cgroups(residue.cgroup):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)  # the kernel is still burying the last process
    return True


def cgroup_hierarchies() -> list[Path]:
    """List where cgroups are made: one place with version 2, one per controller with version 1."""
    if (_CGROUPS / "cgroup.controllers").is_file():
        return [_CGROUPS]
    return [entry for entry in _CGROUPS.iterdir() if entry.is_dir() and not entry.is_symlink()]


def remove_cgroups(name: str) -> bool:
    """Remove a cgroup with all below it; tell whether none is left."""
    roots = [hierarchy / name for hierarchy in cgroup_hierarchies()]
    for root in roots:
        below = [path for path in root.rglob("*") if path.is_dir()] if root.is_dir() else []
        for path in (*sorted(below, reverse=True), root):  # children before parents
            with suppress(OSError):
                path.rmdir()
    return not any(root.exists() for root in roots)
