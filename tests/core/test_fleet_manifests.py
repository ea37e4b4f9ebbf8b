"""What a VoiceAgent becomes in the cluster."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fleet import mounted_secret
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.fleet.render import Rendered, render_agent
from voicefleet.manifests.children import build_busy_guard, build_control_secret, control_key_id, control_token
from voicefleet.manifests.pod import build_pod_spec
from voicefleet.manifests.revision import Revision, build_config_map, build_pod, read_revision, render_revision
from voicefleet.manifests.secrets import secrets_of_worker

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"
GOLDEN = Path(__file__).parent / "golden" / "fleet.yaml"
KEY_ID = "0123abcd"
IMAGE = "voicefleet-worker:1.2.3"


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text())
    document["metadata"] |= {"namespace": "voice", "uid": "uid-1"}
    return document


def agent(name: str = "voiceagent", **spec: object) -> VoiceAgent:
    document = load(name)
    document["spec"] |= spec
    return VoiceAgent.model_validate(document)


def pool(name: str = "providerpool", **spec: object) -> ProviderPool:
    document = load(name)
    document["spec"] |= spec
    return ProviderPool.model_validate(document)


def revision(of: VoiceAgent, on: ProviderPool | None = None, image: str = IMAGE) -> str:
    return render(of, on, image).name


def render(of: VoiceAgent, on: ProviderPool | None = None, image: str = IMAGE) -> Revision:
    return render_revision(of, on or pool(), default_image=image)


def test_the_sample_becomes_these_objects() -> None:
    """The golden file is the pod that people see; rewrite it with `python -m tests.core.test_fleet_manifests`."""
    assert yaml.safe_load(GOLDEN.read_text()) == draw()


def draw() -> list[dict[str, Any]]:
    one = agent()
    rendered = render_agent(one, pool(), default_image=IMAGE, operator_namespace="operators", control_key_id=KEY_ID)
    assert isinstance(rendered, Rendered)
    children = [child for child in rendered.children if child["kind"] != "ConfigMap"]
    return [*children, build_busy_guard(one.metadata), build_pod(one, rendered.revision, 0, control_key_id=KEY_ID)]


@pytest.mark.parametrize("name", ["voiceagent", "voiceagent-complete", "voiceagent-realtime"])
def test_the_worker_reads_back_the_spec_that_was_written(name: str) -> None:
    one = agent(name)
    data = build_config_map(one, render(one, pool("providerpool-complete")))["data"]

    read = VoiceAgent.model_validate(json.loads(data["agent.json"]))
    assert read.spec.agents == agent(name).spec.agents
    assert read.spec.voice == agent(name).spec.voice
    assert ProviderPool.model_validate(json.loads(data["pool.json"])).spec == pool(
        "providerpool-complete"
    ).spec.model_copy(update={"allowed_namespaces": None})


@pytest.mark.parametrize(
    "change",
    [
        {"scaling": {"min": 7, "max": 9}},
        {"rollout": {"maxSurgePercent": 99}},
        {"suspend": True},
        {"deletionPolicy": "Now"},
        {"worker": {"egress": {"mode": "Unmanaged"}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_size_touches_no_worker(change: dict[str, Any]) -> None:
    # The sample says something about its workers, which a worker of other words would leave out.
    base = {"worker": {}} if "worker" in change else {}
    assert revision(agent(**change)) == revision(agent(**base))


@pytest.mark.parametrize(
    "change",
    [
        {"agents": [{"name": "front-desk", "instructions": "Say nothing."}]},
        {"languages": ["de"]},
        {"worker": {"resources": {"ephemeralStorage": "20Gi"}}},
        {"worker": {"podTemplate": {"labels": {"team": "a"}}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_what_workers_do_makes_a_new_revision(change: dict[str, Any]) -> None:
    assert revision(agent(**change)) != revision(agent())


def test_a_change_of_cores_or_memory_is_made_in_running_pods_and_makes_no_revision() -> None:
    larger = agent(worker={"resources": {"cpu": 2, "memory": "6Gi"}})

    assert revision(larger) == revision(agent(worker={"resources": {"cpu": 4}})) == revision(agent(worker={}))
    assert render(larger).resources == {"cpu": "2", "memory": "6Gi"}


def test_a_revision_can_be_made_again_from_what_was_kept() -> None:
    one = agent("voiceagent-complete")
    rendered = render(one, pool("providerpool-complete"))

    kept = read_revision(rendered.name, build_config_map(one, rendered))

    assert kept == rendered
    assert kept is not None
    assert build_pod(one, kept, 3, control_key_id=KEY_ID) == build_pod(one, rendered, 3, control_key_id=KEY_ID)


@pytest.mark.parametrize("text", ["", "no json", "{}", "[]", "[" * 5_000 + "]" * 5_000])
def test_a_revision_that_somebody_broke_is_no_revision(text: str) -> None:
    assert read_revision("abc", {"data": {"pod.json": text}}) is None


@pytest.mark.parametrize("config_map", [{}, {"data": {}}])
def test_a_revision_of_which_nothing_was_kept_is_no_revision(config_map: dict[str, Any]) -> None:
    assert read_revision("abc", config_map) is None


def test_a_worker_reads_the_files_of_its_own_revision() -> None:
    one = render(agent())

    volume = next(volume for volume in one.spec["volumes"] if volume["name"] == "spec")
    assert volume["configMap"]["name"] == f"receptionist-{one.name}"
    assert {item["key"] for item in volume["configMap"]["items"]} == {"agent.json", "pool.json"}


def test_a_change_of_image_or_pool_makes_a_new_revision() -> None:
    assert revision(agent(), image="other") != revision(agent())
    assert revision(agent(), pool(currency="EUR")) != revision(agent())
    assert revision(agent(), pool(allowedNamespaces={"all": True})) == revision(agent())


def test_a_pod_gets_the_keys_of_its_providers_and_no_others() -> None:
    wanted = {"pipeline": {"llm": {"providers": ["local-llama"], "fallback": False}}}
    one = agent(voice=wanted, providerPoolRef={"name": "full"})

    keys = secrets_of_worker(one, pool("providerpool-complete"))

    # Without a realtime model and with a language model that needs no key, OpenAI's is for its transcription only.
    assert keys == {
        "cartesia": ("api-key",),
        "deepgram": ("api-key",),
        "livekit": ("api-key", "api-secret"),
        "openai": ("api-key",),
        "redis": ("password",),
    }


def test_keys_of_tools_and_look_ups_are_mounted_too() -> None:
    keys = secrets_of_worker(agent("voiceagent-complete"), pool("providerpool-complete"))

    assert keys["crm"] == ("token",)
    assert keys["orders"] == ("token",)
    assert keys["calendar"] == ("api-key",)
    assert "carrier" not in keys


def test_a_variable_of_the_template_cannot_pass_for_our_own() -> None:
    mine = {"env": [{"name": "VOICEFLEET_REVISION", "value": "forged"}, {"name": "A", "value": "b"}]}
    pods = render(agent(worker={"podTemplate": mine}))

    env = pods.spec["containers"][0]["env"]
    assert [variable["name"] for variable in env] == ["A", "VOICEFLEET_REVISION", "VOICEFLEET_POD_UID"]
    assert "forged" not in json.dumps(env)


def test_a_pod_is_told_who_it_is() -> None:
    pods = render(agent())

    told = {"name": "VOICEFLEET_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    assert told in pods.spec["containers"][0]["env"]


def test_the_token_follows_from_key_and_name() -> None:
    key = b"k" * 32

    token = build_control_secret(agent(), key)["stringData"]["token"]

    assert token == control_token(key, "voice", "receptionist")
    assert token != control_token(key, "voice", "other")
    assert token != control_token(b"j" * 32, "voice", "receptionist")


def test_workers_made_under_another_key_mount_another_secret() -> None:
    """An immutable Secret is kept by the kubelet for as long as a pod of its node has it, and so is its old token."""
    keys = (b"k" * 32, b"j" * 32)
    secrets = [build_control_secret(agent(), key)["metadata"]["name"] for key in keys]
    pods = [build_pod(agent(), render(agent()), 0, control_key_id=control_key_id(key)) for key in keys]

    assert secrets[0] != secrets[1]
    assert [mounted_secret(pod, "control") for pod in pods] == secrets
    assert pods[0]["metadata"]["name"] == pods[1]["metadata"]["name"]


def test_instructions_in_a_config_map_are_mounted_and_a_pod_waits_for_them() -> None:
    spec = render(agent("voiceagent-complete")).spec
    (volume,) = [volume for volume in spec["volumes"] if volume["name"].startswith("text-")]
    (mount,) = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]

    items = [{"key": "appointments", "path": "appointments"}]
    assert volume["configMap"] == {"name": "concierge-prompts", "items": items, "optional": False}
    assert (mount["mountPath"], mount["readOnly"]) == ("/etc/voicefleet/texts/concierge-prompts", True)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(yaml.safe_dump(draw(), sort_keys=False))


def test_a_claim_for_recordings_is_mounted_where_the_worker_looks_for_it() -> None:
    kept = {"enabled": True, "store": {"claimName": "recordings"}}
    spec = build_pod_spec(agent(recording=kept), pool(), "image")

    assert {"name": "store-0", "persistentVolumeClaim": {"claimName": "recordings"}} in spec["volumes"]
    (container,) = spec["containers"]
    assert {"name": "store-0", "mountPath": "/var/lib/voicefleet/stores/recordings"} in container["volumeMounts"]


def test_claims_for_transcripts_and_bills_are_mounted_each_once() -> None:
    kept = {"store": {"claimName": "papers"}}
    volumes = build_pod_spec(agent(transcript=kept, billing=kept), pool(), "image")["volumes"]

    assert [each["persistentVolumeClaim"]["claimName"] for each in volumes if "persistentVolumeClaim" in each] == [
        "papers"
    ]


def test_no_claim_is_mounted_for_recordings_that_nobody_makes() -> None:
    kept = {"enabled": False, "store": {"claimName": "recordings"}}

    assert build_pod_spec(agent(recording=kept), pool(), "image") == build_pod_spec(agent(), pool(), "image")


def test_the_credentials_of_a_store_are_mounted() -> None:
    kept = {"objectStore": {"bucket": "calls", "credentials": {"name": "bucket", "key": "credentials"}}}

    assert secrets_of_worker(agent(recording={"enabled": True, "store": kept}), pool())["bucket"] == ("credentials",)
