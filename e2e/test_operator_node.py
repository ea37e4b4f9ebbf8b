"""What a real kubelet says about a worker that cannot start, and what the VoiceAgent says about that."""

import contextlib
import ctypes
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.bench import Bench
from e2e.bench.node import PROBE_IMAGE
from e2e.bench.waiting import wait_for
from e2e.fake_workers import FakeWorker
from e2e.operating import ROOT, Fleet, OperatorProcess, confined_operator, fleet_of, holds_for
from voicefleet.names import ANNOTATION_END_CALLS, ANNOTATION_REFRESHED_AT, ANNOTATION_SECRETS_CHANGED

SAMPLES = ROOT / "manifests" / "samples"
SECRETS = {
    "livekit": ("api-key", "api-secret"),
    "deepgram": ("api-key",),
    "openai": ("api-key",),
    "cartesia": ("api-key",),
}


@pytest.fixture
def watch_secrets() -> bool:
    """As the chart has it; a test may let the operator see when Secrets are written."""
    return False


@pytest.fixture
def operator(
    real_node_bench: Bench, namespace: str, tmp_path: Path, *, watch_secrets: bool
) -> Iterator[OperatorProcess]:
    log = tmp_path / "operator.log"
    with confined_operator(real_node_bench, namespace, log, watch_secrets=watch_secrets) as process:
        yield process


@pytest.fixture
def fleet(real_node_bench: Bench, operator: OperatorProcess, namespace: str) -> Iterator[Fleet]:
    """The sample's fleet on the real node, without any of its Secrets."""
    bench = real_node_bench
    wait_for(operator.leads, "an operator that leads")
    agent = yaml.safe_load((SAMPLES / "voiceagent.yaml").read_text())
    agent["spec"]["worker"] |= {
        "resources": {"cpu": "50m", "memory": "64Mi", "ephemeralStorage": "64Mi"},
        "imagePullPolicy": "Never",
        "podTemplate": {"nodeSelector": {"voicefleet.dev/node": "real"}},
    }
    bench.kubectl("apply", "-n", namespace, "-f", str(SAMPLES / "providerpool.yaml"))
    bench.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(agent))
    with fleet_of(bench, namespace, "receptionist") as fleet:
        yield fleet


def give_secrets(fleet: Fleet, value: str) -> None:
    for name, keys in SECRETS.items():
        literals = [f"--from-literal={key}={value}" for key in keys]
        made = fleet.bench.kubectl(
            "create", "secret", "generic", name, "-n", fleet.namespace, *literals, "--dry-run=client", "-o", "yaml"
        )
        fleet.bench.kubectl("apply", "-n", fleet.namespace, "-f", "-", stdin=made.stdout)


def runs(pod: dict[str, Any]) -> bool:
    return any("running" in container["state"] for container in pod["status"].get("containerStatuses", []))


def running_pod(fleet: Fleet) -> str:
    wait_for(lambda: running(fleet), "a pod that runs", within_seconds=100)
    return running(fleet).pop()


def test_whoever_says_that_a_secret_has_changed_need_not_wait_for_the_kubelets_next_look(
    real_node_bench: Bench, fleet: Fleet
) -> None:
    bench, where, pod = real_node_bench, fleet.namespace, with_the_old_key(fleet)
    for word in ("first", "second", "third"):
        give_secrets(fleet, word)
        bench.kubectl("annotate", "va", fleet.agent, "-n", where, f"{ANNOTATION_SECRETS_CHANGED}={word}", "--overwrite")
        # Thrice in a row within these thirty seconds no kubelet looks by itself.
        print(f"{word}: {seconds_until(fleet, pod, word, within_seconds=30):.1f} s")


@pytest.mark.parametrize("watch_secrets", [True])
def test_where_the_operator_may_see_that_a_secret_is_written_nobody_need_say_so(fleet: Fleet) -> None:
    """The first time at once; then half a minute passes between two writes to a pod."""
    pod = with_the_old_key(fleet)
    for word, within_seconds in (("first", 10), ("second", 45), ("third", 45)):
        give_secrets(fleet, word)
        print(f"{word}: {seconds_until(fleet, pod, word, within_seconds=within_seconds):.1f} s")


