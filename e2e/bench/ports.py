"""Ports and subnets that no other bench of this machine holds.

A claim is a lock on a file, held by the keeper: it ends with the keeper, so a dead bench leaves nothing
claimed. Ports come from below the kernel's ephemeral range, where no outgoing connection can take one between
the moment it was picked and the moment its server binds it.
"""

import fcntl
import os
import random
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from e2e.bench.options import BenchError
from e2e.bench.paths import benches_directory

_LOWEST_PORT = 20_000
_HIGHEST_PORT = 32_000
_ATTEMPTS = 2_000


class Claims:
    """What one bench holds; let go by `release` or by the end of the process."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or benches_directory() / "claims"
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._held: list[int] = []

    def claim_port(self) -> int:
        """Hold a port that is free for TCP and UDP on every address."""
        span = range(_LOWEST_PORT, min(_HIGHEST_PORT, _lowest_ephemeral_port() - 1))
        for _ in range(_ATTEMPTS):
            port = random.choice(span)
            if self._claim(f"port-{port}"):
                if _is_free(port):
                    return port
                self._drop_last()
        raise BenchError(f"no free port between {span.start} and {span.stop}")

    def claim_loopback_cidr(self) -> str:
        """Hold a /16 of loopback for simulated pods: a stand-in can then listen on a pod's own address."""
        for second in random.sample(range(1, 255), 254):
            if self._claim(f"loopback-{second}"):
                return f"127.{second}.0.1/16"
        raise BenchError("no free loopback range between 127.1.0.0 and 127.254.0.0")

    def claim_pod_subnet(self) -> str:
        """Hold the first three numbers of a /24 that the machine does not route yet."""
        routes = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, check=True).stdout
        for _ in range(_ATTEMPTS):
            subnet = f"10.{random.randint(240, 249)}.{random.randint(0, 255)}"
            if f"{subnet}." not in routes and self._claim(f"subnet-{subnet}"):
                return subnet
        raise BenchError("no free pod subnet between 10.240.0.0 and 10.249.255.0")

    def release(self) -> None:
        """Let everything go."""
        while self._held:
            self._drop_last()

    def _claim(self, key: str) -> bool:
        descriptor = os.open(self._directory / key, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._held.append(descriptor)
        return True

    def _drop_last(self) -> None:
        os.close(self._held.pop())


def _lowest_ephemeral_port() -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return 32_768


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True
