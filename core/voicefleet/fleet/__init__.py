"""The fleet of workers behind one VoiceAgent: what is seen of it, how large it should be, and what to do next."""

from voicefleet.fleet.guards import Mark
from voicefleet.fleet.observed import Activity, Fleet, Heard, Pod, PodRef, Trouble, Worker
from voicefleet.fleet.plan import FleetPlan, NewWorker, plan_fleet
from voicefleet.fleet.wanted import Drain, Wanted

__all__ = [
    "Activity",
    "Drain",
    "Fleet",
    "FleetPlan",
    "Heard",
    "Mark",
    "NewWorker",
    "Pod",
    "PodRef",
    "Trouble",
    "Wanted",
    "Worker",
    "plan_fleet",
]
