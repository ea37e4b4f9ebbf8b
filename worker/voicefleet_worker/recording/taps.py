"""Where a recording listens: between the session and its room, on both ways."""

from collections.abc import AsyncIterator, Callable

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice import io

from voicefleet_worker.recording.recorder import Recorder

CurrentRecorder = Callable[[], Recorder | None]


def tap(session: AgentSession[None], recorder: CurrentRecorder) -> bool:
    """Let whoever records hear both sides from now on; False for a session without sound."""
    if session.input.audio is None or session.output.audio is None:
        return False
    session.input.audio = _HearingTap(session.input.audio, recorder)
    session.output.audio = _SpeakingTap(session.output.audio, recorder)
    return True


class _HearingTap(io.AudioInput):
    def __init__(self, source: io.AudioInput, recorder: CurrentRecorder) -> None:
        super().__init__(label="Recording", source=source)
        self._sound = source
        self._recorder = recorder

    def __aiter__(self) -> AsyncIterator[rtc.AudioFrame]:
        return self

    async def __anext__(self) -> rtc.AudioFrame:
        frame = await self._sound.__anext__()
        if (recorder := self._recorder()) is not None:
            recorder.hear_caller(frame)
        return frame


class _SpeakingTap(io.AudioOutput):
    def __init__(self, sink: io.AudioOutput, recorder: CurrentRecorder) -> None:
        super().__init__(
            label="Recording",
            next_in_chain=sink,
            sample_rate=sink.sample_rate,
            capabilities=io.AudioOutputCapabilities(pause=True),
        )
        # Not the one that was handed in: the SDK puts something of its own between that and us.
        self._sink = self.next_in_chain or sink
        self._recorder = recorder

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await self._sink.capture_frame(frame)
        await super().capture_frame(frame)
        if (recorder := self._recorder()) is not None:
            recorder.hear_agent(frame)

    def flush(self) -> None:
        super().flush()
        self._sink.flush()

    def clear_buffer(self) -> None:
        if (recorder := self._recorder()) is not None:
            recorder.interrupt_agent()
        self._sink.clear_buffer()

    def pause(self) -> None:
        super().pause()
        if (recorder := self._recorder()) is not None:
            recorder.pause_agent()

    def resume(self) -> None:
        super().resume()
        if (recorder := self._recorder()) is not None:
            recorder.resume_agent()
