"""Recordings as files that can be played: on a clock of their own, or by a process that is killed."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from livekit import rtc

from tests.support.clock import Clock
from voicefleet_worker.recording import recorder as recording
from voicefleet_worker.recording.ogg import OggFile
from voicefleet_worker.recording.recorder import RATE, Recorder

FRAME_SECONDS = 0.05


def tone(hertz: float, seconds: float = FRAME_SECONDS, at: float = 0.0, rate: int = RATE) -> rtc.AudioFrame:
    times = at + np.arange(round(seconds * rate)) / rate
    samples = (10_000 * np.sin(2 * np.pi * hertz * times)).astype(np.int16)
    return rtc.AudioFrame(samples.tobytes(), rate, 1, len(samples))


def played(path: Path) -> np.ndarray:
    """Return the channels of a file, caller first."""
    with av.open(str(path)) as file:
        return np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)


def loudness(channel: np.ndarray, begin: float, end: float) -> float:
    rate = 48_000
    return float(np.sqrt(np.mean(np.square(channel[round(begin * rate) : round(end * rate)]))))


def listen(recorder: Recorder, clock: Clock, seconds: float, hertz: float | None) -> None:
    """Let the caller be heard, or be silent, for some time."""
    for _ in range(round(seconds / FRAME_SECONDS)):
        clock.seconds += FRAME_SECONDS
        if hertz is not None:
            recorder.hear_caller(tone(hertz, at=clock.seconds))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    # The file is written when it is closed: by no clock but the test's.
    monkeypatch.setattr(recording, "_WRITE_SECONDS", 600.0)
    return Clock(1000.0)


def test_each_side_is_heard_on_its_own_channel_and_in_time(clock: Clock, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "desk" / "call.ogg", clock)
    listen(recorder, clock, 1.0, 440)
    recorder.hear_agent(tone(880, seconds=2.0))
    listen(recorder, clock, 3.0, None)
    ended = recorder.close()

    caller, agent = played(tmp_path / "desk" / "call.ogg")
    assert ended.complete
    assert abs(len(caller) / 48_000 - 4.0) < 0.1
    assert (loudness(caller, 0.2, 0.9) > 0.15, loudness(caller, 1.2, 3.9) < 0.01) == (True, True)
    assert (loudness(agent, 0.1, 0.9) < 0.01, loudness(agent, 1.2, 2.8) > 0.15) == (True, True)
    assert loudness(agent, 3.2, 3.9) < 0.01


def test_what_a_caller_cuts_short_is_not_in_the_file(clock: Clock, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "call.ogg", clock)
    recorder.hear_agent(tone(880, seconds=3.0))
    listen(recorder, clock, 1.0, 440)
    recorder.interrupt_agent()
    listen(recorder, clock, 2.0, 440)
    recorder.close()

    _, agent = played(tmp_path / "call.ogg")
    assert loudness(agent, 0.1, 0.9) > 0.15
    assert loudness(agent, 1.2, 2.8) < 0.01


def test_a_pause_is_silence_and_both_sides_stay_in_time(clock: Clock, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "call.ogg", clock)
    recorder.hear_agent(tone(880, seconds=3.0))
    listen(recorder, clock, 1.0, 440)
    recorder.pause()
    listen(recorder, clock, 1.0, 440)
    recorder.resume()
    listen(recorder, clock, 1.0, 440)
    recorder.close()

    for channel in played(tmp_path / "call.ogg"):
        assert abs(len(channel) / 48_000 - 3.0) < 0.1
        assert loudness(channel, 0.1, 0.9) > 0.15
        assert loudness(channel, 1.1, 1.9) < 0.01
        assert loudness(channel, 2.1, 2.9) > 0.15


def test_sound_of_another_rate_and_of_two_channels_fits_in(clock: Clock, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "call.ogg", clock)
    mono = np.frombuffer(tone(440, seconds=2.0, rate=16_000).data, dtype=np.int16)
    recorder.hear_agent(rtc.AudioFrame(np.repeat(mono, 2).tobytes(), 16_000, 2, len(mono)))
    listen(recorder, clock, 2.0, None)
    recorder.close()

    _, agent = played(tmp_path / "call.ogg")
    assert loudness(agent, 0.2, 1.8) > 0.15


def test_a_full_disk_ends_the_recording_and_not_the_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "_WRITE_SECONDS", 0.01)
    broke = threading.Event()

    def full(*_: object) -> None:
        broke.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(OggFile, "write", full)
    recorder = Recorder(tmp_path / "call.ogg")
    assert broke.wait(10)
    recorder.close()
    for _ in range(100):
        recorder.hear_caller(tone(440))
        recorder.hear_agent(tone(880))

    assert recorder.close().problem == "No space left on device"
    assert not recorder.close().complete
    assert [r.message for r in caplog.records] == ["recording stops, the call goes on"]


def test_a_disk_that_takes_nothing_any_more_ends_the_recording(clock: Clock, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "call.ogg", clock)
    listen(recorder, clock, 1.0, 440)
    assert not recorder.problem
    clock.seconds += 120
    listen(recorder, clock, 0.05, 440)

    assert recorder.close().problem == "the disk is too slow"


KILLED = """
import sys, time
from pathlib import Path
from tests.worker.recording.test_recorder import tone
from voicefleet_worker.recording.recorder import Recorder
recorder = Recorder(Path(sys.argv[1]))
recorder.hear_agent(tone(880, seconds=60.0))
while True:
    recorder.hear_caller(tone(440))
    print(flush=True)
    time.sleep(0.05)
"""


def test_a_process_that_is_killed_leaves_a_file_that_can_be_played(tmp_path: Path) -> None:
    """In the middle of a sentence, of which nobody tells what was heard before it is over."""
    path = tmp_path / "call.ogg"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        deadline = time.monotonic() + 60
        while not path.exists() or path.stat().st_size < 25_000:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)

    caller, agent = played(path)
    seconds = len(caller) / 48_000
    assert seconds > 2
    assert loudness(caller, 0.5, seconds - 0.5) > 0.1
    assert loudness(agent, 0.5, seconds - 0.5) > 0.1


def test_nothing_that_a_call_asks_of_a_recorder_waits_for_the_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(recording, "_WRITE_SECONDS", 0.0)
    writing, free = threading.Event(), threading.Event()

    def stuck(*_: object) -> None:
        writing.set()
        free.wait(60)

    monkeypatch.setattr(OggFile, "write", stuck)
    recorder = Recorder(tmp_path / "call.ogg")
    assert writing.wait(10)
    for _ in range(200):
        recorder.hear_caller(tone(440))
        recorder.hear_agent(tone(880))
    recorder.pause()
    recorder.interrupt_agent()
    recorder.resume()

    assert not free.is_set()
    free.set()
    assert recorder.close().complete
