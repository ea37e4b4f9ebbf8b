"""Taking a bench's apiserver away and bringing it back, as the same command with the same data."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.bench import Bench
from e2e.bench.api import Api
from e2e.bench.process import ENVIRONMENT_MARK, find_part
from e2e.bench.waiting import wait_for

_READY_SECONDS = 60.0


class ApiserverOutages:
    """The bench's keeper does not start a part twice, so after the first outage the apiserver is ours."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._api = Api(bench.api_url, bench.ca_file, bench.admin_token)
        self._pid = find_part(bench.dir, "kube-apiserver")
        self._command = tuple(Path(f"/proc/{self._pid}/cmdline").read_bytes().decode().split("\0")[:-1])
        self._process: subprocess.Popen[bytes] | None = None

    def end(self) -> None:
        """Kill the apiserver and wait until nobody answers."""
        os.kill(self._pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
        wait_for(lambda: self._api.get("/readyz").status == 0, "silence of the apiserver")

    def begin(self) -> None:
        """Start it again and wait until it is ready."""
        environment = {**os.environ, ENVIRONMENT_MARK: str(self._bench.dir)}
        with (self._bench.logs_dir / "kube-apiserver.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        self._pid = self._process.pid
        wait_for(self._api.is_ready, "an apiserver that is ready", within_seconds=_READY_SECONDS)

    def close(self) -> None:
        """End what was started here; the keeper does not know of it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


@contextmanager
def apiserver_outages(bench: Bench) -> Iterator[ApiserverOutages]:
    """Let a test take the apiserver away."""
    outages = ApiserverOutages(bench)
    try:
        yield outages
    finally:
        outages.close()
