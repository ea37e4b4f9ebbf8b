"""From a stream of audio to words in order: endpointing, then a recogniser or a script."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from e2e.providers.audio import Samples
from e2e.providers.endpointing import Endpointer, SpeechEnded, SpeechStarted
from e2e.providers.faults import ANY
from e2e.providers.recogniser import Recogniser, is_installed
from e2e.providers.wire import HearingMode

_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Heard:
    """The words of one utterance; `final` is False while it is still going on."""

    text: str
    start_seconds: float
    end_seconds: float
    final: bool = True


@dataclass(frozen=True, slots=True)
class Flushed:
    """Everything asked for up to a flush has been said."""


@dataclass(frozen=True, slots=True)
class _Speaking:
    samples: Samples
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class _Note:
    """One recognition, for the control API."""

    instance: str
    text: str
    audio_seconds: float
    latency_ms: float


class Hearing:
    """Turns utterances into text, by model or by script."""

    def __init__(self, mode: HearingMode = "hear") -> None:
        self.recogniser = Recogniser()
        self.mode: HearingMode = mode if is_installed() else "script"
        # Deepgram's plugin asks for 25 ms, which real endpointing survives and loudness alone does not.
        self.least_silence_ms = 350
        self.interim_ms = 0
        self.notes: deque[_Note] = deque(maxlen=_KEPT)
        self._scripts: dict[str, deque[str]] = {}

    def put_script(self, instance: str, transcripts: Iterable[str]) -> None:
        """Say what the next utterances will be; `*` is for every instance without a script of its own."""
        self._scripts[instance] = deque(transcripts)

    def reset(self, mode: HearingMode) -> None:
        """Forget the scripts and change the mode, as far as the installation allows."""
        self.mode = mode if is_installed() else "script"
        self._scripts.clear()

    async def transcribe(self, samples: Samples, *, rate_hz: int, instance: str) -> str:
        """Return the words of one utterance."""
        started = time.perf_counter()
        if self.mode == "script":
            script = self._scripts.get(instance) or self._scripts.get(ANY) or deque()
            text = script.popleft() if script else ""
        else:
            text = await self.recogniser.transcribe(samples, rate_hz=rate_hz)
        latency_ms = round((time.perf_counter() - started) * 1000, 1)
        self.notes.append(_Note(instance, text, round(samples.size / rate_hz, 3), latency_ms))
        return text

    def rows(self) -> list[dict[str, Any]]:
        """Return what was heard as JSON."""
        return [asdict(note) for note in self.notes]


class Ear:
    """One caller: audio goes in at one end, events come out in order at the other."""

    def __init__(self, hearing: Hearing, *, instance: str, rate_hz: int, silence_ms: int = 0) -> None:
        self._hearing = hearing
        self._instance = instance
        self._endpointer = Endpointer(rate_hz=rate_hz, silence_ms=max(silence_ms, hearing.least_silence_ms))
        self._jobs: asyncio.Queue[SpeechStarted | SpeechEnded | _Speaking | Flushed | None] = asyncio.Queue()
        self._last_interim_seconds = 0.0

    @property
    def heard_seconds(self) -> float:
        """How much audio has come in."""
        return self._endpointer.heard_seconds

    def feed(self, samples: Samples) -> None:
        """Take in more audio."""
        for event in self._endpointer.feed(samples):
            self._jobs.put_nowait(event)
        self._maybe_interim()

    def flush(self) -> None:
        """End the utterance in progress and say so in the events."""
        for event in (*self._endpointer.flush(), Flushed()):
            self._jobs.put_nowait(event)

    def close(self) -> None:
        """End the events once everything has been said."""
        self.flush()
        self._jobs.put_nowait(None)

    async def events(self) -> AsyncIterator[SpeechStarted | Heard | SpeechEnded | Flushed]:
        """Yield what happens: started, perhaps interim words, ended, final words."""
        while (job := await self._jobs.get()) is not None:
            match job:
                case SpeechStarted() | Flushed():
                    yield job
                case SpeechEnded():
                    yield job
                    yield await self._hear(job, final=True)
                case _Speaking():
                    yield await self._hear(job, final=False)

    async def _hear(self, job: SpeechEnded | _Speaking, *, final: bool) -> Heard:
        rate_hz = self._endpointer.rate_hz
        text = await self._hearing.transcribe(job.samples, rate_hz=rate_hz, instance=self._instance)
        return Heard(text, job.start_seconds, job.end_seconds, final=final)

    def _maybe_interim(self) -> None:
        """Listen in on a sentence that goes on, if that is wanted and nobody has to wait for it."""
        now_seconds, every_ms = self._endpointer.heard_seconds, self._hearing.interim_ms
        if not every_ms or self._hearing.mode == "script" or not self._endpointer.speaking:
            self._last_interim_seconds = now_seconds
            return
        idle = not self._hearing.recogniser.busy and self._jobs.empty()
        if idle and (now_seconds - self._last_interim_seconds) * 1000 >= every_ms:
            self._last_interim_seconds = now_seconds
            samples = self._endpointer.so_far()
            start_seconds = now_seconds - samples.size / self._endpointer.rate_hz
            self._jobs.put_nowait(_Speaking(samples, round(start_seconds, 3), round(now_seconds, 3)))
