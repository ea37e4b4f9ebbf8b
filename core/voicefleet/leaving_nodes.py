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
    seconds: int | None = None
    """For how long it stays beside a taint that throws pods out; None is for ever."""

    def covers(self, taint: Taint) -> bool:
        """Tell whether a taint does not concern the pod, by the rules of the scheduler."""
        if self.effect not in ("", taint.effect) or self.key not in ("", taint.key):
            return False
        if taint.effect == "NoExecute" and self.seconds is not None:
            # It will be thrown out, only later: time for its calls to come to an end.
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
# These throw pods out after a while, and are taken off when the node answers again.
_MAY_PASS = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})


def reasons_to_leave(*, cordoned: bool, taints: Iterable[Taint], deleted: bool = False) -> tuple[Taint, ...]:
    """Return what says that a node is about to go."""
    reasons = [taint for taint in taints if _sends_away(taint)]
    reasons += [CORDON] if cordoned and CORDON not in reasons else []
    return (*reasons, *([DELETION] if deleted else []))


def _sends_away(taint: Taint) -> bool:
    if taint.effect == "NoExecute":
        return taint.key not in _MAY_PASS
    return taint.effect == "NoSchedule" and taint.key in _LAST_WORDS


def must_go(reasons: Iterable[Taint], tolerations: Collection[Toleration]) -> bool:
    """Tell whether a pod has to leave such a node; who tolerates a cordon would only be placed there again."""
    return any(reason is DELETION or not any(each.covers(reason) for each in tolerations) for reason in reasons)
