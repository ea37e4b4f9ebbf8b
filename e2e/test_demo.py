"""`make demo` does the main job: operator by its chart, worker on a real node, a call of three turns, and it leaves."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.bench import BenchError, CommandFailed
from e2e.demo import __main__ as demo
from e2e.demo.scene import LINES
from e2e.images.build import _run
from e2e.providers.launch import DidNotStartError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.node
@pytest.mark.timeout(1500)
@pytest.mark.skipif(os.geteuid() != 0, reason="a real node needs root")
def test_the_demo_makes_its_call_and_leaves_nothing_behind() -> None:
    name = f"demo-{os.getpid()}"
    command = [sys.executable, "-m", "e2e.demo", "--once", "--name", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    # Ready, one call, eleven of twelve slots free: seen by kubectl while the caller was on the line.
    assert re.search(r"receptionist\s+True\s+1\s+11\s+1\s", told), told
    # And the call is over afterwards.
    assert re.search(r"receptionist\s+True\s+0\s+12\s+1\s", told), told
    assert told.count("caller: ") == told.count("(understood: ") == len(LINES), told
    assert "open from nine to five" in told, told
    assert "taking everything down" in done.stdout.splitlines()[-1], told

    status = subprocess.run(
        [sys.executable, "-m", "e2e.bench", "status"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert name not in status.stdout


@pytest.mark.parametrize(
    "error",
    [
        BenchError("worker image failed"),
        CommandFailed(1, ["helm", "upgrade"], stderr="no such chart"),
        DidNotStartError("nothing printed in 20 s"),
        TimeoutError("not within 30 s: the call to be over in the status"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_step_that_fails_is_told_without_a_traceback(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(demo, "set_stage", fail)
    monkeypatch.setattr("e2e.demo.__main__.signal.signal", lambda *_: None)
    monkeypatch.setattr("e2e.demo.__main__.os.geteuid", lambda: 0)
    monkeypatch.setattr("e2e.demo.__main__.shutil.which", lambda name: name)
    monkeypatch.setattr(sys, "argv", ["demo"])

    assert demo.main() == 1
    assert capsys.readouterr().err == f"demo: {error}\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sh", "-c", "echo no space left; exit 3"], "worker image failed: sh -c .*\nno space left"),
        (["/nowhere/pip"], "worker image failed: /nowhere/pip: No such file or directory"),
    ],
)
def test_a_step_of_an_image_that_fails_says_which_and_why(command: list[str], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        _run("worker image", command)
