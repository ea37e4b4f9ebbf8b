"""A lookout is a worker's program with another order: it answers, takes no calls, and loads nothing that they need."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from tests.worker.files import Mounted
from voicefleet.names import CALLERS_PATH, ENV_POD_UID, LOOKOUT_FLAG, STATE_PATH
from voicefleet.wire import CallersOrder, WorkerState

TOKEN = {"Authorization": "Bearer token-1"}


@contextmanager
def looking_out(mounted: Mounted) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a lookout, and yield its process and where its control port is."""
    command = [sys.executable, "-m", "voicefleet_worker.main", *mounted.arguments, LOOKOUT_FLAG]
    told = {**os.environ, ENV_POD_UID: "uid-1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=told) as process:
        assert process.stdout is not None
        try:
            yield process, f"http://127.0.0.1:{json.loads(process.stdout.readline())['control_port']}"
        finally:
            process.kill()


def children_of(process: subprocess.Popen[str]) -> str:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()


async def test_a_lookout_is_ready_and_says_that_it_takes_no_calls(mounted: Mounted) -> None:
    with looking_out(mounted) as (process, url):
        async with aiohttp.ClientSession(headers=TOKEN) as session:
            async with session.get(f"{url}/readyz") as ready, session.get(url + STATE_PATH) as stream:
                state = WorkerState.model_validate_json(await stream.content.readline())
                assert ready.status == 200
            order = CallersOrder(agent="front.desk", hold_seconds=15, room=0).model_dump(by_alias=True)
            async with session.post(url + CALLERS_PATH, json=order) as answer:
                told = await answer.text()
        started = children_of(process)
        process.send_signal(signal.SIGTERM)
        status = process.wait(20)

    assert (state.slots, state.cordoned, state.registered, state.looks_for_callers) == (0, True, False, False)
    assert (state.pod_uid, state.sessions) == ("uid-1", ())
    # There is no LiveKit at that address.
    assert (answer.status, told) == (503, "LiveKit cannot be asked\n")
    assert (started, status) == ("", 0)


def test_a_lookout_loads_nothing_that_calls_need() -> None:
    told = (
        "import sys, voicefleet_worker.main, voicefleet_worker.settings, voicefleet_worker.lookout; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.split()

    assert {"livekit.agents", "livekit.rtc", "openai"}.isdisjoint(loaded)
    assert "livekit.api" in loaded
