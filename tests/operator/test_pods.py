"""Pods as the kubelet leaves them, and what is said about them."""

from typing import Any

import pytest

from tests.support.fleet import NOW
from voicefleet.fleet import Worker
from voicefleet.names import ANNOTATION_CORDONED_AT, ANNOTATION_REFRESHED_AT, Reason
from voicefleet_operator.apiserver.cache import Cache
from voicefleet_operator.apiserver.kube import PODS
from voicefleet_operator.sight.pods import address_of, find_start_failure, read_pod, waits_for_volumes

Body = dict[str, Any]


CRASH = {"restartCount": 2, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}, "started": False}


def body(*, state: Body | None = None, node: str | None = "node-1", last: Body | None = None, **status: object) -> Body:
    statuses = [{"name": "worker", "state": state, "restartCount": 3, **(last or {})}] if state is not None else []
    return {
        "metadata": {
            "name": "desk-rev-0",
            "namespace": "voice",
            "uid": "u",
            "resourceVersion": "7",
            "labels": {"voicefleet.dev/revision": "rev", "voicefleet.dev/busy": "true"},
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": "worker", "image": "worker:dev"}],
            "volumes": [
                {"name": "secret-0", "secret": {"secretName": "livekit"}},
                {"name": "text-0", "configMap": {"name": "prompts"}},
            ],
        },
        "status": {"phase": "Pending", **status, "containerStatuses": statuses},
    }


def unscheduled(message: str) -> Body:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return body(node=None, conditions=[condition])


def waiting(reason: str, message: str = "") -> Body:
    return {"waiting": {"reason": reason, "message": message}}


def test_a_running_pod_is_read_as_it_is() -> None:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-02T12:00:00Z"}
    pod = read_pod(body(state={"running": {}}, phase="Running", podIP="10.0.0.1", conditions=[ready]))

    assert (pod.revision, pod.ready, pod.ready_since, pod.marked_busy, pod.trouble) == ("rev", True, NOW, True, None)
    assert not Worker(pod).may_be_deleted(NOW)


def test_only_a_running_pod_is_listened_to() -> None:
    assert address_of(body(phase="Running", podIP="10.0.0.1")) == "10.0.0.1"
    assert address_of(body(phase="Pending", podIP="10.0.0.1")) is None


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (
            'MountVolume.SetUp failed for volume "secret-0" : secret "livekit" not found',
            "Secret 'livekit' does not exist in namespace 'voice': create it, and waiting workers start.",
        ),
        (
            'MountVolume.SetUp failed for volume "secret-0" : references non-existent secret key: api-key',
            "Secret 'livekit' in namespace 'voice' lacks key 'api-key': add it, and workers start.",
        ),
    ],
)
def test_a_missing_secret_is_named_with_what_to_do(failure: str, words: str) -> None:
    trouble = read_pod(body(state=waiting("ContainerCreating")), failure).trouble

    assert trouble is not None
    assert (trouble.reason, trouble.message) == (Reason.SECRET_MISSING, words)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (
            'MountVolume.SetUp failed for volume "text-0" : configmap "prompts" not found',
            "ConfigMap 'prompts' does not exist in namespace 'voice': create it, and waiting workers start.",
        ),
        (
            'MountVolume.SetUp failed for volume "text-0" : configmap references non-existent config key: desk',
            "ConfigMap 'prompts' in namespace 'voice' lacks key 'desk': add it, and workers start.",
        ),
    ],
)
def test_missing_instructions_are_named_with_what_to_do(failure: str, words: str) -> None:
    trouble = read_pod(body(state=waiting("ContainerCreating")), failure).trouble

    assert trouble is not None
    assert (trouble.reason, trouble.message) == (Reason.CONFIG_MAP_MISSING, words)


def test_a_container_that_a_mesh_put_beside_ours_says_nothing_about_our_calls() -> None:
    crashing = {"name": "istio-proxy", "state": waiting("CrashLoopBackOff"), "restartCount": 9}
    pod = body(phase="Running", state={"running": {}})
    pod["status"]["containerStatuses"].insert(0, crashing)

    seen = read_pod(pod)

    assert (seen.process_stopped, seen.trouble) == (False, None)
    assert not Worker(seen).may_be_deleted(NOW)


def test_a_pod_that_its_node_refused_rests_from_what_happened_to_it_last() -> None:
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-03-02T12:00:00Z"}

    assert read_pod(body(phase="Failed", reason="OutOfcpu", conditions=[scheduled])).ended_at == NOW


