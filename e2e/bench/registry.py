"""The benches of this user: which are alive, what each is, and sweeping up after those that were killed.

A bench is alive while its keeper holds the lock on its `alive` file. The kernel drops that lock with the
keeper, so a number that was given to another process meanwhile can't fool anybody.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from e2e.bench.options import BenchError, BenchOptions, Livekit
from e2e.bench.paths import Layout, benches_directory
from e2e.bench.process import processes_of
from e2e.bench.residue import remove_residue

_KEPT_LOGS = 10
_RESERVED = {"claims"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a keeper says about the bench it keeps."""

    name: str
    keeper_pid: int
    options: BenchOptions
    api_url: str
    ca_file: str
    admin_token: str
    redis_url: str | None
    postgres_url: str | None
    livekit: Livekit | None
    node_name: str | None
    host_address: str
    containerd_socket: str
    pod_cidr: str

    def write(self, path: Path) -> None:
        """Appear at once, and for this user only."""
        scratch = path.with_suffix(".new")
        scratch.touch(mode=0o600)
        scratch.write_text(json.dumps(asdict(self)))
        scratch.replace(path)


def read_facts(layout: Layout) -> Facts:
    """Read what the keeper wrote when the bench became ready."""
    raw = json.loads(layout.facts.read_text())
    raw["options"] = decode_options(raw["options"])
    if raw["livekit"] is not None:
        raw["livekit"] = Livekit(**raw["livekit"])
    return Facts(**raw)


def decode_options(raw: dict[str, Any]) -> BenchOptions:
    """Turn JSON back into options: it has lists where they have tuples."""
    arguments: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    return BenchOptions(**arguments)


def create_bench(options: BenchOptions) -> tuple[Layout, int]:
    """Make a bench's directory; return it with the lock that keeps it alive, for the keeper to inherit."""
    with _registry_locked():
        name = options.name or f"bench{secrets.token_hex(2)}"
        if not name.replace("-", "").isalnum() or name in _RESERVED:
            raise BenchError(f"{name!r} can't be a bench's name: use letters, digits and dashes")
        if options.name and any(bench_name(layout) == name for layout in list_alive()):
            raise BenchError(f"a bench named {name} is up already: use another --name, or take it down first")
        layout = Layout(benches_directory() / f"{name}-{secrets.token_hex(3)}")
        layout.make()
        descriptor = os.open(layout.alive, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        layout.options.write_text(json.dumps(asdict(options)))
    return layout, descriptor


def bench_name(layout: Layout) -> str:
    """Read a bench's name off its directory."""
    return layout.directory.name.rpartition("-")[0]


def is_alive(layout: Layout) -> bool:
    """Tell whether a keeper holds this bench."""
    try:
        descriptor = os.open(layout.alive, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def list_alive() -> list[Layout]:
    """List the benches that have a keeper."""
    return [layout for layout in _all() if is_alive(layout)]


def find_alive(name: str) -> Layout:
    """Find a bench that is ready, by its name."""
    for layout in list_alive():
        if bench_name(layout) == name and layout.facts.is_file():
            return layout
    raise BenchError(f"no bench named {name} is up: start one with `python -m e2e.bench up --name {name}`")


def sweep_dead() -> list[str]:
    """Remove what killed benches left: interfaces, cgroups, data. Their logs stay for a while."""
    swept = []
    with _registry_locked():
        dead = [layout for layout in _all() if not is_alive(layout)]
        for layout in dead:
            # The lock goes a moment before the last part does; what still runs is the next sweep's business.
            if layout.alive.exists() and not processes_of(layout.directory) and remove_residue(layout):
                discard_bench(layout, keep_logs=True)
                swept.append(layout.directory.name)
        kept = [layout for layout in dead if layout.directory.is_dir() and not layout.alive.exists()]
        kept.sort(key=lambda layout: layout.directory.stat().st_mtime, reverse=True)
        for layout in kept[_KEPT_LOGS:]:
            shutil.rmtree(layout.directory, ignore_errors=True)
    return swept


def discard_bench(layout: Layout, *, keep_logs: bool) -> None:
    """Remove a bench's files, its secrets above all; with `keep_logs` the logs stay where they were."""
    if not keep_logs:
        shutil.rmtree(layout.directory, ignore_errors=True)
        return
    for entry in layout.directory.iterdir():
        if entry == layout.logs:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with suppress(OSError):
                entry.unlink()


def _all() -> list[Layout]:
    entries = sorted(benches_directory().iterdir())
    return [Layout(entry) for entry in entries if entry.is_dir() and entry.name not in _RESERVED]


@contextmanager
def _registry_locked() -> Iterator[None]:
    """Keep a sweep from taking a directory for dead that is just being made."""
    with (benches_directory() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
