"""Rollouts: which revision new calls go to, how large a share of them, and whether a canary is worse."""

from voicefleet.rollout.comparison import Judgement, Verdict, compare, gather
from voicefleet.rollout.decide import plan_rollout
from voicefleet.rollout.drains import Drains, WorkerCalls
from voicefleet.rollout.figures import Figures
from voicefleet.rollout.ledger import Ledger
from voicefleet.rollout.seen import LiveRevision, RolloutDecision, RolloutSeen

__all__ = [
    "Drains",
    "Figures",
    "Judgement",
    "Ledger",
    "LiveRevision",
    "RolloutDecision",
    "RolloutSeen",
    "Verdict",
    "WorkerCalls",
    "compare",
    "gather",
    "plan_rollout",
]
