"""What a model that does it all owes the caller: that an answer begins, and then every piece of it.

The SDK takes the pieces of an answer as they sound, which may be many seconds after they came. They are handed on
through here, where each is noted as it comes: a silence is that of the model, and not of whoever plays what it said.
"""

import asyncio
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any, TypeVar

from livekit.agents import NotGivenOr, llm
from livekit.agents.utils import is_given
from livekit.agents.utils.aio import Chan

from voicefleet_worker.failover.switch import Attempt

# Makes that end an answer only when they think that it was heard: once all of it was said, nothing more is due.
_END_LATE = ("google",)

ANSWER: Mapping[str, Any] = {"input_modality": "audio"}
"""What is asked for where the caller's own words are to be answered."""
Piece = TypeVar("Piece")


def asking(instructions: NotGivenOr[str], tool_choice: NotGivenOr[llm.ToolChoice]) -> dict[str, Any]:
    """Return what is asked for, as the session is asked for it anew; what is asked without a word is an answer."""
    asked = {"instructions": instructions, "tool_choice": tool_choice}
    return asked if is_given(instructions) else {**asked, **ANSWER}


class Due:
    """One thing at a time; a model that owes it and sends nothing at all for too long is given up."""

    def __init__(self, give_up: Callable[[], None]) -> None:
        self._give_up = give_up
        self._attempt: Attempt[Any]
        self._answer: _Answer | None = None
        self._asked: Mapping[str, Any] | None = None
        self._last_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_any(self) -> bool:
        """Whether anything must come."""
        return self._timer is not None and (self._answer is None or self._answer.is_due)

    @property
    def asked(self) -> Mapping[str, Any] | None:
        """What an answer was asked for with that has begun without a word."""
        return self._asked if self._answer is not None and not self._answer.has_begun else None

    def expect_answer(self, attempt: Attempt[Any]) -> None:
        """Expect an answer to begin."""
        self._expect(attempt, None, None)

    def expect_pieces(
        self, event: llm.GenerationCreatedEvent, attempt: Attempt[Any], asked: Mapping[str, Any] | None
    ) -> None:
        """Expect all pieces of an answer that has begun."""
        self._expect(attempt, _Answer(event, ends_late=attempt.plan.plugin in _END_LATE), asked)

    def note_life(self) -> None:
        """Note that something came, whatever it was; an answer may only begin in time all the same."""
        if self._answer is not None:
            self._last_at = asyncio.get_running_loop().time()

    def forgo(self) -> None:
        """Expect no more pieces: the answer was interrupted."""
        if self._answer is not None:
            self.stop()

    def stop(self) -> None:
        """Expect nothing."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._answer, self._asked = None, None, None

    def _expect(self, attempt: Attempt[Any], answer: "_Answer | None", asked: Mapping[str, Any] | None) -> None:
        self.stop()
        self._attempt, self._answer, self._asked = attempt, answer, asked
        self._last_at = asyncio.get_running_loop().time()
        self._look_in(min(attempt.plan.timeout_seconds, attempt.plan.stall_seconds))

    def _look_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        answer, attempt = self._answer, self._attempt
        if answer is not None and answer.is_over:
            self.stop()
            return
        has_begun = answer is not None and answer.has_begun
        patience_seconds = attempt.plan.stall_seconds if has_begun else attempt.plan.timeout_seconds
        if not self.is_any:
            self._look_in(attempt.plan.timeout_seconds)
            return
        last_at = self._last_at if answer is None else max(self._last_at, answer.last_at)
        left_seconds = last_at + patience_seconds - asyncio.get_running_loop().time()
        if left_seconds > 0:
            self._look_in(left_seconds)
        else:
            self._give_up()


class _Answer:
    """One answer, every piece of which is noted as it comes."""

    def __init__(self, event: llm.GenerationCreatedEvent, *, ends_late: bool) -> None:
        self._ends_late = ends_late
        self._whole: set[asyncio.Task[None]] = set()
        self._words: set[asyncio.Task[None]] = set()
        self.has_begun = False
        """Whether a word, a sound or a call of a tool has come."""
        self.last_at = 0.0
        """When the last one came."""
        event.message_stream = self._tap(event.message_stream, self._tap_message, self._whole)
        event.function_stream = self._tap(event.function_stream, self._note, self._whole)

    @property
    def is_over(self) -> bool:
        """Whether all of it is here."""
        return not self._whole and not self._words

    @property
    def is_due(self) -> bool:
        """Whether something more must come."""
        return bool(self._words) or (bool(self._whole) and not (self.has_begun and self._ends_late))

    def _tap_message(self, message: llm.MessageGeneration) -> None:
        message.text_stream = self._tap(message.text_stream, self._note, self._words)
        message.audio_stream = self._tap(message.audio_stream, self._note, self._words)

    def _note(self, _: object) -> None:
        self.has_begun, self.last_at = True, asyncio.get_running_loop().time()

    def _tap(
        self, source: AsyncIterable[Piece], note: Callable[[Piece], None], under_way: set[asyncio.Task[None]]
    ) -> Chan[Piece]:
        target: Chan[Piece] = Chan()
        task = asyncio.create_task(_hand_on(source, note, target))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        return target


async def _hand_on(source: AsyncIterable[Piece], note: Callable[[Piece], None], target: Chan[Piece]) -> None:
    try:
        async for piece in source:
            note(piece)
            target.send_nowait(piece)
    finally:
        target.close()
