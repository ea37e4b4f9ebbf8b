"""Nodes that go take their agents' turn before others'."""

import asyncio
from collections.abc import AsyncIterator

from tests.operator.fakes import build_ports, queue_that_knows
from voicefleet_operator.apiserver.kube import PODS, Body
from voicefleet_operator.sight.nodes import Nodes, NodeWatch
from voicefleet_operator.sight.rounds import Rounds
from voicefleet_operator.turns.workqueue import Key


def node(name: str, *, version: int = 1, **spec: object) -> Body:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, "spec": spec}


def test_a_list_that_was_under_way_does_not_undo_what_a_watch_told_meanwhile() -> None:
    nodes, pod = Nodes(), {"spec": {"nodeName": "old"}}
    nodes.observe(node("old", version=9, unschedulable=True))

    assert not nodes.observe(node("old", version=8))
    assert nodes.must_go(pod)
    assert nodes.observe(node("old", version=10))
    assert not nodes.must_go(pod)


class StrangeNodes:
    """An apiserver whose first list of nodes holds something that nobody expected."""

    def __init__(self) -> None:
        self.lists = 0

    async def pages(self, _path: str) -> AsyncIterator[Body]:
        self.lists += 1
        yield {"items": [{"metadata": {}} if self.lists == 1 else node("old", unschedulable=True)]}


async def test_a_node_that_nobody_expected_does_not_end_the_looking_at_all_others() -> None:
    ports, _, _ = build_ports()
    kube, nodes = StrangeNodes(), Nodes()
    watch = NodeWatch(nodes, ports.cache, queue_that_knows(), kube)  # type: ignore[arg-type] # it only lists

    looking = asyncio.create_task(watch.run(Rounds(every_seconds=0.01)))
    async with asyncio.timeout(5):
        while not nodes.must_go({"spec": {"nodeName": "old"}}):  # noqa: ASYNC110 - it looks by itself
            await asyncio.sleep(0.01)
    looking.cancel()


def test_an_agent_on_a_node_that_goes_has_its_turn_before_those_of_whom_the_cluster_tells() -> None:
    ports, cluster, _ = build_ports()
    labels = {"voicefleet.dev/agent": "desk"}
    cluster.put(PODS, {"metadata": {"name": "desk-r-0", "labels": labels}, "spec": {"nodeName": "old"}, "status": {}})
    desk, other = (Key("VoiceAgent", "voice", name) for name in ("desk", "other"))
    queue = queue_that_knows(desk, other)
    queue.add(other)
    watch = NodeWatch(Nodes(), ports.cache, queue, kube=None)  # type: ignore[arg-type] # nothing is listed

    watch.observe(node("old", unschedulable=True))

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
