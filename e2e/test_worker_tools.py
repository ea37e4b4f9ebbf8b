"""A worker that uses tools, on a real LiveKit server with a caller who asks, against the sample backend."""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import yaml

from e2e.bench import Bench
from e2e.caller import Caller, Line
from e2e.operating import ROOT
from e2e.providers import Control, Providers
from e2e.working import Worker, ready, run_worker, seat_for, write_files

SAMPLES = ROOT / "manifests" / "samples"
TOKEN = "backend-token"
QUESTION = "When are you open?"
DAY = "2026-12-02"
# What the model makes of answers that would take long to read out.
IN_SHORT = (
    {"match": r'taken.*"stays": .*"time": "(\d+):00"', "reply": r"That is taken, it stays at \1."},
    {"match": r'"id": "(p-\d+)".*"time": "(\d+):00"', "reply": r"It is \1 at \2."},
    {"match": r'"cancelled": true', "reply": "It is cancelled."},
    {"match": r'"free": .*"10:00"', "reply": "Ten is free."},
    {"match": r'"free": ', "reply": "Ten is not free."},
)
pytestmark = pytest.mark.timeout(240)


@contextmanager
def running_backend() -> Iterator[str]:
    """Run the sample backend as its Deployment does, and yield its address."""
    command = [sys.executable, str(SAMPLES / "backend" / "backend.py"), "0"]
    environment = {**os.environ, "TOKEN": TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().rpartition(' ')[2].strip()}"
        process.terminate()


@pytest.fixture(scope="module")
def worker(bench: Bench, providers: Providers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("worker")
    arguments = write_files(folder, bench, providers, "tools")
    with running_backend() as url:
        sample = (SAMPLES / "voiceagent-tools.yaml").read_text().replace("http://backend", url)
        spec = yaml.safe_load(sample)["spec"]
        nowhere = {"name": "nowhere", "description": "d", "http": {"url": "http://127.0.0.1:9/"}}
        spec["tools"].append({**nowhere, "onError": "say the shop is closed"})
        spec["agents"][0]["tools"].append("nowhere")
        agent = json.loads((folder / "agent.json").read_text())
        agent["spec"] |= {"agents": spec["agents"], "tools": spec["tools"], "variables": spec["variables"]}
        (folder / "agent.json").write_text(json.dumps(agent))
        (folder / "secrets" / "backend").mkdir()
        (folder / "secrets" / "backend" / "token").write_text(TOKEN)
        with run_worker(folder, arguments, "tools") as running:
            yield running


async def answer(worker: Worker, providers: Providers, line: Line, call: dict[str, Any], **variables: str) -> str:
    """Let the model call a tool, and return what it says to the answer."""
    async with asking(worker, providers, line, **variables) as ask:
        return await ask(call)


@asynccontextmanager
async def asking(
    worker: Worker, providers: Providers, line: Line, *rules: dict[str, str], **variables: str
) -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[str]]]:
    """Let the model call one tool in each turn of a call."""
    control = Control(providers.control_url)
    control.reset()
    await ready(worker)
    async with Caller(line, seat=seat_for(worker, **variables), gap_ms=60_000) as caller:
        await caller.listen()

        async def ask(call: dict[str, Any]) -> str:
            control.set_rules([{"match": "open", "tool_call": call}, *({**rule, "on": "tool"} for rule in rules)])
            turn = await caller.say(QUESTION, timeout_seconds=40)
            assert turn.heard_seconds > 0.5
            return turn.agent_text

        yield ask
    print(caller.report().as_text())
    assert caller.report().cuts == ()


def call(tool: str, /, **arguments: str) -> dict[str, Any]:
    return {"name": tool, "arguments": arguments}


async def test_the_answer_of_a_tool_is_spoken(worker: Worker, providers: Providers, line: Line) -> None:
    said = await answer(worker, providers, line, call("check_order", order="100001"))

    assert "sent" in said
    requests = Control(providers.control_url).requests("openai", "chat")
    assert [row["options"].get("parallel_tool_calls") for row in requests if row["options"]["tools"]] == [False, False]


async def test_a_variable_of_the_call_finds_the_account(worker: Worker, providers: Providers, line: Line) -> None:
    said = await answer(worker, providers, line, call("look_up_account"), number="+4930123456")

    assert "Ada Okonkwo" in said


async def test_a_time_that_is_taken_is_told_with_those_that_are_free(
    worker: Worker, providers: Providers, line: Line
) -> None:
    booking = {"day": "2026-12-01", "time": "09:00", "name": "Ada"}
    first = await answer(worker, providers, line, call("make_appointment", **booking))
    second = await answer(worker, providers, line, call("make_appointment", **booking))

    assert re.search(r"p-\d", first)
    assert "this time is taken" in second
    assert "09:30" in second


async def test_an_appointment_moves_to_a_free_time_to_no_other_and_is_cancelled(
    worker: Worker, providers: Providers, line: Line
) -> None:
    async with asking(worker, providers, line, *IN_SHORT) as ask:
        made = await ask(call("make_appointment", day=DAY, time="10:00", name="Ada"))
        await ask(call("make_appointment", day=DAY, time="11:00", name="Bob"))
        mine = made.split()[2]
        refused = await ask(call("move_appointment", id=mine, day=DAY, time="11:00"))
        before = await ask(call("find_times", day=DAY))
        moved = await ask(call("move_appointment", id=mine, day=DAY, time="12:00"))
        after = await ask(call("find_times", day=DAY))
        cancelled = await ask(call("cancel_appointment", id=mine))
        gone = await ask(call("cancel_appointment", id=mine))

    assert (refused, before) == ("That is taken, it stays at 10.", "Ten is not free.")
    assert (moved, after) == (f"It is {mine} at 12.", "Ten is free.")
    assert (cancelled, "there is no such appointment" in gone) == ("It is cancelled.", True)


async def test_a_tool_that_is_out_of_reach_is_no_silence(worker: Worker, providers: Providers, line: Line) -> None:
    assert "the shop is closed" in await answer(worker, providers, line, call("nowhere"))


async def test_wrong_arguments_are_told_to_the_model(worker: Worker, providers: Providers, line: Line) -> None:
    said = await answer(worker, providers, line, call("check_order", order="one"))

    assert "order" in said
    assert not [record for record in worker.records() if "one" in record.get("problem", "")]
