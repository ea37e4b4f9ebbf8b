"""Recordings of calls on a real LiveKit server, in a bucket: both sides, whatever becomes of the store or the call."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import numpy.typing as npt
import pytest

from e2e.bench import Bench
from e2e.bucket import CREDENTIALS, SECRET_KEY, Bucket, GoogleBucket, running_bucket
from e2e.bucket import NAME as BUCKET
from e2e.caller import Caller, Line
from e2e.providers import Control, Providers
from e2e.working import Worker, ready, run_worker, seat_for, watched, write_files

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("control")]

_WINDOW_SECONDS = 0.1
_LOUD = 0.02
# Calls are taken up and files sent within seconds, where nothing else runs.
_PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with running_bucket(tmp_path_factory.mktemp("bucket"), Bucket) as running:
        yield running


@dataclass
class Recorded:
    """A worker whose calls are recorded, and where their files lie meanwhile."""

    worker: Worker
    files: Path

    def waiting(self) -> list[Path]:
        return [path for path in self.files.rglob("*.ogg") if path.is_file()]

    async def metric(self, name: str) -> float:
        async with aiohttp.ClientSession() as session, session.get(f"{self.worker.url}/metrics") as got:
            text = await got.text()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))

    def says(self, message: str) -> bool:
        return any(record["message"] == message for record in self.worker.records())


def start_worker(
    folder: Path,
    bench: Bench,
    providers: Providers,
    name: str,
    recording: dict[str, object],
    *,
    credentials: str = CREDENTIALS,
) -> Iterator[Recorded]:
    arguments = write_files(folder, bench, providers, name)
    agent = json.loads((folder / "agent.json").read_text())
    agent["spec"]["recording"] = {"enabled": True, **recording}
    if "store" in recording:
        # Whatever is kept of a call is kept there, each under a name of its own.
        agent["spec"] |= {"transcript": {"store": recording["store"]}, "billing": {"store": recording["store"]}}
    if "announce" in recording:
        # Said in one breath, so that a caller knows when the agent has finished.
        del agent["spec"]["agents"][0]["greeting"]
    (folder / "agent.json").write_text(json.dumps(agent))
    (folder / "secrets" / "bucket").mkdir()
    (folder / "secrets" / "bucket" / "credentials").write_text(credentials)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKER_FILES_DIRECTORY", str(folder / "files"))
        patch.setenv("WORKER_LONGEST_UPLOAD_PAUSE_SECONDS", "1")
        with run_worker(folder, arguments, name) as running:
            yield Recorded(running, folder / "files")


def in_bucket(bucket: Bucket, **protocol: str) -> dict[str, object]:
    keys = {"name": "bucket", "key": "credentials"}
    store = {"bucket": BUCKET, "endpoint": bucket.endpoint, "credentials": keys, "prefix": "kept/{{agent}}/{{date}}/"}
    return {"store": {"objectStore": store | protocol}}


@pytest.fixture(scope="module")
def recorded(
    bench: Bench, providers: Providers, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    yield from start_worker(tmp_path_factory.mktemp("worker"), bench, providers, "recorded", in_bucket(bucket))


async def until(condition: Callable[[], bool], what: str) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - files tell nobody that they came
                await asyncio.sleep(0.1)
    assert condition(), what


async def next_object(bucket: Bucket, known: set[str]) -> tuple[str, Path]:
    """Wait for the one recording that was not there before."""

    def new() -> set[str]:
        return {name for name in set(bucket.objects()) - known if name.endswith(".ogg")}

    await until(lambda: bool(new()), "no recording came into the bucket")
    (name,) = new()
    return name, bucket.objects()[name]


async def paper(bucket: Bucket, recording: str, suffix: str) -> dict[str, Any]:
    """Wait for what lies beside a recording."""
    name = recording.removesuffix(".ogg") + suffix
    await until(lambda: name in bucket.objects(), f"{name} did not come")
    content: dict[str, Any] = json.loads(bucket.objects()[name].read_text())
    return content


@dataclass
class Sound:
    """A recording, as who was heard in each tenth of a second."""

    caller: npt.NDArray[np.bool_]
    agent: npt.NDArray[np.bool_]

    @property
    def seconds(self) -> float:
        return len(self.caller) * _WINDOW_SECONDS

    @property
    def caller_seconds(self) -> float:
        return float(self.caller.sum()) * _WINDOW_SECONDS

    @property
    def agent_seconds(self) -> float:
        return float(self.agent.sum()) * _WINDOW_SECONDS

    @property
    def both_seconds(self) -> float:
        return float((self.caller & self.agent).sum()) * _WINDOW_SECONDS

    def __str__(self) -> str:
        signs = {(False, False): ".", (True, False): "c", (False, True): "a", (True, True): "X"}
        return "".join(signs[bool(c), bool(a)] for c, a in zip(self.caller, self.agent, strict=True))


def play(path: Path) -> Sound:
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        assert stream.codec_context.layout.name == "stereo"
        sound = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)
    window = round(48_000 * _WINDOW_SECONDS)
    windows = sound[:, : sound.shape[1] // window * window].reshape(2, -1, window)
    loud = np.sqrt(np.mean(np.square(windows), axis=2)) > _LOUD
    return Sound(loud[0], loud[1])


async def test_both_sides_of_a_call_are_kept_each_on_its_own_channel(
    recorded: Recorded, bucket: Bucket, line: Line
) -> None:
    await ready(recorded.worker)
    known = set(bucket.objects())
    async with Caller(line, seat=seat_for(recorded.worker)) as caller:
        greeting = await caller.listen()
        turn = await caller.say("When are you open?", timeout_seconds=40)
    print(caller.report().as_text())
    name, path = await next_object(bucket, known)
    sound = play(path)
    print(name, path.stat().st_size, "\n", sound)

    assert name.startswith("kept/recorded/20")
    assert caller.seat.room not in name
    assert sound.caller_seconds > 0.5
    assert sound.agent_seconds > 0.7 * (greeting.heard_seconds + turn.heard_seconds)
    assert sound.both_seconds < 0.5
    spoke = np.flatnonzero(sound.caller)
    greeted, answered = sound.agent[: spoke[0]], sound.agent[spoke[-1] :]
    assert greeted.sum() * _WINDOW_SECONDS > 0.7 * greeting.heard_seconds
    assert answered.sum() * _WINDOW_SECONDS > 0.7 * turn.heard_seconds
    await until(lambda: not recorded.waiting(), "the file is still on the worker's disk")


async def test_a_store_that_is_away_gets_the_recording_when_it_is_back(
    recorded: Recorded, bucket: Bucket, line: Line
) -> None:
    await ready(recorded.worker)
    known = set(bucket.objects())
    await asyncio.to_thread(bucket.stop)
    try:
        async with Caller(line, seat=seat_for(recorded.worker)) as caller:
            greeting = await caller.listen()
        await until(lambda: recorded.says("not kept yet"), "nobody noticed that the store is away")
        # Tried for longer than one pause.
        async with watched(recorded.worker) as states:
            await asyncio.sleep(3)
        assert states.seen[-1].unsent_for_seconds is not None, "whoever takes workers away is told to wait"
        assert await recorded.metric("voicefleet_worker_uploads_pending") == 1
        assert await recorded.metric("voicefleet_worker_uploads_pending_bytes") > 1000
        assert await recorded.metric("voicefleet_worker_uploads_failed_total") >= 2
        assert await recorded.metric("voicefleet_worker_records_waiting") == 1
        assert await recorded.metric("voicefleet_worker_transcripts_waiting") == 1
    finally:
        await asyncio.to_thread(bucket.start)
    name, path = await next_object(bucket, known)
    record, transcript = await paper(bucket, name, ".record.json"), await paper(bucket, name, ".transcript.json")

    assert play(path).agent_seconds > 0.7 * greeting.heard_seconds
    assert (record["id"], record["recordingFile"]) == (transcript["id"], name)
    assert [line["text"] for line in transcript["lines"]] == [greeting.agent_text]
    await until(lambda: not recorded.waiting(), "the file is still on the worker's disk")
    await asyncio.sleep(1.5)
    assert await recorded.metric("voicefleet_worker_uploads_pending") == 0
    async with watched(recorded.worker) as states:
        await states.wait_for_sessions(0)
    assert states.seen[-1].unsent_for_seconds is None
    said = recorded.worker.log.read_text()
    assert not [word for word in (SECRET_KEY, caller.seat.room, "Riverside") if word in said]


async def test_a_call_whose_process_is_killed_leaves_what_was_said_until_then(
    recorded: Recorded, bucket: Bucket, line: Line
) -> None:
    await ready(recorded.worker)
    known = set(bucket.objects())
    async with Caller(line, seat=seat_for(recorded.worker)) as caller:
        greeting = await caller.listen()
        await caller.hold(4)
        (live,) = recorded.waiting()
        os.kill(writer_of(live), signal.SIGKILL)
        _, path = await next_object(bucket, known)
    sound = play(path)
    print(sound)

    assert sound.seconds > greeting.heard_seconds
    assert sound.agent_seconds > 0.7 * greeting.heard_seconds
    # LiveKit may have sent another agent after the caller, whose call is recorded as well.
    await until(lambda: not recorded.waiting(), "the file is still on the worker's disk")


def writer_of(path: Path) -> int:
    """Find the process that has a file open."""
    for process in Path("/proc").glob("[0-9]*"):
        # Processes come and go meanwhile.
        with suppress(OSError):
            if path in [descriptor.readlink() for descriptor in (process / "fd").iterdir()]:
                return int(process.name)
    raise AssertionError(f"nobody writes {path}")


@pytest.fixture
def google(tmp_path: Path) -> Iterator[GoogleBucket]:
    with running_bucket(tmp_path / "google", GoogleBucket) as running:
        yield running


@pytest.fixture
def recorded_at_google(bench: Bench, providers: Providers, google: GoogleBucket, tmp_path: Path) -> Iterator[Recorded]:
    store = in_bucket(google, provider="GCS")
    yield from start_worker(tmp_path, bench, providers, "google", store, credentials=google.credentials)


async def test_a_bucket_at_google_gets_all_that_is_kept_of_a_call_even_if_it_is_away_for_a_while(
    recorded_at_google: Recorded, google: GoogleBucket, line: Line
) -> None:
    await ready(recorded_at_google.worker)
    async with Caller(line, seat=seat_for(recorded_at_google.worker)) as caller:
        await caller.listen()
    there, _ = await next_object(google, set())
    known = set(google.objects())
    await asyncio.to_thread(google.stop)
    try:
        async with Caller(line, seat=seat_for(recorded_at_google.worker)) as caller:
            greeting = await caller.listen()
        await until(lambda: recorded_at_google.says("not kept yet"), "nobody noticed that the store is away")
        assert await recorded_at_google.metric("voicefleet_worker_uploads_pending") == 1
    finally:
        await asyncio.to_thread(google.start)
    later, path = await next_object(google, known)

    assert play(path).agent_seconds > 0.7 * greeting.heard_seconds
    for name in (there, later):
        record, transcript = await paper(google, name, ".record.json"), await paper(google, name, ".transcript.json")
        assert (record["id"], record["recordingFile"]) == (transcript["id"], name)
        assert [line["text"] for line in transcript["lines"]] == [greeting.agent_text]
    await until(lambda: not recorded_at_google.waiting(), "the file is still on the worker's disk")
    assert "PRIVATE KEY" not in recorded_at_google.worker.log.read_text()


@pytest.fixture
def asking(bench: Bench, providers: Providers, bucket: Bucket, tmp_path: Path) -> Iterator[Recorded]:
    recording = {**in_bucket(bucket), "announce": "May we record this call?", "requireConsent": True}
    yield from start_worker(tmp_path, bench, providers, "asking", recording)


async def test_nothing_is_recorded_before_consent_nor_while_it_is_paused(
    asking: Recorded, providers: Providers, bucket: Bucket, line: Line
) -> None:
    Control(providers.control_url).set_rules([
        {"match": "open", "tool_call": {"name": "consent_to_recording", "arguments": {}}},
        {"match": "(?i)still there", "tool_call": {"name": "pause_recording", "arguments": {}}},
        {"match": "(?i)goodbye", "tool_call": {"name": "resume_recording", "arguments": {}}},
    ])  # fmt: skip
    await ready(asking.worker)
    known = set(bucket.objects())
    async with Caller(line, seat=seat_for(asking.worker)) as caller:
        opening = await caller.listen()
        assert asking.waiting() == []
        consent = await caller.say("When are you open?", timeout_seconds=40)
        pause = await caller.say("Are you still there?", timeout_seconds=40)
        resume = await caller.say("Goodbye.", timeout_seconds=40)
        # An answer that was held up by what proved to be no word goes on after a while.
        rest = await caller.listen(timeout_seconds=4)
    print(caller.report().as_text())
    _, path = await next_object(bucket, known)
    sound = play(path)
    print(sound)

    assert opening.agent_text == "May we record this call?"
    spoke, answers = np.flatnonzero(sound.caller), np.flatnonzero(sound.agent)
    # The caller's first words came before the consent, and the last ones in the pause.
    assert answers[0] < spoke[0]
    assert 0.5 < sound.caller_seconds < 2.5
    said_seconds = consent.heard_seconds + resume.heard_seconds + rest.heard_seconds
    assert 0.6 * said_seconds < sound.agent_seconds < said_seconds + 0.5
    # A pause is silence and no gap: the answer that was said in it is as long in the file.
    paused_seconds = (answers[answers > spoke[-1]][0] - spoke[-1]) * _WINDOW_SECONDS
    assert pause.heard_seconds > 0.5
    assert paused_seconds > pause.heard_seconds + 1
