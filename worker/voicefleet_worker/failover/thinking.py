"""Who thinks: another one takes over before a word was said, or goes on where the first one fell silent."""

import asyncio
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any

from livekit.agents import NOT_GIVEN, APIConnectOptions, APIError, APITimeoutError, NotGivenOr, llm

from voicefleet.providers.lineup import ProviderPlan
from voicefleet_worker.failover.switch import ONCE, Attempt, Switch, Tries
from voicefleet_worker.failover.words import WholeWords

GO_ON = (
    "The line to you was lost after your last words, which the other side has heard. Go on with the very next word. "
    "Repeat nothing, and do not mention it."
)
BEGINS_ANEW = "begins-anew"
"""Id of the piece that says so: what comes after it goes on with what was said, in a writing of its own."""
# Whose requests can be given fields of OpenAI's protocol; others would refuse them.
_TAKES_EXTRAS = ("openai",)
# Models that refuse to be told how many tools they may call.
_REFUSE_TO_BE_TOLD = ("o1", "o3", "o4")


class ThinkingInTurn(llm.LLM[Any]):
    """A language model as the session sees it; behind it all of a line-up."""

    def __init__(self, switch: Switch[llm.LLM[Any]], *, parallel_tool_calls: bool = True) -> None:
        super().__init__()
        self._switch = switch
        self._parallel_tool_calls = parallel_tool_calls
        switch.hand_on = lambda metrics: self.emit("metrics_collected", metrics)

    @property
    def model(self) -> str:
        """Model of whom the call is with."""
        return self._switch.current.model or "default"

    @property
    def provider(self) -> str:
        """Name of whom the call is with."""
        return self._switch.current.name

    def chat(  # noqa: PLR0913 - as the SDK calls it
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = ONCE,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
        heard: Callable[[str], str] = str,
    ) -> llm.LLMStream:
        """Begin an answer, of which not all may be for the other side's ears: `heard` returns what of it is."""
        if tools and not self._parallel_tool_calls:
            parallel_tool_calls = False
        wishes = {"parallel_tool_calls": parallel_tool_calls, "tool_choice": tool_choice, "extra_kwargs": extra_kwargs}
        answer = _Answer(self, self._switch, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options, **wishes)
        answer.heard = heard
        return answer

    async def aclose(self) -> None:
        """Close all that were asked."""
        for model in self._switch.models():
            await model.aclose()
        await super().aclose()


