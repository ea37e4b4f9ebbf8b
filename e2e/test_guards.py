"""Who may take a worker away that holds calls, and what the others read."""

import json
import re
import secrets
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from e2e.bench import Bench
from e2e.bench.control_plane import kwok_node
from e2e.bench.waiting import wait_for
from e2e.guarding import AGENT, ON_CALL, Guarded, render_guards
from e2e.operating import ROOT, holds_for
from voicefleet.manifests.network import build_network_policy
from voicefleet.names import ANNOTATION_END_CALLS, FINALIZER

BUSY, IDLE = "receptionist-5f0c9a1b2d-0", "receptionist-5f0c9a1b2d-1"
DOOMED = "guards-doomed"
KUBE_SYSTEM = "system:serviceaccount:kube-system"
DRAIN_FLAGS = ("--delete-emptydir-data", "--force", "--pod-selector=app.kubernetes.io/managed-by=voicefleet")


@pytest.fixture(scope="module")
def guarded(bench: Bench) -> Iterator[Guarded]:
    """A namespace under the guard, and a second one that a test may delete."""
    name = f"guards-{secrets.token_hex(3)}"
    for namespace in (name, DOOMED):
        bench.kubectl("create", "namespace", namespace)
        account = ("get", "serviceaccount", "default", "-n", namespace)
        wait_for(lambda account=account: bench.kubectl(*account, check=False).returncode == 0, "a ServiceAccount")  # type: ignore[misc]
    guarded = Guarded(bench, name, (name, DOOMED))
    try:
        guarded.wait_until_it_guards()
        yield guarded
    finally:
        guarded.close()
        bench.kubectl("delete", "namespace", name, DOOMED, "--wait=false", "--ignore-not-found")


@pytest.fixture
def workers(guarded: Guarded) -> Iterator[Guarded]:
    """One busy worker and one idle one."""
    guarded.worker(BUSY, busy=True)
    guarded.worker(IDLE, busy=False)
    yield guarded
    everything = f"/api/v1/namespaces/{guarded.namespace}/pods?gracePeriodSeconds=0"
    guarded.bench.kubectl("delete", "--raw", everything, *being("alice", ON_CALL, "system:masters"))


def being(user: str, *groups: str) -> tuple[str, ...]:
    return (f"--as={user}", *(f"--as-group={group}" for group in groups))


def test_a_person_who_deletes_a_busy_worker_is_refused_and_told_what_to_do(bench: Bench, workers: Guarded) -> None:
    done = bench.kubectl("delete", "pod", BUSY, "-n", workers.namespace, check=False)

    assert done.returncode == 1
    policy = f"{workers.namespace}-voicefleet-calls"
    assert done.stderr.strip() == (
        f'Error from server (Forbidden): pods "{BUSY}" is forbidden: '
        f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: "
        f"worker {BUSY} holds calls, and deleting it would cut them. To have it gone without cutting anybody, "
        f"scale VoiceAgent {AGENT} down or delete it: both wait for the calls to end. To end the calls now: "
        f"kubectl annotate pod {BUSY} -n {workers.namespace} {ANNOTATION_END_CALLS}=true, then delete it again"
    )
    assert workers.is_there(BUSY)


def test_the_page_about_guards_shows_what_people_read(workers: Guarded) -> None:
    page = re.sub(r"\s+", " ", (ROOT / "docs" / "guards.md").read_text())

    for refusal in (workers.try_delete(BUSY), workers.try_relabel(BUSY, "voicefleet.dev/busy=false")):
        words = refusal.partition("denied request: ")[2].strip().replace(workers.namespace, "voice")
        assert words
        assert words in page


def test_a_person_may_delete_an_idle_worker(bench: Bench, workers: Guarded) -> None:
    bench.kubectl("delete", "pod", IDLE, "-n", workers.namespace)

    assert not workers.is_there(IDLE)


def test_deleting_all_at_once_or_by_force_takes_no_busy_worker(bench: Bench, workers: Guarded) -> None:
    collection = f"/api/v1/namespaces/{workers.namespace}/pods"
    assert "holds calls" in bench.kubectl("delete", "--raw", collection, check=False).stderr
    done = bench.kubectl("delete", "pods", "--all", "--force", "--grace-period=0", "-n", workers.namespace, check=False)

    assert "holds calls" in done.stderr
    assert workers.is_there(BUSY)
    assert not workers.is_there(IDLE)


