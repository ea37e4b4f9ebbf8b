"""A lookout's pod is a worker's in everything that concerns safety, and in hardly anything that costs."""

from typing import Any

from tests.support.manifests import minimal, sample
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.manifests.lookout import build_lookout
from voicefleet.manifests.revision import build_pod, render_revision
from voicefleet.names import ANNOTATION_LIVEKIT

CLAIM = {"recording": {"enabled": True, "store": {"claimName": "files"}}}


def pods(*, livekit: dict[str, Any] | None = None, **spec: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a worker and a lookout of one revision."""
    manifest, pool = minimal("VoiceAgent"), sample("providerpool")
    pool["spec"]["livekit"] |= livekit or {}
    manifest["metadata"] |= {"name": "desk", "namespace": "voice", "uid": "1"}
    agent = VoiceAgent.model_validate({**manifest, "spec": {**manifest["spec"], **spec}})
    revision = render_revision(agent, ProviderPool.model_validate(pool), default_image="w")
    return build_pod(agent, revision, 0, control_key_id="k"), build_lookout(agent, revision, control_key_id="k")


def test_a_lookout_differs_from_a_worker_by_name_size_and_order_alone() -> None:
    worker, lookout = pods()
    ours, theirs = lookout["spec"]["containers"][0], worker["spec"]["containers"][0]

    assert lookout["metadata"] == {**worker["metadata"], "name": "desk-lookout"}
    assert ours == {**theirs, "args": ours["args"], "resources": ours["resources"]}
    assert lookout["spec"] == {
        **worker["spec"],
        "containers": [ours],
        "terminationGracePeriodSeconds": 5,
    }


def test_a_lookout_is_told_so_by_a_flag_which_older_workers_refuse() -> None:
    worker, lookout = pods()

    assert lookout["spec"]["containers"][0]["args"] == ["--lookout"]
    assert "args" not in worker["spec"]["containers"][0]


def test_pods_are_told_apart_by_their_livekit() -> None:
    worker, lookout = pods()
    elsewhere, _ = pods(livekit={"url": "wss://elsewhere.example.com"})

    def stamp(pod: dict[str, Any]) -> str:
        return str(pod["metadata"]["annotations"][ANNOTATION_LIVEKIT])

    assert stamp(worker) == stamp(lookout) != stamp(elsewhere)


def test_a_lookout_asks_for_no_disk_that_only_one_node_has() -> None:
    worker, lookout = pods(**CLAIM)

    def claims(pod: dict[str, Any]) -> list[str]:
        return [each["name"] for each in pod["spec"]["volumes"] if "persistentVolumeClaim" in each]

    mounts = {mount["name"] for mount in lookout["spec"]["containers"][0]["volumeMounts"]}
    assert claims(worker)
    assert not claims(lookout)
    assert not mounts & set(claims(worker))
    assert mounts == {volume["name"] for volume in lookout["spec"]["volumes"]}
