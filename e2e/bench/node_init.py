"""The first process of a real node: containerd and kubelet below it, in PID and mount namespaces of its own.

Run by path with `python -I -S`, with one JSON file as its argument. When it ends the kernel kills whatever runs
in its PID namespace, pods included, and drops every mount. It ends when either server does.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_SOCKET_WITHIN_SECONDS = 30.0
# containerd and kubelet write to these by fixed names; the host's own stay as they are.
_HIDDEN = ("/run", "/var/lib", "/var/log")


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _hide(path: str, bench: Path, staging: Path) -> None:
    """Put an empty file system over a directory, but keep the bench visible if it lives below it."""
    cover = staging / path.strip("/").replace("/", "-")
    cover.mkdir(parents=True)
    _mount("-t", "tmpfs", "tmpfs", str(cover))
    if bench.is_relative_to(path):
        inside = cover / bench.relative_to(path)
        inside.mkdir(parents=True)
        _mount("--bind", str(bench), str(inside))
    _mount("--rbind", str(cover), path)


def _start(argv: list[str], log: str) -> int:
    with Path(log).open("ab") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    # It is reaped by number below, among orphans.
    process.returncode = 0
    return process.pid


def _await_socket(path: Path) -> None:
    deadline = time.monotonic() + _SOCKET_WITHIN_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            sys.exit(f"containerd does not answer on {path}")
        time.sleep(0.02)


def main() -> None:
    orders: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    # Volumes that containers share need a shared root; ours has no peer outside.
    _mount("--make-rshared", "/")
    for path in _HIDDEN:
        _hide(path, Path(orders["bench"]), Path(orders["staging"]))
    names = {_start(orders["containerd"], orders["containerd_log"]): "containerd"}
    _await_socket(Path(orders["socket"]))
    names[_start(orders["kubelet"], orders["kubelet_log"])] = "kubelet"
    subprocess.run(orders["import"], check=True)
    while True:
        pid, status = os.wait()
        if pid in names:
            log = orders[f"{names[pid]}_log"]
            lines = Path(log).read_text(errors="replace").splitlines()[-15:]
            ended = f"{names[pid]} ended with status {os.waitstatus_to_exitcode(status)}"
            sys.exit("\n".join((f"{ended}; its last lines ({log}):", *lines)))


if __name__ == "__main__":
    main()