def with_the_old_key(fleet: Fleet) -> str:
    """Let a pod run with a key that will be replaced.

    A worker that never comes up will do: the kubelet looks after the files of whatever runs.
    """
    give_secrets(fleet, "old")
    fleet.patch({"worker": {"image": PROBE_IMAGE}})
    pod = running_pod(fleet)
    assert key_of(fleet, pod) == "old"
    return pod


def key_of(fleet: Fleet, pod: str) -> str:
    """Return what a pod finds in its file."""
    show = ("exec", pod, "-n", fleet.namespace, "--", "/probe", "show", "/etc/voicefleet/secrets/openai/api-key")
    return fleet.bench.kubectl(*show, check=False).stdout


def seconds_until(fleet: Fleet, pod: str, value: str, *, within_seconds: float) -> float:
    began = time.monotonic()
    wait_for(lambda: key_of(fleet, pod) == value, f"a file that holds {value!r}", within_seconds=within_seconds)
    return time.monotonic() - began


def speak_in(fleet: Fleet, name: str) -> FakeWorker:
    """Give a real pod a worker that only talks: a socket stays in the network in which it was made."""
    made: list[FakeWorker] = []
    pod = fleet.pods()[name]
    uid, token = pod["metadata"]["uid"], fleet.token(pod)

    def enter_and_speak() -> None:
        # Of this thread only, which ends.
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                is_its_own = uid in (process / "cgroup").read_text()
                if is_its_own and b"probe" in (process / "cmdline").read_bytes() and not made:
                    with (process / "ns" / "net").open() as network:
                        assert ctypes.CDLL(None).setns(network.fileno(), 0) == 0
                    made.append(FakeWorker(pod, token))

    thread = threading.Thread(target=enter_and_speak)
    thread.start()
    thread.join()
    return made[0]


def test_a_worker_that_sees_its_secrets_change_has_the_kubelet_look_after_another_pod(
    real_node_bench: Bench, fleet: Fleet
) -> None:
    bench, where = real_node_bench, fleet.namespace
    give_secrets(fleet, "old")
    fleet.patch({"worker": {"image": PROBE_IMAGE}, "scaling": {"min": 2}})

    def holds(pod: str, value: str) -> bool:
        return key_of(fleet, pod) == value

    wait_for(lambda: sum(holds(pod, "old") for pod in fleet.pods()) == 2, "two pods that run", within_seconds=100)
    first, second = sorted(fleet.pods())
    worker = speak_in(fleet, first)
    try:
        give_secrets(fleet, "new")
        # As if this one's kubelet had been the first to look by itself.
        bench.kubectl("annotate", "pod", first, "-n", where, "looks=now")
        wait_for(lambda: holds(first, "new"), "the first pod's file", within_seconds=10)
        began, worker.secrets_changed_seconds_ago = time.monotonic(), 0.0
        wait_for(lambda: holds(second, "new"), "the second pod's file", within_seconds=10)
        print(f"the other pod followed after {time.monotonic() - began:.1f} s")
        told = {name: ANNOTATION_REFRESHED_AT in pod["metadata"]["annotations"] for name, pod in fleet.pods().items()}
        assert told == {first: False, second: True}
    finally:
        worker.close()


def test_a_worker_with_a_call_is_given_more_cores_and_memory_while_it_runs(fleet: Fleet) -> None:
    give_secrets(fleet, "some")
    fleet.patch({"worker": {"image": PROBE_IMAGE}})
    name = running_pod(fleet)
    before = fleet.pods()[name]
    worker = speak_in(fleet, name)
    worker.calls = 1
    try:
        wait_for(lambda: fleet.told("calls") == 1, "a call in the status")

        fleet.patch({"worker": {"resources": {"cpu": "70m", "memory": "96Mi"}}})

        wait_for(lambda: given(fleet.pods()[name]) == {"cpu": "70m", "memory": "96Mi"}, "the kubelet to give them")
        wait_for(lambda: fleet.says("Reconciling") == "False AsWanted", "a settled fleet")
        (after,) = fleet.pods().values()
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["status"]["containerStatuses"][0]["restartCount"] == 0
        assert not worker.cordoned
    finally:
        worker.close()


