"""The process that owns a bench's parts: brings them up, watches them, and takes them down.

    python -m e2e.bench.keeper DIRECTORY OWNER_PID

It ends with its owner, unless the owner said `detach`: a pipe tells a clean end, a pidfd every other. It
writes JSON lines to stdout: `{"event": "progress" | "ready" | "failed", "text": …}`. All parts are children of
its only thread, so that the kernel ends them when it is killed itself.
"""

import json
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from e2e.bench.assembly import assemble_bench
from e2e.bench.options import BenchError
from e2e.bench.paths import Layout
from e2e.bench.plan import plan_bench
from e2e.bench.ports import Claims
from e2e.bench.process import Command, PartDiedError, Running, describe_log, processes_of, start_part, stop_parts
from e2e.bench.registry import decode_options, discard_bench
from e2e.bench.residue import remove_residue

_POLL_SECONDS = 0.05
_READY_WITHIN_SECONDS = 90.0
_GONE_WITHIN_SECONDS = 60.0


class _Stop(Exception):  # noqa: N818 - nothing is wrong
    """Somebody wants the bench down."""

    def __init__(self, *, keep_logs: bool) -> None:
        self.keep_logs = keep_logs


class Keeper:
    """Parts, and everybody who may end them."""

    def __init__(self, layout: Layout, owner_pid: int) -> None:
        self.layout = layout
        self._owner_pid = owner_pid
        self._running: list[Running] = []
        self._died = False
        self._detached = False
        self._ready = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._on_command)
        self._owner = os.pidfd_open(owner_pid)
        self._selector.register(self._owner, selectors.EVENT_READ, self._on_owner_gone)
        self._watch_signals()

    def start(self, command: Command) -> None:
        """Start a part and watch it."""
        part = start_part(command, bench=self.layout.directory, logs=self.layout.logs)
        self._running.append(part)
        pidfd = os.pidfd_open(part.process.pid)

        def on_death() -> None:
            self._selector.unregister(pidfd)
            os.close(pidfd)
            self._on_part_death(part)

        self._selector.register(pidfd, selectors.EVENT_READ, on_death)

    def wait_until(self, checks: Mapping[str, Callable[[], bool]]) -> None:
        """Wait until every check, named by its part, says yes."""
        deadline = time.monotonic() + _READY_WITHIN_SECONDS
        pending = dict(checks)
        while pending:
            self._pump(_POLL_SECONDS)
            pending = {name: check for name, check in pending.items() if not check()}
            if pending and time.monotonic() > deadline:
                name = next(iter(pending))
                log = self.layout.logs / f"{name}.log"
                raise PartDiedError(f"{name} is not ready after {_READY_WITHIN_SECONDS:.0f} s; {describe_log(log)}")

    def run(self) -> bool:
        """Keep the bench until somebody ends it; tell whether its logs are worth keeping."""
        keep_logs = True
        try:
            if os.getppid() != self._owner_pid:
                return True
            options = decode_options(json.loads(self.layout.options.read_text()))
            plan = plan_bench(options, self.layout, Claims())
            assemble_bench(plan, self).write(self.layout.facts)
            self._ready = True
            self.tell("ready", "")
            while True:
                self._pump(None)
        except _Stop as stop:
            keep_logs = stop.keep_logs or self._died
        except Exception as error:  # noqa: BLE001 - whatever it is, the owner must hear of it
            if not isinstance(error, BenchError):
                traceback.print_exc()
            self.tell("failed", str(error) or repr(error))
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            stop_parts(self._running)
            self._await_last_process()
        return keep_logs

    def tell(self, event: str, text: str) -> None:
        """Report to the owner, who may be gone or have stopped listening."""
        with suppress(OSError):
            os.write(sys.stdout.fileno(), (json.dumps({"event": event, "text": text}) + "\n").encode())

    def _await_last_process(self) -> None:
        """A real node's processes end a moment after the one that held their namespace."""
        deadline = time.monotonic() + _GONE_WITHIN_SECONDS
        while processes_of(self.layout.directory) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _pump(self, timeout_seconds: float | None) -> None:
        for key, _ in self._selector.select(timeout_seconds):
            key.data()

    def _on_command(self) -> None:
        said = os.read(sys.stdin.fileno(), 256).decode()
        if "detach" in said:
            self._detached = True
            self._selector.unregister(sys.stdin.fileno())
            if self._owner >= 0:
                self._selector.unregister(self._owner)
                self._owner = -1
        elif not self._detached:  # an end of file says that the owner died without a word
            raise _Stop(keep_logs="discard" not in said)

    def _on_owner_gone(self) -> None:
        raise _Stop(keep_logs=True)

    def _on_part_death(self, part: Running) -> None:
        self._died = True
        text = part.describe_death()
        (self.layout.deaths / part.name).write_text(text)
        if not self._ready:
            raise PartDiedError(text)

    def _watch_signals(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

        def on_signal() -> None:
            os.read(reader, 64)
            raise _Stop(keep_logs=False)

        self._selector.register(reader, selectors.EVENT_READ, on_signal)


def main() -> None:
    layout = Layout(Path(sys.argv[1]))
    keep_logs = Keeper(layout, int(sys.argv[2])).run()
    if remove_residue(layout):  # otherwise the next sweep finds the list, and goes on
        discard_bench(layout, keep_logs=keep_logs)


if __name__ == "__main__":
    main()
