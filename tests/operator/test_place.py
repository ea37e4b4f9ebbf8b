"""One process at a time in a pod, as the kernel has it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from voicefleet_operator.lead import place
from voicefleet_operator.lead.place import claim

UID = f"test-{os.getpid()}"


@pytest.fixture(autouse=True)
def _leave() -> Iterator[None]:
    yield
    for held in place._held:
        held.close()
    place._held.clear()


def test_only_one_process_has_the_place_and_who_dies_leaves_it_to_the_next() -> None:
    told = "from voicefleet_operator.lead.place import claim; import sys; "
    told += f"print(claim({UID!r}), flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", told]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "True\n"
        assert not claim(UID)
        first.kill()

    assert claim(UID)
    assert not claim(UID)
    assert claim(f"{UID}-another-pod")
