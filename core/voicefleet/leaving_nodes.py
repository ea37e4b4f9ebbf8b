"""Which nodes are about to go, by what people, autoscalers and clouds write on them, and whose pods mind."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a node."""

    key: str
    effect: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Toleration:
    """What a pod puts up with."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def covers(self, taint: Taint) -> bool:
        """Tell whether a taint does not concern the pod, by the rules of the scheduler."""
        if self.effect not in ("", taint.effect) or self.key not in ("", taint.key):
            return False
        return self.operator == "Exists" or (bool(self.key) and self.value == taint.value)


CORDON = Taint("node.kubernetes.io/unschedulable", "NoSchedule")
DELETION = Taint("deleted", "NoExecute")
# Said of a node that will be gone soon. A node that is merely not ready is not among them: its calls may go on.
_LAST_WORDS = frozenset(
    {
        CORDON.key,
        "ToBeDeletedByClusterAutoscaler",
        "aws-node-termination-handler/asg-lifecycle-termination",
        "aws-node-termination-handler/scheduled-maintenance",
        "aws-node-termination-handler/spot-itn",
        "cloud.google.com/impending-node-termination",
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
        "node.cloudprovider.kubernetes.io/shutdown",
        "node.kubernetes.io/out-of-service",
        "remediation.medik8s.io/fence-agents-remediation",
    }
)


def reasons_to_leave(*, cordoned: bool, taints: Iterable[Taint], deleted: bool = False) -> tuple[Taint, ...]:
    """Return what says that a node is about to go."""
    reasons = [taint for taint in taints if taint.effect in ("NoSchedule", "NoExecute") and taint.key in _LAST_WORDS]
    reasons += [CORDON] if cordoned and CORDON not in reasons else []
    return (*reasons, *([DELETION] if deleted else []))


def must_go(reasons: Iterable[Taint], tolerations: Collection[Toleration]) -> bool:
    """Tell whether a pod has to leave such a node; who tolerates a cordon would only be placed there again."""
    return any(reason is DELETION or not any(each.covers(reason) for each in tolerations) for reason in reasons)
