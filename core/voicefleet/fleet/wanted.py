"""The fleet that should be, as the spec, the load and the rollout ask for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from voicefleet.autoscaling.load import Lessons, Size
from voicefleet.autoscaling.packing import REST

# A pod that ended stays this long before its place is filled again, so that a crash at once is not a crash loop.
FAILED_REST = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Drain:
    """How long a worker of an older revision may hold its calls; no limit waits for ever."""

    limit: timedelta | None = None
    ends_calls: bool = False
    """Whether its calls are ended at the limit; otherwise it only says so."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The fleet that should be."""

    target: str
    """Revision that new calls go to, or a share of them."""
    size: Size
    stable: str | None = None
    """Revision that takes the other calls while a canary is tried; None if there is none."""
    refuge: str | None = None
    """Revision that calls go back to while the target has not taken over; None if there is none."""
    share_percent: int = 100
    slots: int = 12
    """Calls that one worker holds."""
    max_surge_percent: int = 25
    drain: Drain = field(default_factory=Drain)
    rest: timedelta = FAILED_REST
    taken_names: frozenset[str] = frozenset()
    """Names of pods that somebody else holds."""
    resources: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """Cores and memory that workers of a revision should have, where that is known."""
    resize_in_place: bool = True
    secrets_changed: str = ""
    """What was said when Secrets last changed."""
    lessons: Lessons | None = None
    resting_load: float = REST
    """What workers report that should get a call only if nobody else has a slot."""

    @property
    def active(self) -> tuple[str, ...]:
        """Revisions that take new calls, the target first."""
        if self.stable is None or self.stable == self.target or self.share_percent >= 100:
            return (self.target,)
        return (self.target, self.stable)
