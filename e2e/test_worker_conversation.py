"""A worker as the operator would start it, on a real LiveKit server, with a caller who talks to it."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.bench import Bench
from e2e.caller import Caller, Dispatch, Line
from e2e.caller.report import EndReason
from e2e.providers import Providers
from e2e.working import TOKEN, Worker, exit_status, ready, run_worker, seat_for, watched, write_files

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("control")]


@pytest.fixture
def worker(bench: Bench, providers: Providers, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Worker]:
    name = "desk-" + request.node.name.replace("_", "-")[-30:].strip("-")
    with run_worker(tmp_path, write_files(tmp_path, bench, providers, name), name) as running:
        yield running


async def test_a_conversation_of_three_turns(worker: Worker, line: Line) -> None:
    await ready(worker)
    async with watched(worker) as states:
        async with Caller(line, seat=seat_for(worker, name="Ada"), dispatch=Dispatch.EXPLICIT) as caller:
            greeting = await caller.listen()
            await states.wait_for_sessions(1)
            turns = [await caller.say(text) for text in ("When are you open?", "I have a toothache.", "Goodbye.")]
        await states.wait_for_sessions(0)
    report = caller.report()
    print(report.as_text())

    assert greeting.agent_text == "Hello Ada, this is Riverside Dental. How can I help you?"
    assert greeting.heard_seconds > 2
    assert all(turn.heard_seconds > 0.8 and turn.response_ms is not None for turn in turns)
    assert turns[0].agent_text == "We are open from nine to five, Monday to Friday."
    assert (report.cuts, report.end_reason) == ((), EndReason.HUNG_UP)
    assert max(len(state.sessions) for state in states.seen) == 1
    assert {state.revision for state in states.seen} == {"rev-1"}
    tally = states.seen[-1].tally
    print("tally:", tally)
    assert (tally.calls_ended, tally.calls_failed, tally.hung_up_early) == (1, 0, 0)
    assert sum(tally.turn_latency) >= 2
    assert tally.provider_requests >= 2 * len(turns)
    assert tally.provider_errors == 0
    said = worker.log.read_text()
    secrets = ("key-of-", line.api_secret, TOKEN)
    assert not [word for word in (*secrets, "Riverside", "toothache", caller.seat.room) if word in said]


async def test_sigterm_lets_the_call_finish(worker: Worker, line: Line) -> None:
    await ready(worker)
    async with watched(worker) as states:
        async with Caller(line, seat=seat_for(worker)) as caller:
            await caller.listen()
            worker.process.send_signal(signal.SIGTERM)
            async with Caller(line, seat=seat_for(worker), join_timeout_seconds=4) as late:
                pass
            turn = await caller.say("Are you still there?")
            assert worker.process.poll() is None
        status = await exit_status(worker)

    print(caller.report().as_text())
    assert turn.heard_seconds > 0.8
    assert caller.report().cuts == ()
    assert late.report().end_reason is EndReason.NO_AGENT
    assert status == 0
    assert states.seen[-1].sessions == ()
    assert [state.draining for state in states.seen if len(state.sessions) == 1][-1]


async def test_a_cordoned_worker_takes_no_call_and_takes_calls_again(worker: Worker, line: Line) -> None:
    await ready(worker)
    assert await worker.ask("POST", "/v1/cordon") == 200
    async with Caller(line, seat=seat_for(worker), join_timeout_seconds=4) as refused:
        pass
    assert await worker.ask("POST", "/v1/uncordon") == 200
    await asyncio.sleep(1)
    async with Caller(line, seat=seat_for(worker)) as welcome:
        greeting = await welcome.listen()

    assert refused.report().end_reason is EndReason.NO_AGENT
    assert greeting.heard_seconds > 1


async def test_a_worker_holds_as_many_calls_as_it_has_slots(worker: Worker, line: Line) -> None:
    """Two slots, four callers at once: two are answered, and the slots serve again."""
    await ready(worker)
    callers = [Caller(line, seat=seat_for(worker), join_timeout_seconds=8) for _ in range(4)]
    async with watched(worker) as states:
        await asyncio.gather(*(caller.join() for caller in callers))
        await asyncio.gather(*(caller.hang_up() for caller in callers))
        answered = [caller for caller in callers if caller.agent_identity]
        await states.wait_for_sessions(0)
        await asyncio.sleep(0.5)
        async with Caller(line, seat=seat_for(worker), join_timeout_seconds=8) as again:
            pass

    assert len(answered) == 2
    assert max(len(state.sessions) for state in states.seen) == 2
    assert again.agent_identity
