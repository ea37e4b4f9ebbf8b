"""Which nodes are about to go."""

import pytest

from voicefleet.leaving_nodes import CORDON, DELETION, Taint, Toleration, must_go, reasons_to_leave

GOING = [
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ("ToBeDeletedByClusterAutoscaler", "NoSchedule"),
    ("karpenter.sh/disrupted", "NoSchedule"),
    ("aws-node-termination-handler/spot-itn", "NoSchedule"),
    ("cloud.google.com/impending-node-termination", "NoSchedule"),
    ("node.kubernetes.io/out-of-service", "NoExecute"),
    ("maintenance", "NoExecute"),
]
STAYING = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("dedicated", "NoSchedule"),
    ("ToBeDeletedByClusterAutoscaler", "PreferNoSchedule"),
]


@pytest.mark.parametrize(("key", "effect"), GOING)
def test_a_node_with_last_words_is_leaving(key: str, effect: str) -> None:
    taint = Taint(key, effect, "some value")

    assert reasons_to_leave(cordoned=False, taints=[Taint("dedicated", "NoSchedule"), taint]) == (taint,)


@pytest.mark.parametrize(("key", "effect"), STAYING)
def test_a_node_that_is_merely_unwell_or_reserved_stays(key: str, effect: str) -> None:
    assert reasons_to_leave(cordoned=False, taints=[Taint(key, effect)]) == ()


def test_a_cordoned_node_is_leaving() -> None:
    assert reasons_to_leave(cordoned=True, taints=[]) == (CORDON,)
    assert reasons_to_leave(cordoned=True, taints=[CORDON]) == (CORDON,)


def test_a_deleted_node_is_leaving() -> None:
    assert reasons_to_leave(cordoned=False, taints=[], deleted=True) == (DELETION,)


ANYTHING = Toleration(operator="Exists")
OUT = Taint("maintenance", "NoExecute")
SPOT = Taint("aws-node-termination-handler/spot-itn", "NoSchedule", "event-1")


@pytest.mark.parametrize(
    ("reasons", "tolerations", "goes"),
    [
        ((CORDON,), (), True),
        ((CORDON,), (Toleration("dedicated", "Exists"),), True),
        ((CORDON,), (ANYTHING,), False),
        ((CORDON,), (Toleration(CORDON.key, "Exists", effect="NoSchedule"),), False),
        ((CORDON,), (Toleration(CORDON.key, "Exists", effect="NoExecute"),), True),
        ((CORDON, SPOT), (Toleration(CORDON.key, "Exists"),), True),
        ((SPOT,), (Toleration(SPOT.key, value="event-1"),), False),
        ((SPOT,), (Toleration(SPOT.key, value="event-2"),), True),
        ((SPOT,), (Toleration(),), True),
        ((CORDON, DELETION), (ANYTHING,), True),
        ((OUT,), (Toleration("maintenance", "Exists"),), False),
        ((OUT,), (Toleration("maintenance", "Exists", seconds=3600),), True),
        ((CORDON,), (Toleration(CORDON.key, "Exists", seconds=3600),), False),
    ],
)
def test_a_pod_leaves_for_what_it_does_not_tolerate(
    reasons: tuple[Taint, ...], tolerations: tuple[Toleration, ...], goes: bool
) -> None:
    assert must_go(reasons, tolerations) is goes