class _Answer(llm.LLMStream):
    """One answer, by as many as it takes."""

    def __init__(
        self,
        outer: ThinkingInTurn,
        switch: Switch[llm.LLM[Any]],
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
        **wishes: Any,  # noqa: ANN401 - handed on as they are
    ) -> None:
        super().__init__(outer, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._switch = switch
        self._wishes = wishes
        self._calls_in_turn = wishes["parallel_tool_calls"] is False
        self._words = WholeWords()
        self.heard: Callable[[str], str] = str
        self._heard_before = ""
        self._called_tools = False

    async def _run(self) -> None:
        tries = Tries()
        while True:
            attempt = self._switch.begin(tries.tried)
            try:
                await self._ask(attempt)
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises, another one may do better
                is_for_an_old_key = self._switch.fail(attempt, error)
                if self._called_tools:
                    # What it wanted done is known; the end of its answer would add nothing.
                    return
                self._begin_anew()
                if not is_for_an_old_key:
                    tries.note_failure(attempt.plan)
            else:
                return
            finally:
                self._switch.release(attempt)

    async def _ask(self, attempt: Attempt[llm.LLM[Any]]) -> None:
        """Let one provider answer, or go on with the answer of the one before."""
        # Tries of the SDK's would be requests that no quota, breaker or price book knows of.
        options = APIConnectOptions(max_retry=0, timeout=attempt.plan.timeout_seconds)
        wishes = _taken(attempt.plan, self._wishes)
        stream = attempt.model.chat(chat_ctx=self._context(), tools=self._tools, conn_options=options, **wishes)
        goes_on = bool(self._heard_before)
        async with stream:
            await self._hear_out(attempt, stream)
        # Who goes on may find that everything was said.
        if not attempt.is_answered and not goes_on:
            raise APIError("an answer without a word", retryable=False)
        self._say(self._words.finish())

    async def _hear_out(self, attempt: Attempt[llm.LLM[Any]], stream: llm.LLMStream) -> None:
        """Let an answer through as it comes; only words keep it from being given up."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        deadline, tokens = began + attempt.plan.timeout_seconds, 0
        while (chunk := await _next(stream, deadline)) is not None:
            chunk = self._heeding(chunk)
            if chunk.has_response():
                deadline = loop.time() + attempt.plan.stall_seconds
                if not attempt.is_answered:
                    self._switch.succeed(attempt, loop.time() - began)
            if chunk.usage is not None:
                # Some tell of it with each piece, and each time of all so far.
                self._switch.use_tokens(attempt, max(0, chunk.usage.total_tokens - tokens))
                tokens = max(tokens, chunk.usage.total_tokens)
            self._let_through(chunk)

    def _context(self) -> llm.ChatContext:
        if not self._heard_before:
            return self._chat_ctx
        context = self._chat_ctx.copy()
        context.add_message(role="assistant", content=self._heard_before)
        context.add_message(role="system", content=GO_ON)
        return context

    def _begin_anew(self) -> None:
        """Keep what was heard, and forget a word whose end is lost; whoever is next writes in its own way."""
        if self._words.said:
            self._event_ch.send_nowait(llm.ChatChunk(id=BEGINS_ANEW))
        self._heard_before += self.heard(self._words.said)
        self._words = WholeWords()

    def _let_through(self, chunk: llm.ChatChunk) -> None:
        chunk = self._without_further_calls(chunk)
        delta = chunk.delta
        if delta is None or not delta.content:
            if delta is not None and delta.tool_calls:
                self._called_tools = True
                self._say(self._words.finish())
            self._event_ch.send_nowait(chunk)
            return
        self._called_tools = self._called_tools or bool(delta.tool_calls)
        whole = self._words.push(delta.content)
        self._event_ch.send_nowait(
            chunk.model_copy(update={"delta": delta.model_copy(update={"content": whole or None})})
        )

    def _heeding(self, chunk: llm.ChatChunk) -> llm.ChatChunk:
        """Leave out calls where none may be: nobody would act on them, and the other side would hear nothing at all."""
        if chunk.delta is None or not chunk.delta.tool_calls or self._wishes["tool_choice"] != "none":
            return chunk
        return chunk.model_copy(update={"delta": chunk.delta.model_copy(update={"tool_calls": []})})

    def _without_further_calls(self, chunk: llm.ChatChunk) -> llm.ChatChunk:
        """Leave an answer its first call where tools are called in turn: not every make can be told, or listens.

        The model is asked again with what came of it, and calls the next one then.
        """
        delta = chunk.delta
        if not self._calls_in_turn or delta is None or not delta.tool_calls:
            return chunk
        kept = [] if self._called_tools else delta.tool_calls[:1]
        return chunk.model_copy(update={"delta": delta.model_copy(update={"tool_calls": kept})})

    def _say(self, text: str) -> None:
        if text:
            delta = llm.ChoiceDelta(role="assistant", content=text)
            self._event_ch.send_nowait(llm.ChatChunk(id="", delta=delta))

    async def _metrics_monitor_task(self, event_aiter: AsyncIterable[llm.ChatChunk]) -> None:
        """Measure nothing: whoever is asked does."""
        async for _ in event_aiter:
            pass


def _taken(plan: ProviderPlan, wishes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out of the wishes what a provider would refuse."""
    refused = set() if plan.plugin in _TAKES_EXTRAS else {"extra_kwargs"}
    if (plan.model or "").rpartition("/")[2].startswith(_REFUSE_TO_BE_TOLD):
        refused.add("parallel_tool_calls")
    return {name: NOT_GIVEN if name in refused else wish for name, wish in wishes.items()}


async def _next(stream: llm.LLMStream, deadline: float) -> llm.ChatChunk | None:
    """Return the next piece of an answer, or None at its end."""
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(stream)
    except StopAsyncIteration:
        return None
    except TimeoutError:
        raise APITimeoutError from None
