"""Which nodes are about to go, by what people, autoscalers and clouds write on them."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a node."""

    key: str
    effect: str


# Said of a node that will be gone soon. A node that is merely not ready is not among them: its calls may go on.
_LAST_WORDS = frozenset(
    {
        "ToBeDeletedByClusterAutoscaler",
        "aws-node-termination-handler/asg-lifecycle-termination",
        "aws-node-termination-handler/scheduled-maintenance",
        "aws-node-termination-handler/spot-itn",
        "cloud.google.com/impending-node-termination",
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
        "node.cloudprovider.kubernetes.io/shutdown",
        "node.kubernetes.io/out-of-service",
        "node.kubernetes.io/unschedulable",
        "remediation.medik8s.io/fence-agents-remediation",
    }
)


def why_leaving(*, cordoned: bool, taints: Iterable[Taint], deleted: bool = False) -> str | None:
    """Return what says that a node is about to go, or None."""
    if deleted:
        return "deleted"
    if cordoned:
        return "cordoned"
    keys = [taint.key for taint in taints if taint.effect in ("NoSchedule", "NoExecute")]
    return next((key for key in keys if key in _LAST_WORDS), None)
