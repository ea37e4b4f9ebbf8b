"""Conditions as kstatus reads them: Ready, Reconciling, Stalled, each with the generation that it is about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from voicefleet.api.conditions import Condition
from voicefleet.api.types import timestamp
from voicefleet.names import Reason

Verdict = Literal["True", "False", "Unknown"]
_LONGEST_MESSAGE = 4096


@dataclass(frozen=True, slots=True)
class Statement:
    """What holds, why as one word, and in words what a person should do."""

    status: Verdict
    reason: Reason
    message: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a resource stands: the three statements that every kind makes."""

    ready: Statement
    reconciling: Statement = Statement("False", Reason.AS_WANTED)
    stalled: Statement = Statement("False", Reason.AS_WANTED)


def with_gaps(ready: Statement, gaps: Sequence[str]) -> Statement:
    """Never let a field that does nothing pass in silence."""
    if not gaps:
        return ready
    return replace(ready, message=f"{ready.message}; this version does not act on {', '.join(gaps)}")


def stalled(reason: Reason, message: str, *, ready: Verdict = "False") -> Standing:
    """Return the standing of a resource that only a person can help."""
    problem = Statement("True", reason, message)
    return Standing(ready=Statement(ready, reason, message), stalled=problem)


def build_conditions(
    standing: Standing,
    before: Iterable[Condition],
    *,
    generation: int | None,
    now: datetime,
    more: Mapping[str, Statement] | None = None,
) -> tuple[Condition, ...]:
    """Return the conditions, those that one kind has besides last; while a status stays, so does its time."""
    known = {condition.type: condition for condition in before}
    said = {"Ready": standing.ready, "Reconciling": standing.reconciling, "Stalled": standing.stalled, **(more or {})}
    return tuple(
        Condition(
            type=kind,
            status=statement.status,
            reason=statement.reason.value,
            message=statement.message[:_LONGEST_MESSAGE],
            last_transition_time=_since(known.get(kind), statement, now),
            observed_generation=generation,
        )
        for kind, statement in said.items()
    )


def _since(before: Condition | None, statement: Statement, now: datetime) -> str:
    if before is not None and before.status == statement.status:
        return before.last_transition_time
    return timestamp(now)
