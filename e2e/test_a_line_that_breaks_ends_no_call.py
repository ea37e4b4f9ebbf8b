"""A worker whose line to LiveKit breaks comes back to its calls, and its callers talk on."""

import asyncio
import json
from pathlib import Path

import pytest

from e2e.bench import Bench
from e2e.caller import Line, PatientCaller
from e2e.calls.wire import Wire
from e2e.providers import Providers
from e2e.working import eventually, on_disk, ready, run_worker, seat_for, write_files

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("control")]

# One try to go on as before fails, and the next one begins anew.
CUT_SECONDS = 3.0


async def test_a_call_goes_on_when_the_worker_had_to_join_its_room_anew(
    bench: Bench, providers: Providers, tmp_path: Path, line: Line
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
                wire.cut()
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