def test_a_control_key_that_is_lost_cuts_no_call_and_new_workers_take_the_next_ones(
    operator: OperatorProcess, fleet: Fleet
) -> None:
    """The way that docs/install.md tells, for instance after the namespace of the operator was deleted."""
    bench, where = fleet.bench, fleet.namespace
    give_secrets(fleet, "some")
    fleet.patch({"worker": {"image": PROBE_IMAGE}})
    old = running_pod(fleet)
    with closing(speak_in(fleet, old)) as worker:
        worker.calls = 2
        wait_for(lambda: fleet.told("calls") == 2, "two calls in the status")
        operator.stop()
        bench.kubectl("delete", "secret", "voicefleet-control-key", "-n", where)

        operator.start()
        wait_for(lambda: "another control key" in fleet.message(), "words about the key", within_seconds=40)
        wait_for(lambda: running(fleet) - {old}, "another worker", within_seconds=60)
        (new,) = running(fleet) - {old}
        with closing(speak_in(fleet, new)):
            wait_for(lambda: fleet.says("Ready") == "True Ready", "a fleet that is ready")
            assert fleet.told("freeSlots") == 12
            assert holds_for(lambda: old in fleet.pods(), 3)
            assert not worker.cordoned
            for pod in set(fleet.pods()) - {new}:
                bench.kubectl("annotate", "pod", pod, "-n", where, f"{ANNOTATION_END_CALLS}=true")
                bench.kubectl("delete", "pod", pod, "-n", where, "--wait=false")
            wait_for(lambda: set(fleet.pods()) == {new}, "the old workers to be gone")


def running(fleet: Fleet) -> set[str]:
    return {name for name, pod in fleet.pods().items() if runs(pod)}


def given(pod: dict[str, Any]) -> dict[str, str]:
    """Return what the kubelet says that the container has by now."""
    limits = pod["status"]["containerStatuses"][0].get("resources", {}).get("limits", {})
    return {name: limits.get(name) for name in ("cpu", "memory")}


def test_missing_secrets_keys_and_images_are_told_one_after_another(real_node_bench: Bench, fleet: Fleet) -> None:
    bench, where = real_node_bench, fleet.namespace
    wait_for(lambda: fleet.says("Stalled") == "True SecretMissing", "a missing Secret", within_seconds=60)
    named = fleet.message()
    assert f"does not exist in namespace '{where}': create it" in named
    assert any(f"Secret '{name}'" in named for name in SECRETS)

    for name, keys in SECRETS.items():
        wrong = {"livekit": ("api-key",)}.get(name, keys)
        literals = [f"--from-literal={key}=value-of-{name}" for key in wrong]
        bench.kubectl("create", "secret", "generic", name, "-n", where, *literals)
    wait_for(lambda: "lacks key 'api-secret'" in fleet.message(), "a missing key", within_seconds=100)

    patch = json.dumps({"stringData": {"api-secret": "value-of-livekit"}})
    bench.kubectl("patch", "secret", "livekit", "-n", where, "--type=merge", "-p", patch)
    wait_for(lambda: fleet.says("Stalled") == "True ImagePullFailed", "a missing image", within_seconds=100)
    assert "'worker:e2e' cannot be pulled" in fleet.message()

    # Its mistake is mended by a new revision; the old worker never ran and leaves at once.
    (old,) = fleet.pods()
    fleet.patch({"languages": ["de"]})
    wait_for(lambda: fleet.pods() and old not in fleet.pods(), "the old worker to leave")
    assert "value-of" not in bench.kubectl("get", "va,pp,configmap,pods,events", "-n", where, "-o", "yaml").stdout
