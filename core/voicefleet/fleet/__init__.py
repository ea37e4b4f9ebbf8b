"""The fleet of workers behind one VoiceAgent: what is seen of it, how large it should be, and what to do next."""

from voicefleet.fleet.observed import Activity, Fleet, Heard, Pod, PodRef, Trouble, Worker
from voicefleet.fleet.plan import FleetPlan, Mark, Wanted, plan_fleet
from voicefleet.fleet.size import Size, plan_size

__all__ = [
    "Activity",
    "Fleet",
    "FleetPlan",
    "Heard",
    "Mark",
    "Pod",
    "PodRef",
    "Size",
    "Trouble",
    "Wanted",
    "Worker",
    "plan_fleet",
    "plan_size",
]
