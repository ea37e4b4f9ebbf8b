"""What all measurements share: a LiveKit server, stand-in providers, a folder, and who else uses the machine."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.bench import Bench, BenchOptions
from e2e.bench.options import Livekit
from e2e.bench.process import find_part
from e2e.caller import Line
from e2e.providers import Control, Providers, start_providers
from e2e.voice_bench.usage import descend, read_processes

SENTENCE = "That is all, thank you."
ANSWER = "You are welcome."
_CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
# Nobody recognises speech here: each utterance is taken for the next line of a script that does not end.
_SCRIPT = (SENTENCE,) * 20_000


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a measurement works with."""

    livekit: Livekit
    providers: Providers
    folder: Path
    livekit_pid: int
    providers_pid: int
    tell: Callable[[str], None]

    @property
    def line(self) -> Line:
        """How callers reach the server."""
        return Line(self.livekit.ws_url, self.livekit.api_key, self.livekit.api_secret)

    @property
    def control(self) -> Control:
        """How the providers are broken and mended."""
        return Control(self.providers.control_url)


@contextmanager
def set_stage(tell: Callable[[str], None]) -> Iterator[Stage]:
    """Bring up what calls need, and nothing beside it that would take a share of two cores."""
    options = BenchOptions(redis=False, kwok_nodes=0)
    with (
        Bench.up(options) as bench,
        asleep(bench),
        start_providers(hearing="script") as providers,
        tempfile.TemporaryDirectory(prefix="voice-bench-") as folder,
    ):
        stage = Stage(
            livekit=bench.livekit,
            providers=providers,
            folder=Path(folder),
            livekit_pid=find_part(bench.dir, "livekit-server"),
            providers_pid=_find_providers(),
            tell=tell,
        )
        speak_shortly(stage.control)
        yield stage


def speak_shortly(control: Control) -> None:
    """Let every utterance be understood, and be answered in a few words."""
    control.reset()
    control.set_script(_SCRIPT)
    control.set_rules([{"match": "thank", "reply": ANSWER}])


@contextmanager
def asleep(bench: Bench) -> Iterator[None]:
    """Stop the control plane meanwhile: no call needs it, and it is never quite idle."""
    parts = []
    for name in _CONTROL_PLANE:
        try:
            parts.append(find_part(bench.dir, name))
        except LookupError:
            continue
    for pid in parts:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in parts:
            os.kill(pid, signal.SIGCONT)


def _find_providers() -> int:
    """Return the process of the stand-ins, a child of ours."""
    for pid in descend(os.getpid(), read_processes()):
        if b"e2e.providers" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return pid
    raise LookupError("no stand-in providers run")
