"""Who does it all: when one fails, another one takes over inside the call, with all that was said so far.

The SDK has an adapter for this, whose plumbing is used here. It takes the models in a fixed order and by its own
clock; here the line-up decides, as it does for every other job. Its session is not public, but it is the one that an
AgentSession looks for; a test fails when a release takes it away.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from livekit.agents import NOT_GIVEN, APIConnectionError, APITimeoutError, NotGivenOr, llm
from livekit.agents.utils import is_given

from voicefleet_worker.failover.due import ANSWER, Due, asking
from voicefleet_worker.failover.meanwhile import KeepingWords
from voicefleet_worker.failover.patience import Patience
from voicefleet_worker.failover.switch import Attempt, Switch
from voicefleet_worker.failover.thinking import GO_ON

_Child = llm.RealtimeSession[Any]
# By plugin, the event that only a server that is there can cause; of others it is known that the line is open.
_SIGNS_OF_LIFE = {"openai": "openai_server_event_received"}
_LINE_IS_OPEN = "metrics_collected"
# How the plugin says that a provider gave an answer up, such as for want of quota.
_FAILED_ANSWER = "response failed"
_BREAK_OFF_SECONDS = 5.0
_TRY_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Source:
    """A realtime model as a switch takes it."""

    model: llm.RealtimeModel

    def on(self, event: Literal["error", "metrics_collected"], callback: Callable[..., None], /) -> object:
        """Have nothing called: what is to be told of a realtime model, its sessions tell."""


class ConversingInTurn(llm.RealtimeModelFallbackAdapter):
    """A realtime model as the session sees it; behind it all of a line-up."""

    def __init__(self, switch: Switch[Source]) -> None:
        sources = switch.built()
        if not sources:
            raise APIConnectionError("nobody can be asked: none could be built", retryable=False)
        super().__init__([source.model for source in sources])
        self._switch = switch

    @property
    def model(self) -> str:
        """Model of whom the call is with."""
        return self._switch.current.model or "default"

    @property
    def provider(self) -> str:
        """Name of whom the call is with."""
        return self._switch.current.name

    def note_latency(self, seconds: float) -> None:
        """Note how long the caller waited for an answer."""
        self._switch.note_latency(seconds)

    def session(self, *, turn_detection_disabled: bool = False) -> "_Conversation":
        """Begin a conversation with whoever is to be asked now."""
        attempt = self._switch.begin(())
        first = attempt.model.model
        self._models[:] = [first, *(model for model in self._models if model is not first)]
        return _Conversation(self, self._switch, attempt, turn_detection_disabled=turn_detection_disabled)


class _Conversation(KeepingWords):
    """One call, held by as many as it takes."""

    def __init__(
        self,
        outer: ConversingInTurn,
        switch: Switch[Source],
        attempt: Attempt[Source],
        *,
        turn_detection_disabled: bool,
    ) -> None:
        self._switch = switch
        self._patience = Patience()
        self._asked: Mapping[str, Any] | None = None
        self._is_unanswered = False
        self._due = Due(lambda: self._lose(self._active, APITimeoutError(retryable=False)))
        self._note_begin(attempt)
        super().__init__(outer, turn_detection_disabled=turn_detection_disabled)
        self._swap_task = asyncio.create_task(self._see_it_begin())

    def generate_reply(
        self,
        *,
        instructions: NotGivenOr[str] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        tools: NotGivenOr[list[llm.Tool]] = NOT_GIVEN,
    ) -> asyncio.Future[llm.GenerationCreatedEvent]:
        """Ask for a reply, and remember it until one begins."""
        if self._swapping:
            return self._hold(instructions=instructions, tool_choice=tool_choice, tools=tools)
        child, asked = self._active, asking(instructions, tool_choice)
        answer = super().generate_reply(instructions=instructions, tool_choice=tool_choice, tools=tools)
        self._asked = asked
        silence = APITimeoutError(retryable=False)
        timer = asyncio.get_running_loop().call_later(self._attempt.plan.timeout_seconds, self._lose, child, silence)

        def note(answer: asyncio.Future[llm.GenerationCreatedEvent]) -> None:
            timer.cancel()
            error = None if answer.cancelled() else answer.exception()
            if self._asked is asked and (error is None or getattr(error, "code", None) is not None):
                self._asked = None

        answer.add_done_callback(note)
        return answer

    def interrupt(self) -> None:
        """Break off what is being said: the rest of it is not due any more."""
        self._due.forgo()
        super().interrupt()

    async def aclose(self) -> None:
        """End the conversation."""
        self._due.stop()
        # One that has failed fails once more when it is closed, and would keep the call from ending.
        with suppress(Exception):
            await super().aclose()
        self._release()

    # What whoever is asked tells.

    def _bind(self, child: _Child) -> None:
        for event, handler in self._handlers():
            child.on(event, handler)
        super()._bind(child)

    def _unbind(self, child: _Child) -> None:
        super()._unbind(child)
        for event, handler in self._handlers():
            child.off(event, handler)

    def _handlers(self) -> tuple[tuple[Any, Callable[..., None]], ...]:
        return (
            (_SIGNS_OF_LIFE.get(self._attempt.plan.plugin, _LINE_IS_OPEN), self._note_life),
            ("metrics_collected", self._note_use),
            ("input_speech_started", self._note_speech),
            ("input_audio_transcription_completed", self._note_words),
            ("generation_created", self._note_answer),
        )

    def _note_use(self, metrics: object) -> None:
        self._switch.measure(self._attempt, metrics)

    def _note_begin(self, attempt: Attempt[Source]) -> None:
        loop = asyncio.get_running_loop()
        self._attempt, self._is_held = attempt, True
        self._began_at = loop.time()
        self._life: asyncio.Future[None] = loop.create_future()
        self._lost: Exception | None = None

    def _note_life(self, _: object) -> None:
        self._due.note_life()
        if not self._life.done():
            self._life.set_result(None)
            self._switch.succeed(self._attempt)

    def _note_speech(self, _: object) -> None:
        self._due.stop()
        self._is_unanswered = True

    def _note_words(self, event: llm.InputTranscriptionCompleted) -> None:
        """Expect an answer to words; a noise needs none."""
        self._due.note_life()
        if self._is_unanswered and event.is_final and event.transcript.strip() and self.capabilities.turn_detection:
            self._due.expect_answer(self._attempt)

    def _note_answer(self, event: llm.GenerationCreatedEvent) -> None:
        self._due.expect_pieces(event, self._attempt, self._asked if event.user_initiated else None)
        self._is_unanswered = False

    def _on_child_error(self, error: llm.RealtimeModelError) -> None:
        if error.recoverable and _FAILED_ANSWER in str(error.error):
            # The line is well, but what the caller waits for will not come.
            self._lose(self._active, error.error, owed=ANSWER)
        elif error.recoverable:
            self.emit("error", error)
        elif not self._life.done():
            self._lost = error.error
            self._life.set_exception(error.error)
        else:
            self._lose(self._active, error.error)

    def _lose(self, child: _Child, error: Exception, *, owed: Mapping[str, Any] | None = None) -> None:
        """Let the next one take over from one that fails; whoever is tried out just now is left to who tries it."""
        if child is not self._active or self._lost is not None:
            return
        self._lost = error
        if self._swap_task is None or self._swap_task.done():
            self._swap_task = asyncio.create_task(self._take_over(self._owed() if owed is None else owed))

    # How another one takes over.

    async def _see_it_begin(self) -> None:
        await self._await_life()
        if self._lost is not None:
            await self._take_over(self._owed())

    async def _await_life(self) -> None:
        try:
            async with asyncio.timeout(self._attempt.plan.timeout_seconds):
                await self._life
        except TimeoutError:
            self._lost = APITimeoutError(retryable=False)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, another one may do better
            self._lost = error

    def _owed(self) -> Mapping[str, Any] | None:
        """Return what the caller waits for, as it is asked for anew."""
        state = self._agent_session.agent_state if self._agent_session is not None else ""
        asked = self._asked or self._due.asked
        if asked is not None:
            return asked
        if state == "speaking":
            return {"instructions": GO_ON}
        return ANSWER if state == "thinking" or self._due.is_any else None

    async def _take_over(self, owed: Mapping[str, Any] | None) -> None:
        self._due.stop()
        session = self._agent_session
        self._swapping = True
        try:
            await self._break_off()
            # What the caller has heard, which may be less than what was said.
            context = self._active.chat_ctx if session is None else session.current_agent.chat_ctx
            while self._lost is not None:
                await self._try_next(self._lost, context)
            self._catch_up()
        except APIConnectionError as error:
            self._give_up(error)
            return
        finally:
            self._swapping = False
        self._is_unanswered = False
        self.emit("session_reconnected", llm.RealtimeSessionReconnectedEvent())
        # What was asked for last is what is due.
        is_asked = self._ask_held()
        owed = self._asked if owed is None else owed
        if not is_asked and owed is not None and session is not None:
            session.generate_reply(**owed)

    async def _break_off(self) -> None:
        """End what is being said: the rest of it will not come."""
        if self._agent_session is not None:
            with suppress(RuntimeError, TimeoutError):
                async with asyncio.timeout(_BREAK_OFF_SECONDS):
                    await self._agent_session.interrupt(force=True)

    async def _try_next(self, error: Exception, context: llm.ChatContext) -> None:
        failed, lasted_seconds = self._attempt, asyncio.get_running_loop().time() - self._began_at
        is_for_an_old_key = self._switch.fail(failed, error)
        self._release()
        self._unbind(self._active)
        with suppress(Exception):
            await self._active.aclose()
        if not is_for_an_old_key and self._patience.note_failure(failed.plan, lasted_seconds=lasted_seconds):
            await asyncio.sleep(_TRY_AGAIN_SECONDS)
        attempt = await self._choose()
        self._note_begin(attempt)
        self._active = attempt.model.model.session(turn_detection_disabled=self._turn_detection_disabled)
        self._bind(self._active)
        self._adapter._active_instance = attempt.model.model
        if attempt.model.model not in self._adapter._models:
            self._adapter._models.append(attempt.model.model)
        await self._await_life()
        if self._lost is None:
            await self._brief(context)

    async def _choose(self) -> Attempt[Source]:
        while True:
            try:
                return self._switch.begin(self._patience.tried)
            except APIConnectionError:
                # All have just failed, or rest: the caller is still there.
                if not self._patience.begin_anew(asyncio.get_running_loop().time()):
                    raise
                await asyncio.sleep(_TRY_AGAIN_SECONDS)

    async def _brief(self, context: llm.ChatContext) -> None:
        """Tell who is new what was said so far, and what the agent is told."""
        await self._active._update_session(instructions=self._instructions, chat_ctx=context, tools=self._tools)
        if is_given(self._tool_choice):
            self._active.update_options(tool_choice=self._tool_choice)

    def _release(self) -> None:
        was_held, self._is_held = self._is_held, False
        if was_held:
            self._switch.release(self._attempt)
