"""Revisions by name and number: which are remembered, what part each plays, and which one a person means."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from voicefleet.api.types import timestamp
from voicefleet.api.voiceagent.status import RevisionStatus
from voicefleet.rollout.seen import LiveRevision

# The status holds no more; a fleet with more living revisions names the newest.
_MOST_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Parts:
    """Which revision plays which part."""

    stable: str
    canary: str | None
    wanted: str


def number_revisions(
    known: Iterable[RevisionStatus], live: Iterable[LiveRevision], wanted: str, *, highest: int, now: datetime
) -> tuple[RevisionStatus, ...]:
    """Return the known revisions and behind them the new ones, numbered on; a number is never given twice."""
    remembered = {revision.name: revision for revision in known}
    created = {revision.name: revision.oldest or now for revision in live if revision.name not in remembered}
    created.setdefault(wanted, datetime.max.replace(tzinfo=UTC))
    highest = max((highest, *(revision.number for revision in remembered.values())))
    new = sorted(name for name in created if name not in remembered)
    for name in sorted(new, key=lambda each: created[each]):
        highest += 1
        since = min(created[name], now)
        remembered[name] = RevisionStatus(name=name, number=highest, created_at=timestamp(since.astimezone(UTC)))
    return tuple(remembered.values())


def find_revision(numbered: Iterable[RevisionStatus], text: str) -> RevisionStatus | None:
    """Return the revision of a name, or else of a number."""
    revisions = tuple(numbered)
    by_name = next((revision for revision in revisions if revision.name == text), None)
    return by_name or next((revision for revision in revisions if str(revision.number) == text), None)


def remember(
    numbered: Iterable[RevisionStatus], live: Iterable[LiveRevision], parts: Parts, *, limit: int
) -> tuple[RevisionStatus, ...]:
    """Return what the status says of revisions: all that live or play a part, and the newest of the rest."""
    alive = {revision.name: revision for revision in live}
    needed: list[RevisionStatus] = []
    rest: list[RevisionStatus] = []
    for revision in sorted(numbered, key=lambda each: each.number, reverse=True):
        has_part = revision.name in (parts.stable, parts.canary, parts.wanted)
        (needed if has_part or revision.name in alive else rest).append(revision)
    needed.sort(key=lambda each: each.name not in (parts.stable, parts.canary, parts.wanted))
    kept = [*needed, *rest[:limit]][:_MOST_REMEMBERED]
    return tuple(_described(each, alive.get(each.name), parts) for each in sorted(kept, key=lambda each: each.number))


def _described(revision: RevisionStatus, live: LiveRevision | None, parts: Parts) -> RevisionStatus:
    role = "Stable" if revision.name == parts.stable else "Canary" if revision.name == parts.canary else "Old"
    counts = {"workers": live.workers if live else 0, "calls": live.calls if live else 0}
    took_calls = revision.took_calls or (live is not None and live.taking > 0)
    return revision.model_copy(update={"role": role, "took_calls": took_calls, **counts})
