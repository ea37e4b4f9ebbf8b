"""The operator on a real control plane, with the rights of the chart and nothing else."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.operating import (
    ROOT,
    SERVICE_ACCOUNT,
    Fleet,
    OperatorProcess,
    control_secret,
    fleet_of,
    holds_for,
    install_rights,
    remove_agents,
)

SAMPLES = ROOT / "manifests" / "samples"
AGENT = "receptionist"
NAMESPACE = "operators"


@pytest.fixture(scope="module")
def operator(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator for all tests of this module, with the chart's ServiceAccount."""
    bench.kubectl("create", "namespace", NAMESPACE)
    install_rights(bench, NAMESPACE)
    process = OperatorProcess(bench, NAMESPACE, log=tmp_path_factory.mktemp("operator") / "operator.log")
    process.start()
    yield process
    process.stop()
    bench.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def fleet(bench: Bench, operator: OperatorProcess, namespace: str) -> Iterator[Fleet]:
    """The sample's fleet in a namespace that refuses all but restricted pods."""
    assert operator.leads()
    bench.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    bench.kubectl("apply", "-n", namespace, "-f", str(SAMPLES / "providerpool.yaml"))
    bench.kubectl("apply", "-n", namespace, "-f", str(SAMPLES / "voiceagent.yaml"))
    with fleet_of(bench, namespace, AGENT) as fleet:
        yield fleet
        # Workers of the next test may get the same addresses.
        remove_agents(bench, namespace)


def test_a_sample_becomes_a_worker_that_belongs_to_it(bench: Bench, fleet: Fleet) -> None:
    (name,) = fleet.wait_for(1)

    pod = fleet.pods()[name]
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("VoiceAgent", AGENT, True)
    assert re.fullmatch(rf"{AGENT}-[0-9a-f]{{10}}-0", name)
    kinds = "configmap,serviceaccount,poddisruptionbudget,networkpolicy,secret"
    labels = ("-l", f"voicefleet.dev/agent={AGENT}", "-o", "name", "-n", fleet.namespace)
    assert bench.kubectl("get", kinds, *labels).stdout.split() == [
        f"configmap/{name.removesuffix('-0')}",
        "serviceaccount/receptionist-worker",
        "networkpolicy.networking.k8s.io/receptionist-worker",
        f"secret/{control_secret(fleet.pods()[name])}",
    ]


def test_what_a_person_sees_answers_the_first_questions(bench: Bench, fleet: Fleet) -> None:
    fleet.wait_for(1)
    fleet.serve()

    bench.kubectl("wait", "va", AGENT, "-n", fleet.namespace, "--for=condition=Ready", "--timeout=20s")
    wait_for(lambda: fleet.says("Reconciling") == "False AsWanted", "a settled fleet")
    header, row = bench.kubectl("get", "va", AGENT, "-n", fleet.namespace).stdout.splitlines()
    assert re.split(r"  +", header) == ["NAME", "READY", "CALLS", "FREE", "WORKERS", "STATUS", "AGE"]
    assert re.split(r"  +", row)[:6] == [AGENT, "True", "0", "12", "1", "1 worker, 0 calls"]
    _, pool = bench.kubectl("get", "pp", "default", "-n", fleet.namespace).stdout.splitlines()
    assert re.split(r"  +", pool)[:4] == ["default", "Unknown", "?/3", "1"]


