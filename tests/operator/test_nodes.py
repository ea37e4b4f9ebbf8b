"""Nodes that go take their agents' turn before others'."""

from tests.operator.fakes import build_ports, queue_that_knows
from voicefleet_operator.kube import PODS
from voicefleet_operator.nodes import Nodes, NodeWatch
from voicefleet_operator.workqueue import Key


def test_an_agent_on_a_node_that_goes_has_its_turn_before_those_of_whom_the_cluster_tells() -> None:
    ports, cluster, _ = build_ports()
    labels = {"voicefleet.dev/agent": "desk"}
    cluster.put(PODS, {"metadata": {"name": "desk-r-0", "labels": labels}, "spec": {"nodeName": "old"}, "status": {}})
    desk, other = (Key("VoiceAgent", "voice", name) for name in ("desk", "other"))
    queue = queue_that_knows(desk, other)
    queue.add(other)
    watch = NodeWatch(Nodes(), ports.cache, queue, kube=None)  # type: ignore[arg-type] # nothing is listed

    watch.observe({"metadata": {"name": "old"}, "spec": {"unschedulable": True}})

    assert (queue.take(), queue.take(), queue.take()) == (desk, other, None)


def test_a_pod_that_endures_a_taint_for_an_hour_only_has_to_go() -> None:
    nodes = Nodes()
    taint = {"key": "maintenance", "effect": "NoExecute", "value": "today"}
    nodes.observe({"metadata": {"name": "old", "resourceVersion": "1"}, "spec": {"taints": [taint]}})
    for_ever = {"key": "maintenance", "operator": "Exists"}

    def goes(toleration: dict[str, object]) -> bool:
        return nodes.must_go({"spec": {"nodeName": "old", "tolerations": [toleration]}})

    assert not goes(for_ever)
    assert goes({**for_ever, "tolerationSeconds": 3600})
