"""A worker whose line to LiveKit breaks comes back to its calls, and its callers talk on; a withdrawn call ends."""

import asyncio
import json
from pathlib import Path

import pytest
from livekit import api

from e2e.bench import Bench
from e2e.caller import Caller, Line, PatientCaller
from e2e.caller.report import CutKind
from e2e.calls.wire import Wire
from e2e.providers import Providers
from e2e.working import eventually, on_disk, ready, run_worker, seat_for, write_files

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("control")]

# One try to go on as before fails, and the next one begins anew.
CUT_SECONDS = 3.0
LEAVES_WITHIN_SECONDS = 20.0
EVERYTHING = ""
# LiveKit keeps its worker, and takes an agent that joins anew for one that left.
THE_CALL_ALONE = "GET /rtc"


@pytest.mark.parametrize("cut", [EVERYTHING, THE_CALL_ALONE], ids=["everything", "the call alone"])
async def test_a_call_goes_on_when_the_worker_had_to_join_its_room_anew(
    bench: Bench, providers: Providers, tmp_path: Path, line: Line, cut: str
) -> None:
    arguments = write_files(tmp_path, bench, providers, "broken-line")
    wire = Wire(bench.livekit.ws_url)
    pool = json.loads((tmp_path / "pool.json").read_text())
    pool["spec"]["livekit"]["url"] = wire.url
    (tmp_path / "pool.json").write_text(json.dumps(pool))
    try:
        with run_worker(tmp_path, [*arguments, "--data", str(tmp_path / "data")], "broken-line") as worker:
            await ready(worker)
            async with PatientCaller(line, seat=seat_for(worker)) as caller:
                await caller.listen()
                before = await caller.say("When are you open?")
                wire.cut(cut)
                await asyncio.sleep(CUT_SECONDS)
                wire.mend()
                await asyncio.sleep(2 * CUT_SECONDS)
                after = await caller.say("When are you open?")
            (record,) = await eventually(on_disk(tmp_path), 1)
    finally:
        wire.close()

    assert min(before.heard_seconds, after.heard_seconds) > 0.8
    assert record["disposition"] == "CallerHungUp"
    assert sum(said["who"] == "Caller" for said in record["transcript"]) == 2


async def test_a_call_that_is_withdrawn_ends(bench: Bench, providers: Providers, tmp_path: Path, line: Line) -> None:
    arguments = write_files(tmp_path, bench, providers, "withdrawn")
    with run_worker(tmp_path, [*arguments, "--data", str(tmp_path / "data")], "withdrawn") as worker:
        await ready(worker)
        async with Caller(line, seat=seat_for(worker)) as caller:
            await caller.listen()
            room = caller.seat.room
            async with api.LiveKitAPI(line.http_url, line.api_key, line.api_secret) as livekit:
                (dispatch,) = await livekit.agent_dispatch.list_dispatch(room)
                await livekit.agent_dispatch.delete_dispatch(dispatch.id, room)
            assert not await caller.hold(LEAVES_WITHIN_SECONDS)
        (record,) = await eventually(on_disk(tmp_path), 1)

    assert CutKind.AGENT_LEFT in {cut.kind for cut in caller.cuts}
    assert record["disposition"] == "RoomClosed"