def test_a_pod_that_waits_for_volumes_is_asked_about() -> None:
    assert waits_for_volumes(body(state=waiting("ContainerCreating")))
    assert not waits_for_volumes(body(state=waiting("ImagePullBackOff")))
    assert not waits_for_volumes(body(node=None))


def test_of_several_complaints_the_last_one_counts() -> None:
    events = [
        {"reason": "FailedMount", "message": "late", "lastTimestamp": "2026-03-02T12:00:02Z"},
        {"reason": "Scheduled", "message": "other", "lastTimestamp": "2026-03-02T12:00:03Z"},
        {"reason": "FailedMount", "message": "early", "lastTimestamp": "2026-03-02T12:00:01Z"},
    ]

    assert find_start_failure(events) == "late"
    assert find_start_failure([]) is None


@pytest.mark.parametrize(
    ("later", "at", "failure"),
    [
        ("FailedCreatePodSandBox", "2026-03-02T12:00:09Z", "later"),
        ("FailedAttachVolume", "2026-03-02T12:00:09Z", "later"),
        ("Pulling", "2026-03-02T12:00:09Z", None),
        ("Pulling", "2026-03-02T12:00:01Z", None),
        ("Pulling", "2026-03-02T12:00:00Z", "timed out"),
    ],
)
def test_a_node_that_has_got_beyond_its_complaint_complains_no_more(later: str, at: str, failure: str | None) -> None:
    """A large image takes minutes to pull, and the first try at a mount often comes too early."""
    events = [
        {"reason": "FailedMount", "message": "timed out", "lastTimestamp": "2026-03-02T12:00:01Z"},
        {"reason": later, "message": "later", "lastTimestamp": at},
    ]

    assert find_start_failure(events) == failure


