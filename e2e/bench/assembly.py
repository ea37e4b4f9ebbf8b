"""The order in which a bench comes together: whatever can start beside something else does."""

import os
from collections.abc import Callable, Mapping
from typing import Protocol

from e2e.bench import control_plane, livekit, node, stores
from e2e.bench.api import Api
from e2e.bench.control_plane import Credentials
from e2e.bench.options import BenchError
from e2e.bench.plan import Plan
from e2e.bench.process import Command
from e2e.bench.registry import Facts, bench_name


class Hands(Protocol):
    """What assembling needs of the keeper."""

    def start(self, command: Command) -> None: ...
    def wait_until(self, checks: Mapping[str, Callable[[], bool]]) -> None: ...
    def tell(self, event: str, text: str) -> None: ...


def assemble_bench(plan: Plan, hands: Hands) -> Facts:
    """Start every part that was asked for and wait until all of them answer."""
    credentials = control_plane.make_credentials(plan)
    if plan.network is not None:
        node.prepare_host(plan, plan.network)
    hands.tell("progress", "etcd, kube-apiserver")
    hands.start(control_plane.etcd_command(plan))
    hands.start(control_plane.apiserver_command(plan, credentials))
    checks = _start_stores(plan, hands)
    api = Api(plan.api_url, credentials.ca, plan.tokens["admin"])
    hands.wait_until({"kube-apiserver": api.is_ready})
    hands.tell("progress", "kube-controller-manager, kube-scheduler, kwok")
    checks.update(_start_controllers(plan, credentials, api, hands))
    hands.wait_until(checks)
    return _state_facts(plan, credentials)


def _start_stores(plan: Plan, hands: Hands) -> dict[str, Callable[[], bool]]:
    checks: dict[str, Callable[[], bool]] = {}
    if plan.options.postgres:
        hands.start(stores.postgres_command(plan))
        checks["postgres"] = lambda: stores.postgres_answers(plan)
    if plan.options.redis:
        hands.start(stores.redis_command(plan))
        # livekit-server does not wait for it.
        hands.wait_until({"redis": lambda: stores.redis_answers(plan)})
    if plan.options.livekit:
        hands.start(livekit.livekit_command(plan))
        checks["livekit-server"] = lambda: livekit.livekit_answers(plan)
    return checks


def _start_controllers(plan: Plan, credentials: Credentials, api: Api, hands: Hands) -> dict[str, Callable[[], bool]]:
    hands.start(control_plane.controller_manager_command(plan, credentials))
    hands.start(control_plane.scheduler_command(credentials))
    # A pod can't be created before its namespace has a ServiceAccount, which a controller makes.
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    checks: dict[str, Callable[[], bool]] = {"kube-controller-manager": lambda: api.get(account).status == 200}
    nodes = [control_plane.kwok_node(index) for index in range(plan.options.kwok_nodes)]
    if nodes:
        hands.start(control_plane.kwok_command(plan, credentials))
        for description in nodes:
            answer = api.post("/api/v1/nodes", description)
            if answer.status != 201:
                raise BenchError(f"the API server refuses a simulated node: {answer.body}")
        checks["kwok"] = lambda: _ready_nodes(api, "type=kwok") == len(nodes)
    if plan.network is not None:
        hands.tell("progress", "containerd, kubelet")
        hands.start(node.node_command(plan, credentials, plan.network))
        checks["node"] = lambda: node.node_is_ready(api)
    return checks


def _ready_nodes(api: Api, selector: str) -> int:
    answer = api.get(f"/api/v1/nodes?labelSelector={selector}")
    if answer.status != 200:
        return 0
    return sum(
        condition["type"] == "Ready" and condition["status"] == "True"
        for item in answer.body["items"]
        for condition in item["status"].get("conditions", [])
    )


def _state_facts(plan: Plan, credentials: Credentials) -> Facts:
    return Facts(
        name=bench_name(plan.layout),
        keeper_pid=os.getpid(),
        options=plan.options,
        api_url=plan.api_url,
        ca_file=str(credentials.ca),
        admin_token=plan.tokens["admin"],
        redis_url=plan.redis_url if plan.options.redis else None,
        postgres_url=plan.postgres_url if plan.options.postgres else None,
        livekit=plan.livekit if plan.options.livekit else None,
        node_name=control_plane.REAL_NODE if plan.network else None,
        host_address=plan.host_address,
        containerd_socket=str(node.containerd_socket(plan)),
        pod_cidr=plan.network.pod_cidr if plan.network else "",
    )
