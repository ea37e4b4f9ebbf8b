"""How a changed template reaches the fleet without touching a call."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from voicefleet.api.base import ApiModel, Rule
from voicefleet.api.markers import Between
from voicefleet.api.types import Fraction, Items, Percent, Positive, Seconds


class RolloutStep(ApiModel):
    """One share of new calls, held for a while."""

    share_percent: Percent
    """Share of new calls that the new revision takes."""
    pause_seconds: Seconds = 300
    """How long this share is held before the next; 0 waits for a person to go on."""


class Analysis(ApiModel):
    """When a canary counts as worse than the stable revision."""

    interval_seconds: Annotated[int, Field(ge=5, le=3600)] = 30
    """How often the two revisions are compared."""
    min_calls: Positive = 50
    """Calls that the canary must have taken before it is judged."""
    confidence: Annotated[float, Between(0.5, 0.9999)] = 0.95
    """How sure the comparison must be before it says worse."""
    max_failed_fraction: Fraction = 0.02
    """Share of failed calls above which the canary is worse whatever the stable revision does."""
    max_turn_latency_milliseconds: Annotated[int, Field(ge=100, le=60_000)] = 3000
    """95th percentile of turn latency above which the canary is worse."""
    max_early_hang_up_increase: Fraction = 0.05
    """Rise in the share of callers who hang up within ten seconds that counts as worse."""
    max_provider_error_fraction: Fraction = 0.05
    """Share of failed provider requests above which the canary is worse."""


class Canary(ApiModel):
    """A rollout in steps, each with a share of new calls."""

    RULES: ClassVar = (
        Rule(
            cel="self.steps.map(s, s.sharePercent).isSorted()",
            check=lambda canary: (
                [s.share_percent for s in canary.steps] == sorted(s.share_percent for s in canary.steps)
            ),
            message="steps must not take calls back: sort them by rising sharePercent",
        ),
    )

    steps: Annotated[Items[RolloutStep], Field(min_length=1, max_length=16)]
    """Shares in the order in which they are tried; after the last one all new calls go over."""
    analysis: Analysis | None = None
    """When the canary counts as worse; absent means that only the pauses hold it."""
    automatic_rollback: bool = True
    """Whether a canary that is worse is rolled back without asking."""


class Rollout(ApiModel):
    """How a changed template reaches the fleet."""

    max_surge_percent: Annotated[int, Field(ge=1, le=100)] = 25
    """Workers above the wanted number that may exist during a rollout, besides those that finish their calls."""
    max_drain_seconds: Annotated[int, Field(ge=0, le=604_800)] = 0
    """How long an old worker may hold its calls; 0 waits for ever."""
    on_drain_limit: Literal["Wait", "EndCalls"] = "Wait"
    """What happens at the limit: go on waiting and say so, or say goodbye and end the calls."""
    resize: Literal["InPlace", "Replace"] = "InPlace"
    """Whether a change of resources alone is made in the running pods where nodes allow it."""
    canary: Canary | None = None
    """A rollout in steps; absent moves all new calls as the new workers prove themselves."""
    paused: bool = False
    """Whether the rollout stands still where it is."""
    undo_to_revision: Annotated[str, Field(max_length=63)] | None = None
    """Revision to go back to; it is uncordoned where it still lives."""
    revision_history_limit: Annotated[int, Field(ge=0, le=50)] = 5
    """Revisions that are remembered for going back."""
    progress_deadline_seconds: Annotated[int, Field(ge=30, le=86_400)] = 900
    """Time after which a rollout without progress counts as stalled."""
