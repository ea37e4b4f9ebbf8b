"""Build what is missing, once per version and machine.

A binary appears in the cache by one rename, so nobody ever runs half of one; a lock per binary makes a second
builder wait for the first instead of doing the same work beside it.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from e2e.bench.options import BenchError
from e2e.bench.parts import PARTS, Part

_MINIMUM_GO = (1, 26)
_HEARTBEAT_SECONDS = 5.0
_TAIL_LINES = 15


def find_part(name: str) -> Part:
    """Look a part up by its binary's name."""
    for part in PARTS:
        if part.name == name:
            return part
    raise BenchError(f"there is no part {name!r}; there are {', '.join(part.name for part in PARTS)}")


def find_binary(name: str) -> Path:
    """Return a built binary's path, or say how to build it."""
    part = find_part(name)
    if not part.exists_in_repository:
        raise BenchError(f"{name} can't be built: {part.module} has no go.mod")
    if not part.binary.is_file():
        raise BenchError(f"{name} is not built: run `python -m e2e.bench build --only {name}`")
    return part.binary


def list_missing(names: Iterable[str]) -> list[Part]:
    """Name those parts that have to be built first."""
    parts = [find_part(name) for name in names]
    return [part for part in parts if part.exists_in_repository and not part.binary.is_file()]


def build_parts(parts: Sequence[Part]) -> None:
    """Build what is missing of these, one after the other, telling what goes on."""
    present = [part for part in parts if part.exists_in_repository]
    if any(not part.binary.is_file() for part in present):
        _require_go()
    for number, part in enumerate(present, start=1):
        title = f"[{number}/{len(present)}] {part.name} {_shown_version(part)}"
        if part.binary.is_file():
            print(f"{title} … already built", flush=True)
        else:
            _build_under_lock(part, title)


def _shown_version(part: Part) -> str:
    return f"v{part.version}" if part.pinned else part.version


def _require_go() -> None:
    go = shutil.which("go")
    wanted = ".".join(map(str, _MINIMUM_GO))
    if go is None:
        raise BenchError(f"go is not on PATH: install Go {wanted} or later")
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout.strip()
    match = re.match(r"go(\d+)\.(\d+)", said)
    if match and (int(match[1]), int(match[2])) < _MINIMUM_GO:
        raise BenchError(f"go on PATH is {said}: install Go {wanted} or later")


def _build_under_lock(part: Part, title: str) -> None:
    folder = part.binary.parent
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".{part.name}.lock", title):
        if part.binary.is_file():
            print(f"{title} … built by somebody else meanwhile", flush=True)
            return
        with tempfile.TemporaryDirectory(prefix=f".{part.name}-", dir=folder) as scratch:
            _compile(part, Path(scratch), title)
            (Path(scratch) / part.name).replace(part.binary)


@contextmanager
def _locked(path: Path, title: str) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{title} … another build of it is going on: waiting", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(part: Part, scratch: Path, title: str) -> None:
    ldflags = f"-s -w {part.ldflags}".strip()
    environment = {**os.environ, "CGO_ENABLED": "0"}
    if part.module is None:
        command = ["go", "install", "-ldflags", ldflags, f"{part.package}@v{part.version}"]
        environment["GOBIN"] = str(scratch)
    else:
        command = ["go", "build", "-ldflags", ldflags, "-o", str(scratch / part.name), part.package]
    log = scratch / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=part.module,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _wait_with_heartbeat(process, title)
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        raise BenchError(f"{part.name} does not build ({' '.join(command[:2])} …):\n{tail}")


def _wait_with_heartbeat(process: subprocess.Popen[bytes], title: str) -> None:
    """Wait for the build; on a terminal one line counts up, in a log a line comes now and then."""
    terminal = sys.stdout.isatty()
    started = time.monotonic()
    beats = 0
    try:
        while True:
            try:
                process.wait(timeout=_HEARTBEAT_SECONDS)
            except subprocess.TimeoutExpired:
                beats += 1
                if terminal or beats % 6 == 0:
                    print(
                        f"{title} … {time.monotonic() - started:.0f} s so far",
                        end="\r" if terminal else "\n",
                        flush=True,
                    )
            else:
                break
    finally:
        if process.poll() is None:  # Ctrl-C, or a time limit of the caller
            process.kill()
            process.wait()
    if process.returncode == 0:
        print(f"{title} … {time.monotonic() - started:.0f} s{' ' * 10}", flush=True)
