"""What an agent does by itself in a conversation: it calls a silent caller back, and knows when to say goodbye."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from livekit.agents import AgentSession, CloseEvent, UserInputTranscribedEvent, UserStateChangedEvent
from livekit.agents.voice import SpeechHandle

from voicefleet.conversation.call_variables import fill
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet.conversation.phrases import call_back, goodbye, must_go, nobody_there, says_one_of
from voicefleet.records.ends import End
from voicefleet.records.life import State
from voicefleet_worker.calls.course import Course
from voicefleet_worker.saying import reply, say

HangUp = Callable[[End], Awaitable[None]]

_GOODBYE_SECONDS = 40.0
_STOP_SECONDS = 1.0
# While one agent gives way to the next, nobody can speak.
_GIVING_WAY_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_TIME_IS_OVER = "The time for this call is over. Say goodbye in one short sentence."
_TIME_RUNS_OUT = "The time for this call will soon be over. Say so in one short sentence, and go on."
_AGENT_IS_DONE = "The call has reached its end. Say goodbye in one short sentence."
_CALLER_IS_DONE = "The caller wants to end the call. Say goodbye in one short sentence."


class InCharge(Protocol):
    """The agent that speaks at this moment."""

    @property
    def language(self) -> str:
        """Its language."""

    @property
    def values(self) -> Mapping[str, str]:
        """Variables as it sees them."""


class Manners:
    """Those of one call, from the moment at which the caller is there."""

    def __init__(
        self, session: AgentSession[None], plan: DialoguePlan, in_charge: InCharge, course: Course, hang_up: HangUp
    ) -> None:
        self._session = session
        self._plan = plan
        self._in_charge = in_charge
        self._course = course
        self._hang_up = hang_up
        self._called_back = 0
        self._is_over = False
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Keep them from now on."""
        self._session.on("user_state_changed", self._on_state)
        self._session.on("user_input_transcribed", self._on_words)
        self._session.on("close", self._on_close)
        # Who let it ring for long counts as away by now, and would never be again.
        self._session.reset_away_timer()
        duration = self._plan.conversation.duration
        if duration.warn_at_seconds is not None:
            self._later(self._warn(duration.warn_at_seconds))
        self._later(self._end_when_too_long(duration.max_seconds))

    @property
    def language(self) -> str:
        """Language of the agent in charge."""
        return self._in_charge.language

    @property
    def values(self) -> Mapping[str, str]:
        """Variables as the agent in charge sees them."""
        return self._in_charge.values

    def end_call(self, instructions: str = _AGENT_IS_DONE, *, after: SpeechHandle | None = None) -> None:
        """Say goodbye and hang up, because the agent wants to; first it says what it is about to say."""
        self._later(self._end_after(after or self._session.current_speech, instructions))

    def go_on(self) -> None:
        """Begin to count anew; a caller who has waited to be put through has not been silent."""
        self._called_back = 0
        self._session.reset_away_timer()

    def hear(self) -> None:
        """Take note that the caller is there, though they may say nothing."""
        self._called_back = 0

    def leave(self) -> None:
        """Say goodbye and hang up, because the worker has to go."""
        self._later(self._end(words=must_go(self._in_charge.language), reason=End.WORKER_LEAVES))

    @property
    def _is_talking(self) -> bool:
        return self._course.life.state is State.TALKING

    def _on_state(self, event: UserStateChangedEvent) -> None:
        if event.new_state == "away":
            self._later(self._call_back())
        elif event.new_state == "speaking":
            self.hear()

    def _on_words(self, event: UserInputTranscribedEvent) -> None:
        if event.is_final and says_one_of(event.transcript, self._plan.conversation.end_phrases):
            self._later(self._end(instructions=_CALLER_IS_DONE, reason=End.CALLER_SAID_SO))

    def _on_close(self, _: CloseEvent) -> None:
        self._is_over = True

    async def _call_back(self) -> None:
        if not self._is_talking:
            return
        away, language = self._plan.conversation.away, self._in_charge.language
        if self._called_back >= away.max_prompts:
            await self._end(words=nobody_there(language), reason=End.CALLER_SILENT)
            return
        words = fill(call_back(language, away.prompts, self._called_back), self._in_charge.values)
        self._called_back += 1
        with contextlib.suppress(RuntimeError):
            await say(self._session, words)
        # Else whoever has been called back once, or could not be, would be away for ever.
        self._session.reset_away_timer()

    async def _end_after(self, speech: SpeechHandle | None, instructions: str) -> None:
        """Let what the agent is saying come to its end; it may have said goodbye already, and may do so once more.

        By then it has also told what came of other tools that it used at once.
        """
        with contextlib.suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                if speech is not None:
                    await speech
        await self._end(instructions=instructions, reason=End.AGENT_ENDED)

    async def _warn(self, at_seconds: float) -> None:
        await asyncio.sleep(at_seconds)
        await self._course.settled()
        if not self._is_talking:
            return
        with contextlib.suppress(RuntimeError):
            await reply(self._session, _TIME_RUNS_OUT, uses_tools=False)

    async def _end_when_too_long(self, max_seconds: float) -> None:
        await asyncio.sleep(max_seconds)
        words = fill(self._plan.conversation.duration.goodbye or "", self._in_charge.values)
        await self._end(words=words, instructions=_TIME_IS_OVER, reason=End.TOO_LONG)

    async def _end(self, *, reason: End, words: str | None = None, instructions: str = "") -> None:
        """Say goodbye, once and to its end, and hang up; nobody is cut off while they are put through."""
        if not await self._course.close(reason):
            return
        try:
            # A provider that is slow, or a caller who hangs up just now, does not keep the line.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await self._break_in(words, instructions)
        finally:
            await self._hang_up(reason)

    async def _break_in(self, words: str | None, instructions: str) -> None:
        """Say goodbye over whatever is being said; to a caller who is being handed over, a moment later."""
        until_seconds = time.monotonic() + _GIVING_WAY_SECONDS
        while True:
            try:
                # A tool that is at work goes on, and the caller does not wait for it in silence.
                await asyncio.wait({asyncio.ensure_future(self._session.interrupt(force=True))}, timeout=_STOP_SECONDS)
                await self._say_goodbye(words, instructions)
            except RuntimeError:
                if self._is_over or time.monotonic() > until_seconds:
                    return
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return

    async def _say_goodbye(self, words: str | None, instructions: str) -> None:
        if words:
            await say(self._session, words, interruptible=False)
        else:
            # Without tools: one of them may be to end the call.
            speech = await reply(self._session, instructions, interruptible=False, uses_tools=False)
            if speech.exception() is not None:
                # Nobody could think of one.
                await say(self._session, goodbye(self._in_charge.language), interruptible=False)

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
