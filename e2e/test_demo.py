"""`make demo` does the main job: operator by its chart, worker on a real node, a call of three turns, and it leaves."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.demo.scene import LINES

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

    status = subprocess.run(
        [sys.executable, "-m", "e2e.bench", "status"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert name not in status.stdout
