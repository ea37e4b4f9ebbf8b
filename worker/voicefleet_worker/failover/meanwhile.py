"""What is said and asked of a model that does it all while there is none: it is kept for the one that takes over.

The SDK lets go of what the caller says, lest the new one lag behind the call. But a model hears faster than anybody
speaks, and has caught up before a caller would say it again.
"""

import asyncio
import time
from typing import Any

from livekit import rtc
from livekit.agents import llm
from livekit.agents.llm.realtime_fallback_adapter import _FallbackRealtimeSession

from voicefleet_worker.failover.tape import Tape

_Answer = asyncio.Future[llm.GenerationCreatedEvent]


class KeepingWords(_FallbackRealtimeSession):
    """A conversation that changes hands, and in which nothing is said to nobody."""

    def __init__(self, outer: llm.RealtimeModelFallbackAdapter, *, turn_detection_disabled: bool) -> None:
        self._turns = [Tape()]
        """What the caller said, by turns where the worker tells them; the last one is not over."""
        self._held: list[tuple[dict[str, Any], _Answer]] = []
        """Replies that nobody was asked for yet."""
        super().__init__(outer, turn_detection_disabled=turn_detection_disabled)

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        """Have it heard, now or later."""
        if self._swapping:
            self._turns[-1].record(frame)
        else:
            super().push_audio(frame)

    def commit_audio(self) -> None:
        """End the caller's turn."""
        if self._swapping:
            self._turns.append(Tape())
        else:
            super().commit_audio()

    def clear_audio(self) -> None:
        """Forget what belongs to no turn."""
        if self._swapping:
            self._turns[-1] = Tape()
        else:
            super().clear_audio()

    async def aclose(self) -> None:
        """End the conversation."""
        try:
            await super().aclose()
        finally:
            self._let_go()

    def _hold(self, **wishes: Any) -> _Answer:  # noqa: ANN401 - the SDK's own
        """Ask for a reply later: whoever comes has not heard yet what it is about."""
        answer: _Answer = asyncio.get_running_loop().create_future()
        self._held.append((wishes, answer))
        return answer

    def _catch_up(self) -> None:
        """Play to whoever has come what was said in the meantime."""
        *over, last = self._turns
        self._turns = [Tape()]
        for turn in over:
            self._play(turn)
            self._active.commit_audio()
        self._play(last)

    def _play(self, turn: Tape) -> None:
        for frame in turn:
            self._active.push_audio(frame)

    def _ask_held(self) -> bool:
        """Ask for the replies that are still wanted; tell whether there are any."""
        wanted = [(wishes, answer) for wishes, answer in self._held if not answer.done()]
        self._held = []
        for wishes, answer in wanted:
            _hand_on(self.generate_reply(**wishes), answer)
        return bool(wanted)

    def _give_up(self, error: Exception) -> None:
        """Let the session end: nobody is left."""
        self._let_go()
        label = self._adapter.label
        self.emit("error", llm.RealtimeModelError(timestamp=time.time(), label=label, error=error, recoverable=False))

    def _let_go(self) -> None:
        for _, answer in self._held:
            if not answer.done():
                answer.set_exception(llm.RealtimeError("nobody is left to answer"))
        self._held = []


def _hand_on(source: _Answer, target: _Answer) -> None:
    """Let one be answered as the other is; who does not want the one any more does not want the other."""

    def answered(source: _Answer) -> None:
        if target.done():
            return
        if source.cancelled():
            target.cancel()
        elif (error := source.exception()) is not None:
            target.set_exception(error)
        else:
            target.set_result(source.result())

    source.add_done_callback(answered)
    target.add_done_callback(lambda target: source.cancel() if target.cancelled() else None)
