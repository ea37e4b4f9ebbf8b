"""A Redis of a test's own, which it may kill and start again."""

import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
import redis.asyncio

from e2e.bench.packages import require_program
from e2e.bench.waiting import wait_for

_SECONDS = 10


@dataclass
class RedisServer:
    """One server process after another on the same port; each forgets what the one before knew."""

    folder: Path
    port: int
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address without the password, as a spec has it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> "redis.Redis":
        """Return a client that knows the password."""
        return redis.Redis.from_url(self.url, password=self.password, decode_responses=True)

    def async_client(self, *, password: str | None = None) -> "redis.asyncio.Redis":
        """Return a client for an event loop, that knows the password or goes by another one."""
        return redis.asyncio.Redis.from_url(self.url, password=password or self.password, decode_responses=True)

    def raw_client(self) -> "redis.Redis":
        """Return a client that leaves bytes as they are."""
        return redis.Redis.from_url(self.url, password=self.password)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        file = self.folder / "redis.conf"
        file.touch(mode=0o600)
        file.write_text(
            f"port {self.port}\nbind 127.0.0.1\nrequirepass {self.password}\n"
            f'dir {self.folder}\nsave ""\nappendonly no\n'
        )
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([str(require_program("redis-server")), str(file)], stdout=log, stderr=log)
        with self.client() as client:
            wait_for(lambda: _answers(client), "an answer of Redis")

    def kill(self) -> None:
        """End it at once, with all that it knows."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_SECONDS)
            self._process = None


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def run_redis(folder: Path) -> Iterator[RedisServer]:
    """Run one until the test is over."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = RedisServer(folder, port)
    server.start()
    try:
        yield server
    finally:
        server.kill()
