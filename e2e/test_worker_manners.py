"""A worker that knows how to behave, on a real LiveKit server with callers who fall silent, or want to go."""

import json
from collections.abc import Iterator

import pytest

from e2e.bench import Bench
from e2e.caller import Caller, Line
from e2e.providers import Control, Providers
from e2e.working import Worker, is_hung_up_on, ready, run_worker, seat_for, write_files

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def worker(bench: Bench, providers: Providers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("worker")
    arguments = write_files(folder, bench, providers, "manners")
    agent = json.loads((folder / "agent.json").read_text())
    agent["spec"]["conversation"] |= {"away": {"afterSeconds": 4, "maxPrompts": 1}, "endPhrases": ["goodbye"]}
    (folder / "agent.json").write_text(json.dumps(agent))
    with run_worker(folder, arguments, "manners") as running:
        yield running


def ends(worker: Worker) -> list[str]:
    return [record["reason"] for record in worker.records() if record["message"] == "call ends"]


async def test_a_silent_caller_is_called_back_and_then_let_go(worker: Worker, line: Line) -> None:
    await ready(worker)
    async with Caller(line, seat=seat_for(worker)) as caller:
        await caller.listen()
        called_back = await caller.listen(timeout_seconds=30)
        is_there = await caller.hold(40)
        assert await is_hung_up_on(caller)
    print(caller.report().as_text())

    assert called_back.agent_text == "Are you still there?"
    assert called_back.heard_seconds > 0.5
    assert not is_there
    assert ends(worker)[-1] == "caller is silent"


async def test_a_caller_who_says_so_is_let_go_with_a_goodbye(worker: Worker, providers: Providers, line: Line) -> None:
    Control(providers.control_url).set_rules([
        {"match": "wants to end the call", "on": "instructions", "reply": "Have a nice day."}
    ])  # fmt: skip
    await ready(worker)
    async with Caller(line, seat=seat_for(worker)) as caller:
        await caller.listen()
        goodbye = await caller.say("Goodbye.", timeout_seconds=30)
        await caller.hold(30)
        assert await is_hung_up_on(caller)
    print(caller.report().as_text())

    assert goodbye.agent_text == "Have a nice day."
    assert goodbye.heard_seconds > 0.8
    assert ends(worker)[-1] == "caller said so"
