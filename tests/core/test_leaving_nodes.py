"""Which nodes are about to go."""

import pytest

from voicefleet.leaving_nodes import Taint, why_leaving

GOING = [
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ("ToBeDeletedByClusterAutoscaler", "NoSchedule"),
    ("karpenter.sh/disrupted", "NoSchedule"),
    ("aws-node-termination-handler/spot-itn", "NoSchedule"),
    ("cloud.google.com/impending-node-termination", "NoSchedule"),
    ("node.kubernetes.io/out-of-service", "NoExecute"),
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
    assert why_leaving(cordoned=False, taints=[Taint("dedicated", "NoSchedule"), Taint(key, effect)]) == key


@pytest.mark.parametrize(("key", "effect"), STAYING)
def test_a_node_that_is_merely_unwell_or_reserved_stays(key: str, effect: str) -> None:
    assert why_leaving(cordoned=False, taints=[Taint(key, effect)]) is None


def test_a_cordoned_node_is_leaving() -> None:
    assert why_leaving(cordoned=True, taints=[]) == "cordoned"


def test_a_deleted_node_is_leaving() -> None:
    assert why_leaving(cordoned=False, taints=[], deleted=True) == "deleted"
