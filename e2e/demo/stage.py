"""Setting the stage: control plane and node, images, stand-ins, the operator by its chart, secrets and samples."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.bench import Bench, BenchOptions
from e2e.demo.telling import step
from e2e.images import Image, build_image
from e2e.providers import Providers, start_providers

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "manifests" / "samples"
SYSTEM_NAMESPACE = "voicefleet-system"
NAMESPACE = "demo"
AGENT = "receptionist"
REAL_NODE = {"voicefleet.dev/node": "real"}
# The bench's node is as small as the machine; the default worker wants 4 cores and 8 GiB.
WORKER_SIZE = {"cpu": "500m", "memory": "2Gi", "ephemeralStorage": "1Gi"}


@dataclass(frozen=True, slots=True)
class Stage:
    """All that a scene needs."""

    bench: Bench
    providers: Providers

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Ask as the demo's user does."""
        return self.bench.kubectl("-n", NAMESPACE, *words, stdin=stdin).stdout


@contextmanager
def set_stage(*, name: str | None) -> Iterator[Stage]:
    """Bring everything up, and take it down at the end."""
    with step("images of operator and worker, from the Dockerfiles"):
        operator, worker = build_image("operator"), build_image("worker")
    with ExitStack() as stack:
        with step("control plane, node, LiveKit and Redis"):
            bench = stack.enter_context(Bench.up(BenchOptions(node=True, kwok_nodes=0, name=name)))
        node = bench.node
        assert node is not None
        with step("images onto the node"):
            for image in (operator, worker):
                node.import_image(image.archive)
        with step("stand-ins for Deepgram, OpenAI and Cartesia"):
            providers = stack.enter_context(start_providers(host=node.host_address, advertise=node.host_address))
        with step("operator, by its Helm chart, with the rights of its own ServiceAccount"):
            _install_operator(bench, operator, worker)
        stage = Stage(bench, providers)
        with step("secrets, and the sample ProviderPool and VoiceAgent"):
            _apply_samples(stage)
        # Kubelet, containers and mounts go one after the other: a second Ctrl-C would leave half of them.
        stack.callback(print, "▸ taking everything down, which takes half a minute …", flush=True)
        yield stage


def _install_operator(bench: Bench, operator: Image, worker: Image) -> None:
    values = {
        "image": {**_named(operator), "pullPolicy": "Never"},
        "worker": {"image": _named(worker)},
        "replicas": 1,
        "nodeSelector": REAL_NODE,
    }
    install = ("upgrade", "--install", "voicefleet", str(ROOT / "charts" / "voicefleet"), "--values", "-")
    bench.helm(*install, "--namespace", SYSTEM_NAMESPACE, "--create-namespace", stdin=yaml.safe_dump(values))
    bench.kubectl("-n", SYSTEM_NAMESPACE, "rollout", "status", "deployment/voicefleet", "--timeout=90s")


def _named(image: Image) -> dict[str, str]:
    repository, _, tag = image.name.rpartition(":")
    return {"repository": repository, "tag": tag}


def _apply_samples(stage: Stage) -> None:
    livekit = stage.bench.livekit
    stage.bench.kubectl("create", "namespace", NAMESPACE)
    keys = {"livekit": {"api-key": livekit.api_key, "api-secret": livekit.api_secret}}
    keys |= {name: {"api-key": f"{name}-key-of-the-demo"} for name in ("deepgram", "openai", "cartesia")}
    for name, data in keys.items():
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
        stage.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(secret))
    for manifest in (_pool(stage), _agent()):
        stage.kubectl("apply", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(manifest))


def _pool(stage: Stage) -> dict[str, Any]:
    """Take the sample as it is, and send its providers to the stand-ins."""
    pool = _sample("providerpool.yaml")
    pool["spec"]["livekit"]["url"] = stage.bench.livekit.ws_url
    urls = {
        "deepgram": stage.providers.deepgram_listen_url,
        "openai": stage.providers.openai_url,
        "cartesia": stage.providers.cartesia_url,
    }
    for provider in pool["spec"]["providers"]:
        provider["baseUrl"] = urls[provider["name"]]
    return pool


def _agent() -> dict[str, Any]:
    """Take the sample as it is, in a size that fits the node."""
    agent = _sample("voiceagent.yaml")
    agent["spec"]["worker"] |= {
        "resources": WORKER_SIZE,
        "imagePullPolicy": "Never",
        "podTemplate": {"nodeSelector": REAL_NODE},
    }
    return agent


def _sample(name: str) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load((SAMPLES / name).read_text())
    return manifest
