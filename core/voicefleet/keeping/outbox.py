"""Which of the files that wait to be kept is tried next, and when one that failed is tried again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_WHEN_LEAVING_SECONDS = 1.0
"""A worker that leaves takes its disk along, so it looks often whether a store is back."""
AT_ONCE = 2
"""Uploads at the same time: more would take the network from the calls."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How often a file has failed in a row, and when it did so last."""

    times: int
    at: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent now, and how long nothing has to be looked at; None means until something changes."""

    send: tuple[str, ...] = ()
    wait_seconds: float | None = None


def pause_seconds(times: int, longest_seconds: float = LONGEST_PAUSE_SECONDS) -> float:
    """Return how long a file rests after so many failures: 1, 2, 4 … seconds, and never longer than the longest."""
    doublings = min(max(times, 1) - 1, 30)
    return min(FIRST_PAUSE_SECONDS * float(1 << doublings), longest_seconds)


def plan_uploads(
    waiting: Iterable[str],
    failures: Mapping[str, Failure],
    now: float,
    *,
    under_way: frozenset[str] = frozenset(),
    longest_seconds: float = LONGEST_PAUSE_SECONDS,
) -> Plan:
    """Return whom to send now; those who never failed come first, so that one bad file holds nobody up."""
    due_at = {
        name: _due_at(failures.get(name), longest_seconds) for name in sorted(set(waiting)) if name not in under_way
    }
    due = sorted((at, name) for name, at in due_at.items() if at <= now)
    send = tuple(name for _, name in due[: max(0, AT_ONCE - len(under_way))])
    later = [at - now for at in due_at.values() if at > now]
    return Plan(send, min(later) if later else None)


def _due_at(failure: Failure | None, longest_seconds: float) -> float:
    return float("-inf") if failure is None else failure.at + pause_seconds(failure.times, longest_seconds)
