"""What a real kubelet says about a worker that cannot start, and what the VoiceAgent says about that."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.operating import ROOT, Fleet, OperatorProcess, fleet_of, install_rights

SAMPLES = ROOT / "manifests" / "samples"
SECRETS = {
    "livekit": ("api-key", "api-secret"),
    "deepgram": ("api-key",),
    "openai": ("api-key",),
    "cartesia": ("api-key",),
}


@pytest.fixture
def fleet(real_node_bench: Bench, namespace: str, tmp_path: Path) -> Iterator[Fleet]:
    """The sample's fleet on the real node, without any of its Secrets."""
    bench = real_node_bench
    install_rights(bench, namespace, f"watchNamespaces={{{namespace}}}")
    process = OperatorProcess(bench, namespace, log=tmp_path / "operator.log", works_in=(namespace,))
    process.start()
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
    process.stop()


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
