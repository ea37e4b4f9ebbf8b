"""What a rollout's decision looks at, and what it comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from voicefleet.api.voiceagent.rollout import Rollout
from voicefleet.api.voiceagent.status import RevisionStatus, RolloutStatus
from voicefleet.rollout.drains import Drains, WorkerCalls
from voicefleet.rollout.figures import Figures


@dataclass(frozen=True, slots=True)
class LiveRevision:
    """The workers of one revision that exist now."""

    name: str
    workers: int = 0
    """Workers whose pod has not ended and is not leaving, and those that still hold calls."""
    taking: int = 0
    """Of those, workers that take calls, with a free slot or full."""
    closed: int = 0
    """Of those, workers that take no new calls: cordoned, or on their way out."""
    calls: int = 0
    """By the last word of each, however old: for people, and no decision goes by it."""
    oldest: datetime | None = None
    """When the oldest of them was created."""


@dataclass(frozen=True, slots=True)
class RolloutSeen:
    """Everything that a rollout's decision depends on."""

    rules: Rollout
    wanted: str
    """Revision that the spec renders to now."""
    workers_wanted: int = 1
    live: tuple[LiveRevision, ...] = ()
    before: RolloutStatus | None = None
    known: tuple[RevisionStatus, ...] = ()
    """Revisions that the status remembers."""
    figures: Mapping[str, Figures] = field(default_factory=dict)
    """What was counted by revision since the last look was closed."""
    promoted: str = ""
    """Value of the annotation by which a person lets a canary go on."""
    blind: bool = False
    """Whether it is unknown which workers there are, or what some of them hold."""
    calls: tuple[WorkerCalls, ...] = ()
    """All workers, for the count of drained calls."""
    drains: Drains | None = None
    """Bookkeeping of the last decision; None after a restart."""


@dataclass(frozen=True, slots=True)
class RolloutDecision:
    """Where new calls go, and what the status says about it."""

    target: str
    stable: str | None
    """Revision that takes the rest; None if the target takes all."""
    share_percent: int
    """Share of new calls for the target."""
    status: RolloutStatus
    revisions: tuple[RevisionStatus, ...]
    drains: Drains
    figures_used: bool = False
    """Whether the figures were counted, or are of no use: once the status is written, the look is to be closed."""
    next_look: timedelta | None = None
