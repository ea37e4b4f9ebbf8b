"""From a spec and a fleet to the question of how many workers there should be."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

from voicefleet.api import ProviderPool
from voicefleet.api.voiceagent.spec import VoiceAgentSpec
from voicefleet.autoscaling.load import LOADS_IGNORED, Ceiling, Lessons, Outlook, Rules, Size, Standing, WorkerLoad
from voicefleet.autoscaling.schedule import active_floors
from voicefleet.autoscaling.sizing import plan_size
from voicefleet.fleet.observed import Fleet
from voicefleet.fleet.quota import quota_ceiling
from voicefleet.wording import plural

CLOCK_TICK = timedelta(seconds=30)
"""How often a fleet is looked at to which nothing happens: schedules begin, and at midnight there is a new budget."""

_STAYS_SHORT_OF = 0.1
"""Of a worker: what a day's budget may lack for one that is there already."""

# Kubernetes answers whoever asks for the scale of an object without replicas with an error.
_NO_REPLICAS = "spec.replicas is not set, which an HPA or KEDA can only change: the load decides until it is"


def rules_of(spec: VoiceAgentSpec) -> Rules:
    """Return what the spec says about size."""
    scaling = spec.scaling
    return Rules(
        slots_per_worker=spec.worker.sessions_per_worker,
        min_workers=scaling.min,
        max_workers=scaling.max,
        target_blocked=scaling.target_blocked_fraction,
        warm_slots=scaling.warm_floor_slots,
        scale_to_zero=scaling.scale_to_zero,
        hold_seconds=scaling.hold_seconds,
        scale_down_delay_seconds=scaling.scale_down_delay_seconds,
    )


def may_sleep(spec: VoiceAgentSpec) -> bool:
    """Tell whether there may be times without any worker."""
    scaling = spec.scaling
    return scaling.scale_to_zero and scaling.min == 0 and scaling.mode == "Auto" and not spec.suspend


def decides_by_load(spec: VoiceAgentSpec) -> bool:
    """Tell whether the number of workers follows the load, which time alone changes."""
    return not spec.suspend and (spec.scaling.mode == "Auto" or spec.replicas is None)


def loads_of(
    fleet: Fleet, *, slots: int, coming: str | None, now: datetime, took_calls_at: Mapping[str, datetime] | None = None
) -> list[WorkerLoad]:
    """Return what sizing looks at.

    While a revision is coming, workers of others count as what replaces them: 46 slots in 4 workers of 12 are 8 of 6.
    One that LiveKit has lost is waited for as long as for a start, from when it was last seen to take calls.
    """
    staying = fleet.here
    loads = [_waited_for(worker.load(now, slots=slots), took_calls_at or {}) for worker in staying]
    if coming is None:
        return loads
    return [
        replace(load, slots=min(slots, load.slots)) if worker.pod.revision != coming else load
        for load, worker in zip(loads, staying, strict=True)
    ]


def _waited_for(load: WorkerLoad, took_calls_at: Mapping[str, datetime]) -> WorkerLoad:
    took_at = took_calls_at.get(load.name) if load.standing is Standing.STARTING else None
    return load if took_at is None else replace(load, since=max(load.since, took_at.timestamp()))


def plan_fleet_size(
    spec: VoiceAgentSpec, loads: list[WorkerLoad], lessons: Lessons, outlook: Outlook, *, now: datetime
) -> Size:
    """Return how many workers there should be, and why; floors are added to what is known already."""
    if spec.suspend:
        return Size(0, "Suspended", ("suspend is set: no new calls, running ones go on",))
    if spec.scaling.mode == "External" and spec.replicas is not None:
        ignored = (LOADS_IGNORED,) if lessons.loads_ignored else ()
        reasons = (*ignored, f"spec.replicas asks for {spec.replicas}")
        return Size(spec.replicas, "External", reasons, keep=spec.replicas)
    # Whoever begins before the next look is late by then.
    floors = active_floors(spec.scaling.schedules, now, timedelta(seconds=lessons.startup.q95) + CLOCK_TICK)
    size = plan_size(rules_of(spec), loads, lessons, replace(outlook, floors=floors), now.timestamp())
    return replace(size, reasons=(*size.reasons, _NO_REPLICAS)) if spec.scaling.mode == "External" else size


@dataclass(frozen=True, slots=True)
class Spent:
    """What counts against a fleet's ceilings at some moment."""

    workers: int = 0
    worker_hours: float = 0.0
    """Of this day."""
    held_by_others: int = 0
    """Calls that other agents hold under the quota of who hears this one's."""


def ceilings_of(spec: VoiceAgentSpec, pool: ProviderPool | None, spent: Spent, *, now: datetime) -> tuple[Ceiling, ...]:
    """Return what forbids more workers: the budget, and what providers let the fleet have."""
    day = _budget_of_day(spec, spent, now)
    quota = quota_ceiling(spec, pool, held_by_others=spent.held_by_others, workers=spent.workers) if pool else None
    return (*_budget_of_hour(spec), *day, *((quota,) if quota else ()))


def _budget_of_hour(spec: VoiceAgentSpec) -> tuple[Ceiling, ...]:
    budget = spec.scaling.budget
    if budget is None or budget.max_cost_per_hour is None or not budget.worker_cost_per_hour:
        return ()
    # As people write them: in binary 0.6 / 0.2 falls short of 3.
    workers = int(Decimal(str(budget.max_cost_per_hour)) / Decimal(str(budget.worker_cost_per_hour)))
    reason = f"{budget.max_cost_per_hour} an hour pays for {plural(workers, 'worker')} at {budget.worker_cost_per_hour}"
    return (Ceiling("Budget", workers, reason),)


def _budget_of_day(spec: VoiceAgentSpec, spent: Spent, now: datetime) -> tuple[Ceiling, ...]:
    budget = spec.scaling.budget
    if budget is None or budget.max_worker_hours_per_day is None:
        return ()
    left = max(0.0, budget.max_worker_hours_per_day - spent.worker_hours)
    most = _carried_today(left, budget.max_worker_hours_per_day, spent.workers, now)
    words = f"{left:.0f} of {budget.max_worker_hours_per_day} worker hours are left for today (UTC)"
    return (Ceiling("Budget", most, f"{words}, enough for {plural(most, 'worker')}"),)


def _carried_today(left: float, of_day: int, workers: int, now: datetime) -> int:
    """Return how many workers the hours that are left of a day carry to midnight.

    With 12 hours to go, 24 worker hours are two workers. A minute later these have used what leaves 1.999: those that
    are there stay for so little, or one would be closed and opened all day.
    """
    midnight = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
    hours = (midnight - now) / timedelta(hours=1)
    # Towards midnight a small rest would pay for a crowd that is billed tomorrow.
    fresh = min(left / hours, max(left, of_day / 24)) if hours < 1 else left / hours
    return max(int(fresh), min(workers, int(left / hours + _STAYS_SHORT_OF)))
