"""How many workers there are: bounds, the chance that a call finds no free slot, and what is known ahead."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from voicefleet.api.base import ApiModel, Rule, at_least_one_of, exactly_one_of, ordered, requires
from voicefleet.api.markers import Between, ListMap
from voicefleet.api.schedule import Hours
from voicefleet.api.types import Count, Cron, Items, Label, Price, Seconds, TimeZone, WorkerCount


class ScheduledFloor(ApiModel):
    """A floor that holds at known times, such as before a campaign or over lunch."""

    RULES: ClassVar = (
        exactly_one_of("hours", "cron"),
        at_least_one_of("min_workers", "free_slots"),
        requires("cron", "duration_minutes", message="cron needs durationMinutes: say how long the floor holds"),
    )

    name: Label
    """Name of the floor, which the status uses."""
    hours: Hours | None = None
    """Weekly hours during which it holds."""
    cron: Cron | None = None
    """Moments at which it begins, as five cron fields."""
    duration_minutes: Annotated[int, Field(ge=1, le=10_080)] | None = None
    """How long it holds after each moment of the cron."""
    time_zone: TimeZone = "Etc/UTC"
    """Time zone of the hours or the cron."""
    min_workers: WorkerCount | None = None
    """Workers that stand ready at the least."""
    free_slots: Count | None = None
    """Free slots that stand ready at the least."""


class Budget(ApiModel):
    """What the fleet may cost; live calls are never cut for it, free slots are."""

    RULES: ClassVar = (
        at_least_one_of("max_cost_per_hour", "worker_cost_per_hour", "max_worker_hours_per_day"),
        requires(
            "max_cost_per_hour",
            "worker_cost_per_hour",
            message="maxCostPerHour needs workerCostPerHour: say what one worker costs",
        ),
    )

    max_cost_per_hour: Price | None = None
    """Upper limit of cost per hour, in the pool's currency."""
    worker_cost_per_hour: Price | None = None
    """What one worker costs per hour, in the same currency; alone it limits nothing, and status says what they cost."""
    max_worker_hours_per_day: Annotated[int, Field(ge=1, le=240_000)] | None = None
    """Upper limit of worker hours in one day."""


class Scaling(ApiModel):
    """How many workers there are and how much room they keep."""

    RULES: ClassVar = (
        ordered("min", "max", message="min must not be above max"),
        Rule(
            cel="self.min > 0 || self.scaleToZero || self.mode == 'External'",
            check=lambda scaling: scaling.min > 0 or scaling.scale_to_zero or scaling.mode == "External",
            message="min 0 needs scaleToZero: true; the first call then waits for a worker to start",
        ),
    )

    mode: Literal["Auto", "External"] = "Auto"
    """Auto sizes by load; External follows spec.replicas, which an HPA or KEDA sets."""
    min: WorkerCount = 1
    """Workers that are always there, in mode Auto."""
    max: WorkerCount = 10
    """Workers that are never exceeded, in mode Auto."""
    target_blocked_fraction: Annotated[float, Between(0.000001, 0.2)] = 0.001
    """Share of calls that may find no free slot; 0.001 is one in a thousand."""
    warm_floor_slots: Count = 2
    """Free slots beside the calls of the moment that are kept at any time, if the forecast asks for fewer."""
    scale_to_zero: bool = False
    """Whether all workers may leave when no call is expected soon; a small pod, the lookout, sees one come."""
    hold_seconds: Annotated[int, Field(ge=0, le=120)] = 15
    """How long a call that found no free slot is dispatched again, while the caller hears ringing; 0 never does."""
    startup_seconds: Annotated[int, Field(ge=1, le=3600)] = 45
    """Expected time from creating a worker to its first call, until enough starts were measured."""
    expected_call_seconds: Annotated[int, Field(ge=1, le=86_400)] = 180
    """Expected length of a call, until enough calls were measured."""
    scale_down_delay_seconds: Seconds = 0
    """Least time between a falling demand and the first worker that is cordoned."""
    schedules: Annotated[Items[ScheduledFloor], Field(max_length=32), ListMap("name")] = ()
    """Floors that hold at known times."""
    budget: Budget | None = None
    """What the fleet may cost."""
