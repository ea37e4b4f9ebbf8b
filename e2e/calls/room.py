"""Room for many workers on a node of two cores that the kubelet believes to be full.

A worker asks for a tenth of a core, or the node could not take a fleet beside its successors; and a pod's limit is its
request, so the kernel would let it have no more. It would then take a minute to start, and its calls would break off
for want of it, which proves nothing. So the limits are lifted in the kernel, pod by pod as they come.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from e2e.bench import Bench
from e2e.bench.residue import cgroup_hierarchies

_EVERY_SECONDS = 0.3
# By file: what says "no limit" there, in either version of cgroups.
_UNLIMITED = {"cpu.cfs_quota_us": "-1", "cpu.max": "max"}
# The node as a whole is as heavy as one process of the host otherwise.
_HEAVY = {"cpu.shares": "16384", "cpu.weight": "1600"}


@contextmanager
def unlimited_cores(bench: Bench) -> Iterator[None]:
    """Let the pods of a bench's real node use the cores as they are free."""
    name = json.loads((bench.dir / "residue.json").read_text())["cgroup"]
    roots = [hierarchy / name for hierarchy in cgroup_hierarchies() if (hierarchy / name).is_dir()]
    _write(roots, _HEAVY)
    enough = threading.Event()
    lifting = threading.Thread(target=_lift, args=(roots, enough), daemon=True)
    lifting.start()
    try:
        yield
    finally:
        enough.set()
        lifting.join()


def _lift(roots: list[Path], enough: threading.Event) -> None:
    while not enough.wait(_EVERY_SECONDS):
        # A pod may go while we look.
        with suppress(OSError):
            _write([path.parent for root in roots for name in _UNLIMITED for path in root.rglob(name)], _UNLIMITED)


def _write(directories: list[Path], words: dict[str, str]) -> None:
    for directory in directories:
        for name, word in words.items():
            path = directory / name
            with suppress(OSError):
                if path.is_file() and path.read_text().split()[0] != word:
                    path.write_text(word)
