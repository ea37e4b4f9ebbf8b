"""Who is heard as soon as its pod says so."""

import pytest

from tests.operator.fakes import FakeCluster, FakeWorkers, build_ports, resource
from tests.support.manifests import minimal
from voicefleet_operator.apiserver.kube import VOICE_AGENTS, Body
from voicefleet_operator.handlers.observing_pods import follow_workers, hear_pod
from voicefleet_operator.ports import Ports
from voicefleet_operator.turns.workqueue import Key

DESK = Key("VoiceAgent", "voice", "desk")
UP = {"phase": "Running", "podIP": "10.0.0.1"}


@pytest.fixture
def outside() -> tuple[Ports, FakeCluster, FakeWorkers]:
    ports, cluster, workers = build_ports()
    cluster.put(VOICE_AGENTS, resource({**minimal("VoiceAgent"), "metadata": {"name": "desk", "namespace": "voice"}}))
    return ports, cluster, workers


def pod(*, owner: str = "uid-desk", **status: str) -> Body:
    metadata = {"name": "desk-r-0", "namespace": "voice", "uid": "pod", "labels": {"voicefleet.dev/agent": "desk"}}
    owners = [{"kind": "VoiceAgent", "name": "desk", "uid": owner}]
    return {"metadata": {**metadata, "ownerReferences": owners, "resourceVersion": "9"}, "spec": {}, "status": status}


def test_a_pod_that_comes_up_is_heard_by_the_address_that_its_turn_would_take(
    outside: tuple[Ports, FakeCluster, FakeWorkers],
) -> None:
    ports, _, workers = outside

    hear_pod(ports, DESK, pod(**UP))

    at_once = dict(workers.followed[DESK])
    ports.cache.pods.put(pod(**UP))
    follow_workers(ports, DESK)
    assert at_once == workers.followed[DESK] != {}


@pytest.mark.parametrize(
    ("key", "body"),
    [
        pytest.param(DESK, pod(phase="Pending"), id="has no address yet"),
        pytest.param(DESK, pod(owner="uid-of-another-desk", **UP), id="belongs to a namesake that is gone"),
        pytest.param(Key("VoiceAgent", "voice", "nobody"), pod(**UP), id="belongs to nobody"),
    ],
)
def test_a_pod_is_not_heard_that(key: Key, body: Body, outside: tuple[Ports, FakeCluster, FakeWorkers]) -> None:
    ports, _, workers = outside

    hear_pod(ports, key, body)

    assert workers.followed == {}
