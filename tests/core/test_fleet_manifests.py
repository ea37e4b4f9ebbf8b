"""What a VoiceAgent becomes in the cluster."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.manifests.children import build_children, build_config_map, build_control_secret, control_token
from voicefleet.manifests.pod import build_pod, plan_pods
from voicefleet.manifests.secrets import secrets_of_worker

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"
GOLDEN = Path(__file__).parent / "golden" / "fleet.yaml"
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
    return plan_pods(of, on or pool(), default_image=image).revision


def test_the_sample_becomes_these_objects() -> None:
    """The golden file is the pod that people see; rewrite it with `python -m tests.core.test_fleet_manifests`."""
    assert yaml.safe_load(GOLDEN.read_text()) == render()


def render() -> list[dict[str, Any]]:
    one = agent()
    pods = plan_pods(one, pool(), default_image=IMAGE)
    children = [child for child in build_children(one, pool()) if child["kind"] != "ConfigMap"]
    return [*children, build_pod(one, pods, 0)]


@pytest.mark.parametrize("name", ["voiceagent", "voiceagent-complete", "voiceagent-realtime"])
def test_the_worker_reads_back_the_spec_that_was_written(name: str) -> None:
    data = build_config_map(agent(name), pool("providerpool-complete"))["data"]

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
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_size_touches_no_worker(change: dict[str, Any]) -> None:
    assert revision(agent(**change)) == revision(agent())


@pytest.mark.parametrize(
    "change",
    [
        {"agents": [{"name": "front-desk", "instructions": "Say nothing."}]},
        {"languages": ["de"]},
        {"worker": {"resources": {"cpu": 2}}},
        {"worker": {"podTemplate": {"labels": {"team": "a"}}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_what_workers_do_makes_a_new_revision(change: dict[str, Any]) -> None:
    assert revision(agent(**change)) != revision(agent())


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
    pods = plan_pods(agent(worker={"podTemplate": mine}), pool(), default_image=IMAGE)

    env = pods.spec["containers"][0]["env"]
    assert [variable["name"] for variable in env] == ["A", "VOICEFLEET_REVISION", "VOICEFLEET_POD_UID"]
    assert "forged" not in json.dumps(env)


def test_a_pod_is_told_who_it_is() -> None:
    pods = plan_pods(agent(), pool(), default_image=IMAGE)

    told = {"name": "VOICEFLEET_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    assert told in pods.spec["containers"][0]["env"]


def test_the_token_follows_from_key_and_name() -> None:
    key = b"k" * 32

    token = build_control_secret(agent(), key)["stringData"]["token"]

    assert token == control_token(key, "voice", "receptionist")
    assert token != control_token(key, "voice", "other")
    assert token != control_token(b"j" * 32, "voice", "receptionist")


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(yaml.safe_dump(render(), sort_keys=False))
