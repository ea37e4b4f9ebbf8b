"""Writing down what both sides say, beside the call: a disk that is slow, full or gone never holds the call up."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from livekit import rtc

from voicefleet_worker.recording.ogg import OggFile
from voicefleet_worker.recording.playout import Playout
from voicefleet_worker.recording.timeline import AGENT, CALLER, Run, Samples, Timeline

logger = logging.getLogger("voicefleet.call")

RATE = 24_000
"""Of both channels, and of the sound that comes from LiveKit: what is recorded is what was heard."""
_WRITE_SECONDS = 0.5
# What happened is known so much later: sound arrives in pieces, and not always in time.
_SETTLED_SECONDS = 1.2
# A disk that takes nothing for so long is as good as gone; what waits for it by then is 12 MB.
_LONGEST_WAIT_SECONDS = 120.0
_CLOSE_SECONDS = 5.0

Clock = Callable[[], float]


@dataclass(slots=True)
class Ended:
    """What became of a recording."""

    complete: bool
    problem: str = ""


class Recorder:
    """One recording. Its methods belong to the call's event loop and return at once; a thread of its own writes."""

    def __init__(self, path: Path, clock: Clock = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._timeline = Timeline(RATE, clock())
        self._caller = Run(RATE)
        self._agent = Playout(RATE)
        self._agent_lock = threading.Lock()
        self._resamplers: dict[int, rtc.AudioResampler] = {}
        self._written_at = clock()
        self._is_over = threading.Event()
        self._problem = ""
        self._thread = threading.Thread(target=self._write, name="recording", daemon=True)
        self._thread.start()

    @property
    def is_paused(self) -> bool:
        """Whether what is said now is left out."""
        return self._timeline.is_paused

    @property
    def problem(self) -> str:
        """Why nothing is written any more; empty while all is well."""
        return self._problem

    def hear_caller(self, frame: rtc.AudioFrame) -> None:
        """Take in what has just been heard."""
        if self._is_over.is_set():
            return
        now = self._clock()
        samples = self._samples(CALLER, frame)
        self._timeline.place(CALLER, self._caller.place(len(samples), now), samples)
        if now - self._written_at > _LONGEST_WAIT_SECONDS:
            self._give_up("the disk is too slow")

    def hear_agent(self, frame: rtc.AudioFrame) -> None:
        """Take in what is about to be said."""
        if not self._is_over.is_set():
            samples = self._samples(AGENT, frame)
            with self._agent_lock:
                self._agent.add(samples, self._clock())

    def pause_agent(self) -> None:
        """Note that the agent has stopped in the middle of a word, and may go on."""
        with self._agent_lock:
            self._agent.pause(self._clock())

    def resume_agent(self) -> None:
        """Note that it does."""
        with self._agent_lock:
            self._agent.resume(self._clock())

    def interrupt_agent(self) -> None:
        """Note that what the agent was about to say will not be heard."""
        with self._agent_lock:
            self._agent.clear(self._clock())

    def pause(self) -> None:
        """Write silence from now on."""
        self._timeline.pause(self._clock())

    def resume(self) -> None:
        """Write what is said again."""
        self._timeline.resume(self._clock())

    def close(self) -> Ended:
        """Write the rest, and tell what has become of it. Blocks, though not for long."""
        self._is_over.set()
        self._thread.join(_CLOSE_SECONDS)
        if self._thread.is_alive():
            self._problem = self._problem or "the disk does not answer"
        return Ended(complete=not self._problem, problem=self._problem)

    def _take(self, settled_seconds: float) -> Samples:
        """Return what is certain by now of both sides."""
        now = self._clock()
        with self._agent_lock:
            heard = list(self._agent.take(now))
        for begin, samples in heard:
            self._timeline.place(AGENT, begin, samples)
        return self._timeline.take(now - settled_seconds)

    def _samples(self, channel: int, frame: rtc.AudioFrame) -> Samples:
        """Return a frame as one channel at the recording's own rate."""
        sound = np.frombuffer(frame.data, dtype=np.int16).reshape(-1, frame.num_channels)
        mono = sound[:, 0].copy() if frame.num_channels == 1 else sound.mean(axis=1).astype(np.int16)
        if frame.sample_rate == RATE:
            return mono
        if channel not in self._resamplers:
            self._resamplers[channel] = rtc.AudioResampler(frame.sample_rate, RATE, num_channels=1)
        made = self._resamplers[channel].push(rtc.AudioFrame(mono.tobytes(), frame.sample_rate, 1, len(mono)))
        return np.concatenate([np.frombuffer(each.data, dtype=np.int16) for each in made] or [mono[:0]])

    def _write(self) -> None:
        """Write until it is over, or until it can't be: then nothing is kept in memory any more."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with OggFile(self._path, RATE) as file:
                while not self._is_over.wait(_WRITE_SECONDS):
                    file.write(self._take(_SETTLED_SECONDS))
                    self._written_at = self._clock()
                file.write(self._take(0.0))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not the call's
            self._give_up(getattr(error, "strerror", None) or type(error).__name__)

    def _give_up(self, problem: str) -> None:
        """Keep nothing in memory for a file that takes nothing."""
        self._problem = self._problem or problem
        self._is_over.set()
        logger.warning("recording stops, the call goes on", extra={"problem": problem})
