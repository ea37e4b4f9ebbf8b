"""How many workers a fleet needs, so that a call rarely finds no free slot, and the reasons in words.

The present calls are known. What may change until a new worker would be ready decides the headroom.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from voicefleet.autoscaling.bounds import Need, bound, lowest_ceiling, shorten
from voicefleet.autoscaling.census import Census, take_census
from voicefleet.autoscaling.demand import Crowd, Demand, count_ages, due_calls
from voicefleet.autoscaling.expectation import Expectation, expect
from voicefleet.autoscaling.load import (
    LOADS_IGNORED,
    UNWATCHED,
    KnownCalls,
    Lessons,
    Outlook,
    Rules,
    Size,
    Standing,
    WorkerLoad,
)
from voicefleet.wording import plural

SOON_SECONDS = 10.0
"""Room that must be there even if calls are about to end."""
PATIENCE = 0.4
"""Times a start-up that a worker stays beyond its need: a start costs its own time, so one that is soon needed again
is cheaper kept. Measured: 1.0 saves two starts in ten and costs 0.4 % of worker hours, 0 loses more calls."""
_HELD_CHANCE = 0.1
"""How likely a call may be that finds no worker at all, when it can be held until one has started."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """All that the decision looks at."""

    rules: Rules
    census: Census
    lessons: Lessons
    outlook: Outlook
    now: float

    @property
    def lead(self) -> float:
        """Seconds until a worker that is created now takes calls, as nineteen of twenty do."""
        return float(math.ceil(self.lessons.startup.q95))

    @property
    def burst(self) -> bool:
        return self.now < self.lessons.burst_until


def plan_size(rules: Rules, workers: Sequence[WorkerLoad], lessons: Lessons, outlook: Outlook, now: float) -> Size:
    """Return how many workers there should be, how many may stay, and why."""
    census = take_census(workers, lessons.startup, now)
    scene = _Scene(rules, census, lessons, outlook, now)
    may_rest = _may_rest(scene)
    # Where nobody may have a worker it is no rest: no call would end it.
    if may_rest and outlook.watched and lowest_ceiling(rules, outlook).workers > 0:
        return _rest(scene)
    need, load = _by_demand(scene, workers)
    if may_rest:
        need = need.raised(slots=1, reason=f"{UNWATCHED}{outlook.unwatched}")
    size = bound(_with_floors(need, scene), rules, census, outlook, load)
    starting = sum(worker.standing is Standing.STARTING for worker in workers)
    size = _with_patience(_with_reserve(size, need, size.settles_at(census.total, starting=starting)), scene)
    return replace(size, reasons=shorten(size.reasons))


def _by_demand(scene: _Scene, workers: Sequence[WorkerLoad]) -> tuple[Need, float]:
    lessons, known, now = scene.lessons, scene.outlook.known_calls, scene.now
    ages = count_ages((began for worker in workers for began in worker.calls), now, lessons.survival.step_seconds)
    expected = expect(lessons, known, ages, now)
    crowd = Crowd(tuple(ages), tuple(ages.values()), scene.outlook.waiting, expected.rate, lessons, known, now)
    moments = (scene.lead, SOON_SECONDS, *_ends_within(known, now, scene.lead))
    demands = [(crowd.ahead(moment), moment) for moment in moments]
    slots, worst = max(((demand.at_most(lessons.headroom), (demand, at)) for demand, at in demands), key=itemgetter(0))
    patience = float(math.ceil(PATIENCE * lessons.startup.mean))
    keep = max(slots, crowd.ahead(scene.lead + patience).at_most(lessons.headroom))
    reasons = _explain(scene, expected, worst, slots)
    limit = "Burst" if expected.burst else "Demand"
    return Need(slots, keep, 0, limit, reasons), expected.rate.per_second * lessons.survival.mean_seconds


def _ends_within(known: Sequence[KnownCalls], now: float, lead: float) -> set[float]:
    """Return the moments before a lead at which known calls stop coming, when there are the most of them."""
    ends = (calls.begins_at + calls.seconds - now for calls in known)
    return {math.ceil(end / SOON_SECONDS) * SOON_SECONDS for end in ends if 0 < end < lead}


def _explain(scene: _Scene, expected: Expectation, worst: tuple[Demand, float], slots: int) -> tuple[str, ...]:
    lessons, outlook, now = scene.lessons, scene.outlook, scene.now
    reasons = [
        f"{plural(scene.census.calls, 'call')} now, {expected.rate.per_second:.2g} a second arrive",
        f"in {worst[1]:.0f} s {worst[0].mean:.0f} are expected, {slots} at most (z {lessons.headroom:.2f})",
    ]
    due = sum(due_calls(known, now, scene.lead) for known in outlook.known_calls)
    if due >= 1:
        reasons.append(f"{due:.0f} of them are announced calls that begin until then")
    if outlook.waiting:
        reasons.append(f"waiting for a slot: {plural(outlook.waiting, 'call')}")
    if lessons.loads_ignored:
        reasons.append(LOADS_IGNORED)
    if scene.burst:
        reasons.append(f"a burst or a loss a moment ago: no worker is cordoned for {lessons.burst_until - now:.0f} s")
    return tuple(reasons)


def _with_floors(need: Need, scene: _Scene) -> Need:
    calls = scene.census.calls + scene.outlook.waiting
    if calls + scene.rules.warm_slots > need.slots:
        reason = f"always kept: {plural(scene.rules.warm_slots, 'free slot')}"
        need = need.raised(slots=calls + scene.rules.warm_slots, limit="WarmFloor", reason=reason)
    for floor in scene.outlook.floors:
        if floor.free_slots and calls + floor.free_slots > need.slots:
            reason = f"schedule {floor.name} keeps {plural(floor.free_slots, 'slot')} free"
            need = need.raised(slots=calls + floor.free_slots, limit="Schedule", reason=reason)
        if floor.workers > need.workers:
            reason = f"schedule {floor.name} keeps {plural(floor.workers, 'worker')}"
            need = need.raised(workers=floor.workers, reason=reason)
    return need


def _may_rest(scene: _Scene) -> bool:
    rules, outlook = scene.rules, scene.outlook
    if not rules.scale_to_zero or rules.min_workers > 0 or outlook.waiting or outlook.floors:
        return False
    if scene.census.busy or scene.burst:
        return False
    soon = scene.now + scene.lead
    if any(known.begins_at <= soon and known.begins_at + known.seconds > scene.now for known in outlook.known_calls):
        return False
    return scene.lessons.arrivals.chance_of_call(scene.lead) <= chance_to_rest(rules, scene.lead)


def chance_to_rest(rules: Rules, lead: float) -> float:
    """Return how likely a call within one lead may be for a fleet to go without workers."""
    held = rules.hold_seconds >= lead
    return max(_HELD_CHANCE, rules.target_blocked) if held else rules.target_blocked


def _rest(scene: _Scene) -> Size:
    silence = scene.lessons.arrivals.silent_seconds
    chance = scene.lessons.arrivals.chance_of_call(scene.lead)
    reason = f"no call for {silence:.0f} s; one within {scene.lead:.0f} s has a chance of {chance:.2g}: scaled to zero"
    return _with_patience(Size(0, "Demand", (reason,), surplus=scene.census.open > 0), scene)


def _with_reserve(size: Size, need: Need, staying: int) -> Size:
    """Say why workers stay beyond those that are wanted now; what keeps them is the load, and no floor."""
    if size.desired in (size.keep, staying):
        return size
    reason = f"fewer would do now; {staying} stay, since more may soon be needed"
    return replace(size, limit=need.limit, reasons=(*size.reasons, reason))


def _with_patience(size: Size, scene: _Scene) -> Size:
    """Keep what there is while a burst is under way or the demand has not been low for long enough.

    And for a moment for those who were dispatched again: else they would find the worker closed that they were sent to.
    A ceiling knows no patience: who lowers it wants fewer now.
    """
    if not size.surplus:
        return size
    delay, fell_at = scene.rules.scale_down_delay_seconds, scene.lessons.fell_at
    low_for = 0.0 if fell_at is None else scene.now - fell_at
    dispatched = scene.outlook.dispatched
    if not scene.burst and not dispatched and low_for >= delay:
        return size
    reasons = size.reasons
    if dispatched:
        reasons = (*reasons, "callers were dispatched again a moment ago: no worker is cordoned")
    elif not scene.burst:
        reasons = (*reasons, f"fewer would do for {low_for:.0f} s; scaleDownDelaySeconds asks for {delay:.0f}")
    return Size(
        desired=size.desired,
        limit=size.limit,
        reasons=reasons,
        keep=max(size.keep, min(scene.census.total, lowest_ceiling(scene.rules, scene.outlook).workers)),
        slots=size.slots,
        surplus=True,
    )
