"""From a call's journal to its record. Pure: the same lines always make the same record."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from voicefleet.api.providerpool.providers import PriceBook
from voicefleet.records.ends import Disposition, End
from voicefleet.records.journal import (
    Answered,
    Began,
    Billed,
    Brought,
    Ended,
    Entered,
    Entry,
    ProviderFailed,
    ProviderUsed,
    Recorded,
    Said,
    Stages,
    ToolUsed,
)
from voicefleet.records.life import State
from voicefleet.records.record import CallRecord, RecordedAgent, RecordedTurn, RecordedUse, TranscriptLine
from voicefleet.records.usage import Usage, cost_of


@dataclass(frozen=True, slots=True)
class PricedProvider:
    """A provider as the record needs it."""

    role: str
    price: PriceBook


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a worker knows of all its calls."""

    agent: RecordedAgent
    worker: str
    providers: Mapping[str, PricedProvider]
    currency: str
    keeps_transcript: bool
    keeps_tool_calls: bool
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the worker saw when the call's process was gone."""

    id: str
    at: float
    end: End = End.CRASHED
    """Why it ended, if its journal does not say."""


def closing_entries(entries: Sequence[Entry], verdict: Verdict) -> tuple[Entry, ...]:
    """Return what a journal lacks of a beginning and an end.

    Written below it, they make later verdicts worth nothing: the record that is made of it stays the same.
    """
    lacking: list[Entry] = []
    if not any(isinstance(entry, Began) for entry in entries):
        lacking.append(Began(at=verdict.at, id=verdict.id))
    if not any(isinstance(entry, Ended) for entry in entries):
        lacking.append(Ended(at=verdict.at, reason=verdict.end.value))
    return tuple(lacking)


def make_record(entries: Sequence[Entry], verdict: Verdict, around: Circumstances) -> CallRecord:
    """Return the one record of a call."""
    entries = (*entries, *closing_entries(entries, verdict))
    began = next(entry for entry in entries if isinstance(entry, Began))
    answered = next((entry.at for entry in entries if isinstance(entry, Answered)), None)
    end = next(entry for entry in entries if isinstance(entry, Ended))
    # Clocks are set back now and then.
    ended_at = max(end.at, answered or began.at, began.at)
    tools = [entry for entry in entries if isinstance(entry, ToolUsed)]
    turns = tuple(_turns(entries, began.at))
    usage = tuple(_usage(entries, around.providers))
    return CallRecord(
        id=verdict.id,
        agent=around.agent,
        worker=around.worker,
        room=began.room,
        room_id=began.room_id,
        dispatch_id=began.dispatch_id,
        began_at=_instant(began.at),
        answered_at=None if answered is None else _instant(answered),
        ended_at=_instant(ended_at),
        talk_seconds=0.0 if answered is None else _rounded(ended_at - answered),
        disposition=_disposition(end.reason),
        reason=end.reason,
        ended_while=_last_state(entries),
        problem=end.problem,
        turns=turns,
        interruptions=sum(turn.interrupted for turn in turns),
        tool_calls=len(tools),
        tool_failures=sum(tool.failed for tool in tools),
        usage=usage,
        cost=float(sum((Decimal(str(use.cost)) for use in usage), Decimal(0))),
        currency=around.currency,
        account=next((entry.account for entry in entries if isinstance(entry, Billed)), ""),
        tags=dict(around.tags),
        **_brought(entries),
        transcript=tuple(_transcript(entries, began.at, around)) if around.keeps_transcript else None,
    )


def _brought(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what a call has left behind besides words."""
    brought = next((entry for entry in reversed(entries) if isinstance(entry, Brought)), Brought())
    recorded = next((entry for entry in entries if isinstance(entry, Recorded)), Recorded(outcome=""))
    return {
        "recording": recorded.outcome,
        "recording_file": recorded.file,
        "feedback": brought.feedback,
        "opted_out": brought.opted_out,
        "callback": brought.callback,
    }


def _last_state(entries: Sequence[Entry]) -> State | None:
    """Return what the call was doing when it ended; one that was refused was doing nothing yet."""
    states = (entry.state for entry in reversed(entries) if isinstance(entry, Entered))
    return next((state for state in states if state is not State.ENDED), None)


def _disposition(reason: str) -> Disposition:
    """Return what a reason means; one that the SDK made up is the room's end or the job's."""
    try:
        return End(reason).disposition
    except ValueError:
        return Disposition.ROOM_CLOSED


def _turns(entries: Iterable[Entry], began_at: float) -> Iterable[RecordedTurn]:
    """Yield the agent's answers, each with what was measured of the words that it answers."""
    heard = Stages()
    for entry in entries:
        if not isinstance(entry, Said):
            continue
        if entry.who == "Caller":
            heard = entry.stages
            continue
        stages = entry.stages
        if stages.total_seconds is not None:
            update = {"hearing_seconds": heard.hearing_seconds, "deciding_seconds": heard.deciding_seconds}
            stages, heard = stages.model_copy(update=update), Stages()
        yield RecordedTurn(at_seconds=_since(entry.at, began_at), interrupted=entry.interrupted, stages=stages)


def _usage(entries: Iterable[Entry], providers: Mapping[str, PricedProvider]) -> Iterable[RecordedUse]:
    used: dict[str, Usage] = {}
    failures: Counter[str] = Counter()
    for entry in entries:
        if isinstance(entry, ProviderUsed):
            used[entry.provider] = used.get(entry.provider, Usage()).plus(entry.usage)
        elif isinstance(entry, ProviderFailed):
            failures[entry.provider] += 1
    for name in sorted(used.keys() | failures.keys()):
        provider, usage = providers.get(name), used.get(name, Usage())
        yield RecordedUse(
            provider=name,
            role=provider.role if provider else "",
            usage=usage.model_copy(update={"audio_seconds": _rounded(usage.audio_seconds)}),
            failures=failures[name],
            cost=float(cost_of(usage, provider.price)) if provider else 0.0,
        )


def _transcript(entries: Iterable[Entry], began_at: float, around: Circumstances) -> Iterable[TranscriptLine]:
    for entry in entries:
        if isinstance(entry, Said) and entry.text:
            yield TranscriptLine(
                at_seconds=_since(entry.at, began_at), who=entry.who, text=entry.text, interrupted=entry.interrupted
            )
        elif isinstance(entry, ToolUsed) and around.keeps_tool_calls:
            yield TranscriptLine(
                at_seconds=_since(entry.at, began_at),
                who="Tool",
                text=entry.result or "",
                tool=entry.tool,
                arguments=entry.arguments,
                failed=entry.failed,
            )


def _since(at: float, began_at: float) -> float:
    return _rounded(max(0.0, at - began_at))


def _rounded(seconds: float) -> float:
    return round(seconds, 3)


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
