"""Which load each worker is told to report, so that LiveKit fills the fullest and a canary gets its share.

LiveKit draws a worker at random with weight 1 - load. Loads are far below zero for the workers that should be filled
first. They are zero for those that should get a call only if nobody else has a slot, and above zero on a server that
ignores what is below.
"""

from dataclasses import dataclass
from datetime import datetime

from voicefleet.autoscaling.packing import OWN_FORMULA, REST, plan_loads
from voicefleet.fleet.observed import PodRef, Worker
from voicefleet.fleet.parts import Parts
from voicefleet.fleet.wanted import Wanted

_SAME_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """The load that a worker is to report while it is open."""

    pod: PodRef
    load: float


def plan_load_orders(wanted: Wanted, parts: Parts, *, closing: list[Worker], now: datetime) -> tuple[LoadOrder, ...]:
    """Return the loads that differ from what workers were told before."""
    going = {worker.pod.ref for worker in closing}
    groups = {
        revision: [w for w in workers if w.takes_calls(now) and w.pod.ref not in going]
        for revision, workers in parts.serving.items()
    }
    last = [w for w in parts.retiring if w.takes_calls(now) and w.pod.ref not in going]
    workers = {w.pod.ref.uid: w for w in [*last, *(w for group in groups.values() for w in group)]}
    if len(workers) < 2 or wanted.lessons is None:
        # The worker's own formula does well enough for one that is alone.
        return ()
    loads = {w.pod.ref.uid: wanted.resting_load for w in last} | _shared(wanted, groups, now)
    return tuple(
        LoadOrder(workers[uid].pod.ref, load)
        for uid, load in sorted(loads.items())
        if _is_news(workers[uid], load, now)
    )


def _shared(wanted: Wanted, groups: dict[str, list[Worker]], now: datetime) -> dict[str, float]:
    packed = {revision: _packed(wanted, group, now) for revision, group in groups.items()}
    if len(packed) == 1:
        return packed[wanted.target]
    full = {w.pod.ref.uid for group in groups.values() for w in group if not w.free_slots(now)}
    target, stable = (packed[revision] for revision in wanted.active)
    weights = (_weight(target, full), _weight(stable, full))
    share = wanted.share_percent / 100
    if not all(weights) or not 0 < share < 1:
        return {**target, **stable}
    # Both grow to the larger sum, so that no weight falls below one.
    whole = max(weights[0] / share, weights[1] / (1 - share))
    return {
        **_scaled(target, whole * share / weights[0]),
        **_scaled(stable, whole * (1 - share) / weights[1]),
    }


def _packed(wanted: Wanted, group: list[Worker], now: datetime) -> dict[str, float]:
    loads = [worker.load(now, slots=wanted.slots) for worker in group]
    if wanted.lessons is None:
        return {}
    return plan_loads(loads, wanted.lessons, now.timestamp(), rest=wanted.resting_load)


def _weight(loads: dict[str, float], full: set[str]) -> float:
    """Return what a group weighs in the server's draw; while all of it is full, what its next free slot will weigh."""
    with_room = sum(1 - load for uid, load in loads.items() if uid not in full)
    return with_room or max((1 - load for load in loads.values()), default=0.0)


def _scaled(loads: dict[str, float], factor: float) -> dict[str, float]:
    # Scaled up, what rests above zero would fall below it, and weigh as much as a favourite where that is ignored.
    return {uid: load if load > REST else 1 - (1 - load) * factor for uid, load in loads.items()}


def _is_news(worker: Worker, load: float, now: datetime) -> bool:
    state = worker.state(now)
    if state is None:
        return False
    if state.asked_load is None:
        # By its own formula it weighs one or two, which among thousands is as good as one.
        return load < OWN_FORMULA or load > REST
    return abs((1 - load) / (1 - state.asked_load) - 1) > _SAME_WEIGHT