@pytest.mark.parametrize(
    ("pod", "reason", "words"),
    [
        (body(state=waiting("ImagePullBackOff", "no such tag")), Reason.IMAGE_PULL, "'worker:dev' cannot be pulled"),
        (body(state=waiting("ErrImagePull", "no such tag")), Reason.IMAGE_PULL, "Correct spec.worker.image"),
        (body(state={"running": {}}, phase="Running", last=CRASH), Reason.POD_FAILED, "exit code 1, Error"),
        (body(state={"terminated": {"exitCode": 1}}, phase="Running", last=CRASH), Reason.POD_FAILED, "--previous"),
        (
            unscheduled("0/3 nodes"),
            Reason.UNSCHEDULABLE,
            "no node takes a worker: 0/3 nodes. Add nodes",
        ),
        (
            unscheduled("0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes have victims."),
            Reason.UNSCHEDULABLE,
            "no node takes a worker: 0/2 nodes are available: 2 Insufficient cpu. Add nodes",
        ),
        (
            body(state=waiting("CrashLoopBackOff"), phase="Running"),
            Reason.POD_FAILED,
            "kubectl logs -n voice desk-rev-0",
        ),
        (body(state=waiting("CreateContainerConfigError", 'secret "x" not found')), Reason.SECRET_MISSING, '"x"'),
        (body(phase="Failed", reason="Evicted", message="low on disk"), Reason.POD_FAILED, "Evicted: low on disk"),
        (
            body(phase="Failed", state={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            Reason.POD_FAILED,
            "exit code 137, OOMKilled",
        ),
    ],
    ids=lambda value: value if isinstance(value, Reason) else "",
)
def test_trouble_is_told_in_words(pod: Body, reason: Reason, words: str) -> None:
    trouble = read_pod(pod).trouble

    assert trouble is not None
    assert trouble.reason is reason
    assert words in trouble.message


@pytest.mark.parametrize(
    ("state", "last"),
    [
        pytest.param({"running": {}}, CRASH | {"restartCount": 1}, id="it crashed once"),
        pytest.param({"running": {}}, CRASH | {"started": True}, id="it came up since"),
        pytest.param(waiting("PodInitializing"), CRASH, id="it waits, and not for its next try"),
    ],
)
def test_a_container_that_may_be_well_crashes_no_more(state: Body, last: Body) -> None:
    assert read_pod(body(state=state, phase="Running", last=last)).trouble is None


@pytest.mark.parametrize(
    ("last_words", "told"),
    [
        ("voicefleet-worker: pool.json: plugin google is not in this image\n", True),
        ("plugin google is not in this image", False),
    ],
    ids=["ours", "of whoever else"],
)
def test_a_worker_that_cannot_start_is_quoted(last_words: str, told: bool) -> None:
    ended = {"exitCode": 2, "reason": "Error", "message": last_words}
    pod = body(state=waiting("CrashLoopBackOff"), phase="Running", last=CRASH | {"lastState": {"terminated": ended}})
    trouble = read_pod(pod).trouble
    said = ", saying 'pool.json: plugin google is not in this image'" if told else ""

    assert trouble is not None
    assert trouble.message == (
        f"a worker crashes again and again (exit code 2, Error){said}: "
        "see `kubectl logs -n voice desk-rev-0 --previous`."
    )


def test_a_container_on_its_next_try_may_hold_calls_for_all_we_know() -> None:
    pod = read_pod(body(state={"running": {}}, phase="Running", last=CRASH))

    assert not pod.stuck
    assert not Worker(pod).may_be_deleted(NOW)


@pytest.mark.parametrize("state", [{"running": {}}, waiting("ContainerCreating"), {}])
def test_doubt_about_a_pod_keeps_it(state: Body) -> None:
    assert not Worker(read_pod(body(state=state, phase="Pending"))).may_be_deleted(NOW)


def kept(cache: Cache, read: Body, version: int) -> Body:
    """Let the cache take in a pod, and return it as the cache has it."""
    cache.observe(PODS, {**read, "metadata": {**read["metadata"], "resourceVersion": str(version)}})
    (found,) = list(cache.pods)
    return found


def test_a_pod_that_did_not_change_is_read_once_and_one_that_did_is_read_anew() -> None:
    cache = Cache()
    before = kept(cache, body(phase="Pending"), 1)

    assert read_pod(before) is read_pod(before)
    assert read_pod(kept(cache, body(phase="Running"), 2)).phase == "Running"


def test_what_the_kubelet_complains_of_is_not_remembered_for_longer_than_it_complains() -> None:
    pod = kept(Cache(), body(state=waiting("ContainerCreating")), 1)

    assert read_pod(pod, 'MountVolume.SetUp failed for volume "secret-0" : secret "livekit" not found').trouble
    assert read_pod(pod).trouble is None


def test_what_was_written_on_a_pod_is_read_from_it() -> None:
    since = "2026-03-02T12:00:00Z"
    noted = {"end-calls": "true", "resize-refused": "true", "secrets-changed": "monday", "refreshed-at": since}
    written = body()
    written["metadata"]["annotations"] = {f"voicefleet.dev/{name}": word for name, word in noted.items()}
    pod, bare = read_pod(written), read_pod(body())

    assert (pod.ends_calls, pod.resize_refused, pod.secrets_changed) == (True, True, "monday")
    assert pod.refreshed_at == NOW
    assert (bare.ends_calls, bare.resize_refused, bare.secrets_changed, bare.refreshed_at) == (False, False, "", None)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("PodResizePending", "Deferred"), ("PodResizePending", "Infeasible"), ("PodResizeInProgress", "Error")],
)
def test_a_size_that_a_node_still_owes_a_pod_is_read_from_it(kind: str, reason: str) -> None:
    owing = body()
    owed = {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": "2026-03-02T12:00:00Z"}
    owing["status"].setdefault("conditions", []).append(owed)
    pod = read_pod(owing)

    # Another size that is asked for may be given.
    assert (pod.resizing_since, pod.resize_refused) == (NOW, False)
    assert read_pod(body()).resizing_since is None


@pytest.mark.parametrize(("observed", "is_owed"), [(2, False), (3, True)])
def test_what_a_node_said_of_an_earlier_size_counts_no_more(observed: int, is_owed: bool) -> None:
    asked_again = body()
    asked_again["metadata"]["generation"] = 3
    since = "2026-03-02T12:00:00Z"
    owed = {"type": "PodResizePending", "status": "True", "reason": "Deferred", "lastTransitionTime": since}
    asked_again["status"].setdefault("conditions", []).append({**owed, "observedGeneration": observed})

    assert (read_pod(asked_again).resizing_since is not None) is is_owed


@pytest.mark.parametrize("nonsense", ["", "yesterday", "2026-03-02", "2026-03-02T12:00:00"])
def test_a_moment_that_somebody_else_wrote_on_a_pod_does_not_keep_its_fleet_from_being_read(nonsense: str) -> None:
    written = body()
    written["metadata"]["annotations"] = dict.fromkeys((ANNOTATION_CORDONED_AT, ANNOTATION_REFRESHED_AT), nonsense)
    pod = read_pod(written)

    assert (pod.cordoned_at, pod.refreshed_at) == (None, None)