@pytest.mark.parametrize(
    ("who", "may"),
    [
        (being("system:node:kwok-0", "system:nodes"), True),
        (being(f"{KUBE_SYSTEM}:pod-garbage-collector"), True),
        (being(f"{KUBE_SYSTEM}:node-controller"), True),
        (being(f"{KUBE_SYSTEM}:namespace-controller"), True),
        (being(f"{KUBE_SYSTEM}:generic-garbage-collector"), True),
        (being("alice", ON_CALL, "system:masters"), True),
        (being("bob", "staff", "system:masters"), False),
        (being(f"{KUBE_SYSTEM}:replicaset-controller", "system:masters"), False),
        (being("system:kube-scheduler"), False),
    ],
    ids=[
        "a kubelet, after the containers",
        "the pod garbage collector",
        "taint eviction",
        "the end of a namespace",
        "the end of an owner",
        "somebody of an exempt group",
        "an administrator",
        "any other controller",
        "the scheduler, for a more important pod",
    ],
)
def test_who_may_delete_a_busy_worker(workers: Guarded, who: tuple[str, ...], *, may: bool) -> None:
    refusal = workers.try_delete(BUSY, *who, query="dryRun=All&gracePeriodSeconds=0")

    assert refusal == "" if may else "holds calls" in refusal


def test_even_the_operator_may_not_delete_a_busy_worker(workers: Guarded) -> None:
    assert "holds calls" in workers.try_delete(BUSY, *being(workers.operator))
    assert workers.try_delete(IDLE, *being(workers.operator)) == ""


def test_an_annotation_says_that_the_calls_may_end(bench: Bench, workers: Guarded) -> None:
    bench.kubectl("annotate", "pod", BUSY, "-n", workers.namespace, f"{ANNOTATION_END_CALLS}=yes")
    assert "holds calls" in workers.try_delete(BUSY)

    bench.kubectl("annotate", "pod", BUSY, "-n", workers.namespace, f"{ANNOTATION_END_CALLS}=true", "--overwrite")

    bench.kubectl("delete", "pod", BUSY, "-n", workers.namespace)


def test_a_busy_worker_that_ended_or_never_ran_may_go(bench: Bench, workers: Guarded) -> None:
    workers.worker("no-node", busy=True, node=None)
    assert workers.try_delete("no-node") == ""

    bench.kubectl("annotate", "pod", BUSY, "-n", workers.namespace, "bench.voicefleet.dev/end=Failed")
    wait_for(lambda: workers.phase(BUSY) == "Failed", "it to fail")

    assert workers.try_delete(BUSY) == ""


def test_another_namespace_is_left_alone(guarded: Guarded, namespace: str) -> None:
    guarded.worker(BUSY, busy=True, namespace=namespace)

    assert guarded.try_delete(BUSY, namespace=namespace) == ""


@pytest.mark.parametrize(
    "label",
    [
        "voicefleet.dev/busy=false",
        "voicefleet.dev/busy-",
        "voicefleet.dev/agent=other",
        "voicefleet.dev/revision-",
        "app.kubernetes.io/managed-by-",
    ],
)
def test_a_guarded_label_is_the_operators(workers: Guarded, label: str) -> None:
    assert "is written by the operator alone" in workers.try_relabel(BUSY, label)


def test_a_guarded_label_cannot_be_changed_by_the_back_door(bench: Bench, workers: Guarded) -> None:
    body = json.dumps({"metadata": {"labels": {"voicefleet.dev/busy": "false"}}})
    command = ("patch", "pod", BUSY, "-n", workers.namespace, "--subresource=status", "-p", body)

    assert "is written by the operator alone" in bench.kubectl(*command, check=False).stderr


def test_other_labels_and_the_operators_own_writes_pass(bench: Bench, workers: Guarded) -> None:
    bench.kubectl("label", "pod", BUSY, "-n", workers.namespace, "team=a")

    workers.mark(BUSY, busy=False)

    assert workers.try_delete(BUSY) == ""


def test_an_eviction_waits_for_calls_and_takes_idle_workers(workers: Guarded) -> None:
    agent = workers.agent()
    workers.budget(agent)
    wait_for(lambda: workers.try_evict(BUSY), "a budget that guards")

    assert "disruption budget" in workers.try_evict(BUSY)
    assert workers.try_evict(IDLE) == ""


def test_the_budget_holds_when_more_workers_are_busy_than_replicas_are_wanted(bench: Bench, workers: Guarded) -> None:
    """The disruption controller may take the scale for the number of pods, and find busy ones to spare."""
    agent = workers.agent("shrunk", scaling={"mode": "External"}, replicas=1)
    names = [f"shrunk-{number}" for number in range(3)]
    for name in names:
        workers.worker(name, busy=True, of=agent)
    workers.budget(agent)
    counted = ("get", "pdb", "shrunk-busy", "-n", workers.namespace, "-o", "jsonpath={.status.currentHealthy}")
    wait_for(lambda: bench.kubectl(*counted).stdout == "3", "three busy workers counted")

    assert all("disruption budget" in workers.try_evict(name) for name in names)