def test_calls_show_in_the_status_and_guard_the_pod(bench: Bench, fleet: Fleet) -> None:
    (name,) = fleet.wait_for(1)
    fleet.serve()
    wait_for(lambda: fleet.status().get("freeSlots") == 12, "a free worker")
    fleet.workers[name].calls = 3

    wait_for(lambda: fleet.told("calls") == 3, "three calls in the status")
    wait_for(lambda: fleet.pods()[name]["metadata"]["labels"]["voicefleet.dev/busy"] == "true", "a busy pod")
    assert (fleet.told("freeSlots"), fleet.told("slots")) == (9, 12)
    annotations = fleet.pods()[name]["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"
    wait_for(lambda: evict(bench, fleet, name) != "", "a budget that guards")
    assert "disruption budget" in evict(bench, fleet, name)
    assert bench.kubectl("get", "pdb", "-n", fleet.namespace, "-o", "name").stdout.split() == [
        "poddisruptionbudget.policy/receptionist-busy"
    ]

    fleet.workers[name].calls = 0

    wait_for(lambda: evict(bench, fleet, name) == "", "an idle pod that may go")


def test_a_caller_who_found_no_slot_is_counted_and_gets_the_next_one(fleet: Fleet) -> None:
    (name,) = fleet.wait_for(1)
    fleet.serve()
    wait_for(lambda: fleet.status().get("freeSlots") == 12, "a free worker")
    fleet.patch({"scaling": {"min": 1, "max": 1}})
    worker = fleet.workers[name]
    worker.calls = 12
    worker.waiting = {f"{fleet.namespace}.{AGENT}": 2}

    wait_for(lambda: fleet.status().get("waitingCalls") == 2, "two callers in the status")
    assert "2 waiting for a slot" in fleet.told("summary")
    worker.calls = 11

    wait_for(lambda: worker.calls == 12, "a caller on the slot that came free")
    worker.calls = 10
    wait_for(lambda: fleet.status().get("waitingCalls", 0) == 0, "nobody who waits")
    assert (worker.calls, worker.waiting) == (11, {f"{fleet.namespace}.{AGENT}": 0})


def evict(bench: Bench, fleet: Fleet, name: str) -> str:
    """Ask for a pod to go, without meaning it, and return what stands in the way."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": fleet.namespace},
        "deleteOptions": {"dryRun": ["All"]},
    }
    path = f"/api/v1/namespaces/{fleet.namespace}/pods/{name}/eviction"
    done = bench.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body), check=False)
    return done.stderr if done.returncode else ""


def test_a_second_pass_writes_nothing(bench: Bench, operator: OperatorProcess, fleet: Fleet) -> None:
    fleet.wait_for(1)
    fleet.serve()
    wait_for(lambda: fleet.says("Ready") == "True Ready", "a ready fleet")
    wait_for(lambda: fleet.says("Reconciling") == "False AsWanted", "a settled fleet")

    def versions() -> dict[str, str]:
        kinds = "va,pp,pods,configmap,serviceaccount,poddisruptionbudget,secret"
        items = json.loads(bench.kubectl("get", kinds, "-n", fleet.namespace, "-o", "json").stdout)["items"]
        return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in items}

    before, passes = versions(), operator.metric("voicefleet_operator_reconciles_total")
    bench.kubectl("label", "pp", "default", "-n", fleet.namespace, "touched=yes")
    wait_for(lambda: operator.metric("voicefleet_operator_reconciles_total") > passes + 1, "another pass")
    del before["ProviderPool/default"]

    assert holds_for(lambda: before.items() <= versions().items(), 3)


def test_a_fleet_grows_at_once_and_shrinks_only_by_workers_without_calls(fleet: Fleet) -> None:
    fleet.wait_for(1)
    fleet.patch({"scaling": {"min": 3}})
    names = fleet.wait_for(3)
    fleet.serve()
    wait_for(lambda: fleet.told("workers.ready") == 3, "three workers heard")
    for name in names[:2]:
        fleet.workers[name].calls = 1
    wait_for(lambda: fleet.told("calls") == 2, "two calls")

    # Short calls and quick starts: the two that came just now promise no crowd.
    calm = {"warmFloorSlots": 0, "startupSeconds": 1, "expectedCallSeconds": 2}
    fleet.patch({"scaling": {"min": 1, **calm}})

    wait_for(lambda: set(fleet.pods()) == set(names[:2]), "the idle one to leave")
    cordoned = wait_for(lambda: [name for name in names[:2] if fleet.workers[name].cordoned], "one told to empty")
    assert len(cordoned) == 1
    assert holds_for(lambda: set(fleet.pods()) == set(names[:2]), 2)

    emptied = fleet.workers[cordoned[0]]
    emptied.unsent_for_seconds = 90
    emptied.calls = 0
    wait_for(lambda: fleet.told("calls") == 1, "one call")

    assert holds_for(lambda: set(fleet.pods()) == set(names[:2]), 2), "its disk holds what somebody has yet to take"
    said = {each["type"]: each["message"] for each in fleet.told("conditions")}
    assert "1 worker stays until the records and recordings of calls are sent" in said["Reconciling"]
    assert "records or recordings on 1 worker are not taken: see their logs" in said["Ready"]

    emptied.unsent_for_seconds = None

    wait_for(lambda: set(fleet.pods()) == set(names[:2]) - set(cordoned), "the emptied one to leave")


def test_an_external_scaler_scales_by_the_scale_subresource(bench: Bench, fleet: Fleet) -> None:
    fleet.patch({"scaling": {"mode": "External"}, "replicas": 2})
    fleet.wait_for(2)

    bench.kubectl("scale", f"va/{AGENT}", "-n", fleet.namespace, "--replicas=4")

    fleet.wait_for(4)
    scale = json.loads(
        bench.kubectl("get", "va", AGENT, "-n", fleet.namespace, "--subresource=scale", "-o", "json").stdout
    )
    wait_for(lambda: fleet.told("replicas") == 4, "four replicas in the status")
    assert scale["status"]["selector"] == f"app.kubernetes.io/managed-by=voicefleet,voicefleet.dev/agent={AGENT}"


def test_silence_takes_no_worker_away(fleet: Fleet) -> None:
    fleet.patch({"scaling": {"min": 2}})
    names = fleet.wait_for(2)
    fleet.serve()
    wait_for(lambda: fleet.told("workers.ready") == 2, "two workers heard")
    fleet.workers[names[0]].quiet = True
    wait_for(lambda: fleet.told("workers.silent") == 1, "one that fell silent", within_seconds=25)

    fleet.patch({"scaling": {"min": 1, "warmFloorSlots": 0}})

    wait_for(lambda: fleet.told("scale.limit") == "Blind", "a blind operator")
    assert holds_for(lambda: len(fleet.pods()) == 2, 2)
    assert not fleet.workers[names[1]].cordoned


def test_a_rollout_replaces_workers_and_cuts_no_call(fleet: Fleet) -> None:
    (old,) = fleet.wait_for(1)
    fleet.serve()
    wait_for(lambda: fleet.told("workers.ready") == 1, "the old worker heard")
    fleet.workers[old].calls = 1
    wait_for(lambda: fleet.told("calls") == 1, "a call")

    fleet.patch({"languages": ["en", "de"]})

    (new,) = set(fleet.wait_for(2)) - {old}
    assert not fleet.workers[old].cordoned
    fleet.serve()
    wait_for(lambda: fleet.workers[old].cordoned, "the old worker told to empty")
    wait_for(lambda: fleet.says("Reconciling") == "True RollingOut", "a rollout that is told")
    assert holds_for(lambda: set(fleet.pods()) == {old, new}, 2)

    fleet.workers[old].calls = 0

    wait_for(lambda: set(fleet.pods()) == {new}, "the old worker to leave")
    wait_for(lambda: fleet.says("Reconciling") == "False AsWanted", "a settled fleet")
    assert fleet.told("revision") in new


def test_a_failed_worker_is_replaced(bench: Bench, fleet: Fleet) -> None:
    (first,) = fleet.wait_for(1)

    bench.kubectl("annotate", "pod", first, "-n", fleet.namespace, "bench.voicefleet.dev/end=Failed")

    wait_for(lambda: first not in fleet.pods() and fleet.has(1), "another worker in its place")


def test_a_worker_that_is_put_aside_by_its_labels_is_replaced_and_comes_back_with_them(
    bench: Bench, fleet: Fleet
) -> None:
    (name,) = fleet.wait_for(1)
    put = ("label", "pod", name, "-n", fleet.namespace)

    bench.kubectl(*put, "voicefleet.dev/agent-", "app.kubernetes.io/managed-by-")

    (other,) = fleet.wait_for(1)
    assert other == name.removesuffix("-0") + "-1"
    bench.kubectl("get", "pod", name, "-n", fleet.namespace)

    bench.kubectl(*put, f"voicefleet.dev/agent={AGENT}", "app.kubernetes.io/managed-by=voicefleet")

    wait_for(lambda: fleet.told("replicas") == 2, "an operator that sees it again")


def test_a_worker_that_no_node_takes_is_told_in_words(fleet: Fleet) -> None:
    fleet.wait_for(1)
    fleet.patch({"worker": {"podTemplate": {"nodeSelector": {"no": "such-node"}}}})

    lost = wait_for(lambda: [n for n, p in fleet.pods().items() if "nodeName" not in p["spec"]], "a pod without a node")
    wait_for(lambda: fleet.says("Ready") == "False Unschedulable", "words about it")
    assert fleet.message().startswith("no node takes a worker: 0/1 nodes are available")

    fleet.patch({"worker": {"podTemplate": {"nodeSelector": None}}})
    wait_for(lambda: not set(lost) & set(fleet.pods()), "it to be taken back, since it never ran")


def test_a_missing_pool_is_told_and_its_coming_noticed(bench: Bench, fleet: Fleet) -> None:
    fleet.wait_for(1)
    fleet.patch({"providerPoolRef": {"name": "not-there"}})

    wait = ("wait", "va", AGENT, "-n", fleet.namespace, "--timeout=20s")
    bench.kubectl(*wait, "--for=condition=Stalled")
    bench.kubectl(*wait, "--for=condition=Ready=false")
    assert fleet.says("Ready") == "False PoolMissing"
    assert "ProviderPool 'not-there' does not exist" in fleet.message()
    assert len(fleet.pods()) == 1

    pool = yaml.safe_load((SAMPLES / "providerpool.yaml").read_text())
    pool["metadata"]["name"] = "not-there"
    bench.kubectl("apply", "-n", fleet.namespace, "-f", "-", stdin=yaml.safe_dump(pool))

    bench.kubectl(*wait, "--for=condition=Stalled=false")


def test_a_pool_of_another_namespace_asks_for_its_labels(bench: Bench, fleet: Fleet) -> None:
    pool = yaml.safe_load((SAMPLES / "providerpool.yaml").read_text())
    pool["metadata"] = {"name": "shared", "namespace": NAMESPACE}
    pool["spec"]["allowedNamespaces"] = {"matchLabels": {"tier": "voice"}}
    bench.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(pool))

    fleet.patch({"providerPoolRef": {"name": "shared", "namespace": NAMESPACE}})

    wait_for(lambda: fleet.says("Stalled") == "True PoolForbidden", "a refusal")
    assert "spec.allowedNamespaces" in fleet.message()


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_everything_goes_with_its_voice_agent(bench: Bench, fleet: Fleet, cascade: str) -> None:
    fleet.wait_for(1)
    fleet.serve()

    bench.kubectl("delete", "va", AGENT, "-n", fleet.namespace, f"--cascade={cascade}", "--timeout=30s")

    def left() -> str:
        kinds = "pods,configmap,serviceaccount,poddisruptionbudget,secret"
        return bench.kubectl(
            "get", kinds, "-n", fleet.namespace, "-l", f"voicefleet.dev/agent={AGENT}", "-o", "name"
        ).stdout

    wait_for(lambda: not left(), "nothing of it left")
    assert holds_for(lambda: not left(), 1)


def test_a_killed_operator_comes_back_to_the_fleet_that_it_left(
    bench: Bench, operator: OperatorProcess, fleet: Fleet
) -> None:
    fleet.patch({"scaling": {"min": 3}})
    names = fleet.wait_for(3)
    fleet.serve()
    wait_for(lambda: fleet.told("workers.ready") == 3, "three workers heard")
    fleet.workers[names[0]].calls = 2
    wait_for(lambda: fleet.told("calls") == 2, "two calls")
    before = {name: pod["metadata"]["uid"] for name, pod in fleet.pods().items()}

    operator.kill()
    left = _lease(bench)
    fleet.patch({"scaling": {"min": 4}})
    operator.start()
    wait_for(operator.leads, "it to lead again", within_seconds=25)
    waited = datetime.fromisoformat(_lease(bench)["acquireTime"]) - datetime.fromisoformat(left["renewTime"])
    assert waited.total_seconds() < left["leaseDurationSeconds"], "it waited for the lease of its own pod to run out"

    after = {name: fleet.pods()[name]["metadata"]["uid"] for name in fleet.wait_for(4)}
    assert before.items() <= after.items()
    assert holds_for(lambda: fleet.told("calls") == 2 and len(fleet.pods()) == 4, 2)


def _lease(bench: Bench) -> dict[str, Any]:
    answer = bench.kubectl("get", "lease", "voicefleet-operator", "-n", NAMESPACE, "-o", "json")
    spec: dict[str, Any] = json.loads(answer.stdout)["spec"]
    return spec


def test_a_standby_takes_over_when_the_leader_ends(
    bench: Bench, operator: OperatorProcess, fleet: Fleet, tmp_path: Path
) -> None:
    fleet.wait_for(1)
    fleet.serve()
    standby = OperatorProcess(bench, NAMESPACE, log=tmp_path / "standby.log")
    standby.start()
    try:
        wait_for(lambda: standby.metric("voicefleet_operator_worker_streams") == 1, "a standby that hears the worker")
        assert holds_for(lambda: not standby.leads(), 3)

        assert operator.stop() == 0

        wait_for(standby.leads, "the standby to lead", within_seconds=8)
        fleet.patch({"scaling": {"min": 2}})
        fleet.wait_for(2)
    finally:
        standby.stop()
        operator.start()
        wait_for(operator.leads, "the first to lead again")


def test_a_leader_that_froze_ends_when_it_wakes_and_writes_nothing(
    bench: Bench, operator: OperatorProcess, fleet: Fleet, tmp_path: Path
) -> None:
    fleet.wait_for(1)
    standby = OperatorProcess(bench, NAMESPACE, log=tmp_path / "standby.log")
    standby.start()
    try:
        operator.freeze()
        wait_for(standby.leads, "the standby to lead", within_seconds=30)
        fleet.patch({"scaling": {"min": 2}})
        fleet.wait_for(2)

        assert operator.thaw() == 1

        assert holds_for(lambda: standby.leads() and len(fleet.pods()) == 2, 1)
    finally:
        standby.stop()
        operator.start()
        wait_for(operator.leads, "the first to lead again")


def test_the_operator_may_read_no_secret_but_its_own_key(
    bench: Bench, operator: OperatorProcess, namespace: str
) -> None:
    who = f"--as=system:serviceaccount:{operator.namespace}:{SERVICE_ACCOUNT}"

    def may(*what: str) -> bool:
        return bench.kubectl("auth", "can-i", *what, who, check=False).stdout.strip() == "yes"

    assert may("get", "secret/voicefleet-control-key", "-n", operator.namespace)
    assert may("create", "secrets", "-n", namespace)
    for verb in ("get", "list", "watch", "update", "patch", "delete"):
        assert not may(verb, "secrets", "-n", namespace), verb
    for what in (
        ("create", "pods", "--subresource=exec"),
        ("create", "clusterroles"),
        ("delete", "voiceagents"),
    ):
        assert not may(*what, "-n", namespace), what


def test_a_busy_apiserver_serves_the_election_before_all_else_that_the_operator_asks(
    bench: Bench, operator: OperatorProcess
) -> None:
    uid = "-o=jsonpath={.metadata.uid}"
    election = bench.kubectl("get", "prioritylevelconfiguration", "leader-election", uid).stdout

    def level(*what: str) -> str:
        who = f"--as=system:serviceaccount:{operator.namespace}:{SERVICE_ACCOUNT}"
        said = bench.kubectl("get", *what, "-n", operator.namespace, who, "-v=8").stderr
        return str(re.findall(r"(?i)x-kubernetes-pf-prioritylevel-uid: (\S+)", said)[-1])

    assert level("lease", "voicefleet-operator") == election
    assert level("pods") != election


def test_no_secret_value_is_told_by_the_operator(bench: Bench, operator: OperatorProcess, fleet: Fleet) -> None:
    (name,) = fleet.wait_for(1)
    token = fleet.token(fleet.pods()[name])

    everything = bench.kubectl("get", "va,pp,pods,configmap,events", "-n", fleet.namespace, "-o", "yaml").stdout

    assert token not in everything
    assert token not in operator.log.read_text()
    assert token not in operator.get("/metrics")
