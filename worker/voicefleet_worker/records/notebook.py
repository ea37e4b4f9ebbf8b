"""What a call's own process writes into its journal: whatever the session says that the record wants to know."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from livekit.agents import AgentSession, ConversationItemAddedEvent, FunctionToolsExecutedEvent
from livekit.agents.llm import ChatMessage
from livekit.agents.metrics import LLMMetrics, RealtimeModelMetrics, STTMetrics, TTSMetrics
from livekit.protocol.agent import Job

from voicefleet.api.voiceagent.records import Transcript
from voicefleet.conversation.outcome import CallOutcome
from voicefleet.records.journal import (
    Answered,
    Began,
    Billed,
    Brought,
    Ended,
    Entered,
    ProviderFailed,
    ProviderUsed,
    Recorded,
    RecordedCallback,
    RecordedRating,
    Said,
    Stages,
    ToolUsed,
)
from voicefleet.records.life import State
from voicefleet.records.usage import Usage
from voicefleet_worker.records.journal import Journal

_LONGEST_CHARACTERS = 20_000
_LONGEST_SECONDS = 1e6
_STAGES = {
    "hearing_seconds": "transcription_delay",
    "deciding_seconds": "end_of_turn_delay",
    "thinking_seconds": "llm_node_ttft",
    "speaking_seconds": "tts_node_ttfb",
    "total_seconds": "e2e_latency",
}


class Notebook:
    """That of one call."""

    def __init__(self, journal: Journal, kept: Transcript, *, clock: Callable[[], float] = time.time) -> None:
        self._journal = journal
        self._kept = kept
        self._clock = clock

    def begin(self, job: Job) -> None:
        """Note which call it is."""
        entry = Began(
            at=self._clock(), id=job.id, dispatch_id=job.dispatch_id, room=job.room.name, room_id=job.room.sid
        )
        self._journal.write(entry)

    def bill(self, account: str) -> None:
        """Note to whom the call is billed."""
        if account:
            self._journal.write(Billed(account=account))

    def answered(self) -> None:
        """Note that the caller is there."""
        self._journal.write(Answered(at=self._clock()))

    def brought(self, outcome: CallOutcome) -> None:
        """Note what the call has brought besides words."""
        rating, wish = outcome.feedback, outcome.callback
        feedback = None if rating is None else RecordedRating(value=rating.value, scale=rating.scale)
        callback = None
        if wish is not None:
            at = None if wish.when is None else wish.when.isoformat()
            callback = RecordedCallback(number=wish.number, at=at, from_number=wish.from_number)
        self._journal.write(Brought(feedback=feedback, opted_out=outcome.opted_out, callback=callback))

    def entered(self, state: State) -> None:
        """Note how far the call is."""
        self._journal.write(Entered(at=self._clock(), state=state))

    def recorded(self, outcome: str, file: str) -> None:
        """Note what became of the recording."""
        self._journal.write(Recorded(outcome=outcome, file=file))

    def ended(self, reason: str, problem: str = "") -> None:
        """Note that the call is over; whoever notes it first is right."""
        self._journal.write(Ended(at=self._clock(), reason=reason, problem=problem))

    def asked(self, provider: str) -> None:
        """Note that a provider is asked; what it measures later comes in as many pieces as it likes."""
        self._journal.write(ProviderUsed(provider=provider, usage=Usage(requests=1)))

    def measured(self, provider: str, metrics: object) -> None:
        """Note what a request to a provider used."""
        usage = usage_of(metrics)
        if usage is not None:
            self._journal.write(ProviderUsed(provider=provider, usage=usage))

    def provider_failed(self, provider: str, problem: str) -> None:
        """Note that a provider let the call down."""
        self._journal.write(ProviderFailed(at=self._clock(), provider=provider, problem=problem))

    def follow(self, session: AgentSession[None]) -> None:
        """Note what is said and done from now on."""
        session.on("conversation_item_added", self._on_item)
        session.on("function_tools_executed", self._on_tools)

    async def aclose(self) -> None:
        """Return when everything is written."""
        await self._journal.aclose()

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, ChatMessage) or item.role not in ("user", "assistant"):
            return
        said = Said(
            at=self._clock(),
            who="Caller" if item.role == "user" else "Agent",
            text=self._words(item.text_content),
            interrupted=item.interrupted,
            stages=stages_of(item.metrics),
        )
        self._journal.write(said)

    def _on_tools(self, event: FunctionToolsExecutedEvent) -> None:
        for call, output in event.zipped():
            entry = ToolUsed(
                at=self._clock(),
                tool=call.name,
                arguments=self._matter(call.arguments),
                result=self._matter(output.output),
                failed=output.is_error,
            )
            self._journal.write(entry)

    def _words(self, text: str | None) -> str | None:
        return (text or "")[:_LONGEST_CHARACTERS] if self._kept.enabled else None

    def _matter(self, text: str) -> str | None:
        return self._words(text) if self._kept.include_tool_calls else None


def stages_of(metrics: Mapping[str, Any]) -> Stages:
    """Read where the time of a turn went; clocks are set back now and then."""
    known = {ours: metrics[theirs] for ours, theirs in _STAGES.items() if isinstance(metrics.get(theirs), int | float)}
    return Stages(**{stage: min(max(0.0, seconds), _LONGEST_SECONDS) for stage, seconds in known.items()})


def usage_of(metrics: object) -> Usage | None:
    """Read what a request used."""
    match metrics:
        case LLMMetrics():
            return Usage(
                input_tokens=metrics.prompt_tokens,
                cached_input_tokens=metrics.prompt_cached_tokens,
                output_tokens=metrics.completion_tokens,
            )
        case RealtimeModelMetrics():
            read, cached = metrics.input_token_details, metrics.input_token_details.cached_tokens_details
            return Usage(
                input_tokens=metrics.input_tokens,
                input_audio_tokens=read.audio_tokens,
                cached_input_tokens=read.cached_tokens,
                cached_input_audio_tokens=0 if cached is None else cached.audio_tokens,
                output_tokens=metrics.output_tokens,
                output_audio_tokens=metrics.output_token_details.audio_tokens,
            )
        case STTMetrics():
            # Sound that is only written down costs a fraction of what a model that does it all takes for it, and
            # nobody but such a model's transcriber tells how much there was: it has the price of words.
            return Usage(
                input_tokens=metrics.input_tokens,
                output_tokens=metrics.output_tokens,
                audio_seconds=metrics.audio_duration,
            )
        case TTSMetrics():
            return Usage(
                input_tokens=metrics.input_tokens,
                output_tokens=metrics.output_tokens,
                # A voice writes nothing else.
                output_audio_tokens=metrics.output_tokens,
                characters=metrics.characters_count,
                audio_seconds=metrics.audio_duration,
            )
        case _:
            return None