@pytest.fixture
def node(bench: Bench) -> Iterator[str]:
    """A simulated node that a test may drain."""
    name = "kwok-guards"
    node = yaml.safe_load(json.dumps(kwok_node(0)).replace("kwok-0", name))
    bench.kubectl("create", "-f", "-", stdin=json.dumps(node))
    bench.kubectl("wait", "node", name, "--for=condition=Ready", "--timeout=30s")
    yield name
    bench.kubectl("delete", "node", name)


def test_a_drained_node_loses_idle_workers_and_waits_for_busy_ones(bench: Bench, guarded: Guarded, node: str) -> None:
    agent = guarded.agent()
    guarded.budget(agent)
    guarded.worker("talking", busy=True, of=agent, node=node)
    guarded.worker("silent", busy=False, of=agent, node=node)
    hasty = bench.kubectl("drain", node, *DRAIN_FLAGS, "--disable-eviction", check=False)
    assert "worker talking holds calls" in hasty.stderr
    assert guarded.is_there("talking")
    bench.kubectl("delete", "pod", "silent", "-n", guarded.namespace, "--ignore-not-found")
    bench.kubectl("uncordon", node)
    guarded.worker("silent", busy=False, of=agent, node=node)

    kubectl = str(bench.binary("kubectl"))
    drain = subprocess.Popen([kubectl, "drain", node, *DRAIN_FLAGS, "--timeout=60s"], env=bench.environment())
    try:
        wait_for(lambda: not guarded.is_there("silent"), "the idle one to go")
        assert holds_for(lambda: guarded.is_there("talking") and drain.poll() is None, 2)

        guarded.mark("talking", busy=False)

        assert drain.wait(30) == 0
    finally:
        drain.kill()
        drain.wait()
    assert not guarded.is_there("talking")


def test_a_namespace_can_be_deleted_with_its_calls(bench: Bench, guarded: Guarded) -> None:
    guarded.worker(BUSY, busy=True, namespace=DOOMED)

    bench.kubectl("delete", "namespace", DOOMED, "--timeout=60s")


def test_a_foreground_deletion_takes_no_busy_worker_until_the_operator_lets_go(bench: Bench, workers: Guarded) -> None:
    agent = workers.agent("leaving")
    finalizers = json.dumps({"metadata": {"finalizers": [FINALIZER]}})
    bench.kubectl("patch", "va", "leaving", "-n", workers.namespace, "--type=merge", "-p", finalizers)
    workers.worker("leaving-busy", busy=True, of=agent)
    workers.worker("leaving-idle", busy=False, of=agent)

    bench.kubectl("delete", "va", "leaving", "-n", workers.namespace, "--cascade=foreground", "--wait=false")

    wait_for(lambda: not workers.phase("leaving-idle"), "the idle one to go")
    assert holds_for(lambda: workers.is_there("leaving-busy"), 3)

    path = [{"op": "test", "path": "/metadata/finalizers/0", "value": FINALIZER}]
    path += [{"op": "remove", "path": "/metadata/finalizers/0", "value": ""}]
    bench.kubectl("patch", "va", "leaving", "-n", workers.namespace, "--type=json", "-p", json.dumps(path))

    wait_for(lambda: not workers.phase("leaving-busy"), "the busy one to go with its owner")


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_workers_go_with_an_owner_that_nobody_holds(bench: Bench, workers: Guarded, cascade: str) -> None:
    agent = workers.agent("gone")
    workers.worker("gone-busy", busy=True, of=agent)

    bench.kubectl("delete", "va", "gone", "-n", workers.namespace, f"--cascade={cascade}", "--timeout=30s")

    wait_for(lambda: not workers.phase("gone-busy"), "the worker to go")


@pytest.mark.parametrize(
    "egress",
    [{"mode": "Open"}, {"mode": "Restricted", "cidrs": ["203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0", "::/0"]}],
    ids=["open", "restricted"],
)
def test_the_apiserver_takes_the_network_policy(bench: Bench, guarded: Guarded, egress: dict[str, object]) -> None:
    policy = build_network_policy(guarded.agent(worker={"egress": egress}), operator_namespace="voicefleet-system")

    done = bench.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=json.dumps(policy))

    assert "Warning" not in done.stderr


def test_a_chart_without_the_guard_brings_no_policy(bench: Bench) -> None:
    assert len(render_guards(bench, "op")) == 6
    assert render_guards(bench, "op", "guard.enabled=false") == []
