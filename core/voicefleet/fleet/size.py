"""How many workers a fleet should have.

The number follows the calls that are held now and the warm floor; it knows no forecast.
"""

import math
from dataclasses import dataclass
from datetime import datetime

from voicefleet.api.voiceagent.spec import VoiceAgentSpec
from voicefleet.fleet.observed import Fleet


@dataclass(frozen=True, slots=True)
class Size:
    """A number of workers, and the name of what binds it."""

    desired: int
    limit: str
    reasons: tuple[str, ...] = ()


def plan_size(spec: VoiceAgentSpec, fleet: Fleet, *, now: datetime) -> Size:
    """Return how many workers there should be, and why."""
    if spec.suspend:
        return Size(0, "Suspended", ("suspend is set: no new calls, running ones go on",))
    if spec.scaling.mode == "External" and spec.replicas is not None:
        return Size(spec.replicas, "External", (f"spec.replicas asks for {spec.replicas}",))
    return _size_by_calls(spec, fleet.calls(now))


def _size_by_calls(spec: VoiceAgentSpec, calls: int) -> Size:
    scaling, per_worker = spec.scaling, spec.worker.sessions_per_worker
    slots = calls + scaling.warm_floor_slots
    # 7 calls and 2 warm slots at 12 a worker: ceil(9 / 12) = 1.
    demand = math.ceil(slots / per_worker)
    reason = f"{calls} calls and {scaling.warm_floor_slots} warm slots at {per_worker} a worker need {demand}"
    if demand > scaling.max:
        return Size(scaling.max, "Max", (reason, f"scaling.max allows {scaling.max}"))
    if demand < scaling.min:
        return Size(scaling.min, "Min", (reason, f"scaling.min asks for {scaling.min}"))
    return Size(demand, "Demand", (reason,))
