"""Installing: the chart on a real control plane, the rendered manifest, and an operator of one namespace."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.operating import (
    CHART,
    ROOT,
    SERVICE_ACCOUNT,
    OperatorProcess,
    confined_operator,
    fleet_of,
    holds_for,
    install_rights,
)
from tools.chart import INSTALL_NAMESPACE, render_install

SAMPLES = ROOT / "manifests" / "samples"
NO_CRDS = "--set=crds.install=false"


def render(bench: Bench, *values: str) -> list[dict[str, Any]]:
    text = bench.helm("template", "voicefleet", str(CHART), "-n", "op", *(f"--set={value}" for value in values)).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def test_the_chart_installs_upgrades_and_leaves(bench: Bench, namespace: str) -> None:
    install_rights(bench, namespace)
    bench.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    release = ("voicefleet", str(CHART), "-n", namespace, NO_CRDS)
    for kind in ("serviceaccount", "role", "rolebinding"):
        bench.kubectl("delete", kind, "--all", "-n", namespace)
    for kind in ("clusterrole", "clusterrolebinding"):
        bench.kubectl("delete", kind, f"{namespace}-voicefleet")
    bench.kubectl("delete", "flowschema", f"{namespace}-voicefleet-election")

    bench.helm("install", *release)
    bench.kubectl("rollout", "status", "deployment/voicefleet", "-n", namespace, "--timeout=30s")
    bench.helm("upgrade", *release, "--set", "logLevel=debug")
    deployment = json.loads(bench.kubectl("get", "deployment/voicefleet", "-n", namespace, "-o", "json").stdout)
    assert "--log-level=debug" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]

    bench.helm("uninstall", "voicefleet", "-n", namespace)

    assert "voiceagents.voicefleet.dev" in bench.kubectl("get", "crd", "-o", "name").stdout


def test_crds_outlive_the_release(bench: Bench) -> None:
    crds = [document for document in render(bench) if document["kind"] == "CustomResourceDefinition"]

    assert len(crds) == 3
    assert all(crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for crd in crds)
    assert not any(document["kind"] == "CustomResourceDefinition" for document in render(bench, "crds.install=false"))


def test_rendering_twice_gives_the_same(bench: Bench) -> None:
    assert render(bench) == render(bench)


@pytest.mark.parametrize(
    "value", ["replicas=-1", "logLevel=loud", "nonsense=1", "watchNamespaces={Big}", "image.repository="]
)
def test_a_value_that_cannot_work_is_refused(bench: Bench, value: str) -> None:
    done = bench.helm("template", "voicefleet", str(CHART), f"--set={value}", check=False)

    assert done.returncode != 0
    assert value.split("=", maxsplit=1)[0].rsplit(".", maxsplit=1)[-1] in done.stderr


def test_a_digest_wins_over_a_tag(bench: Bench) -> None:
    digest = f"sha256:{'0' * 64}"
    documents = render(bench, f"image.digest={digest}", "image.tag=v1", f"worker.image.digest={digest}")

    (deployment,) = [document for document in documents if document["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"voicefleet-operator@{digest}"
    assert f"--worker-image=voicefleet-worker@{digest}" in container["args"]


def test_the_install_manifest_is_the_charts(bench: Bench) -> None:
    committed = (ROOT / "manifests" / "install" / "voicefleet.yaml").read_text()

    assert committed == render_install(bench.binary("helm")), "run `make gen`"


def test_the_install_manifest_is_accepted(bench: Bench) -> None:
    bench.kubectl("create", "namespace", INSTALL_NAMESPACE, check=False)
    path = str(ROOT / "manifests" / "install" / "voicefleet.yaml")

    bench.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", path)


@pytest.fixture
def confined(bench: Bench, namespace: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that may work in one namespace, its own."""
    with confined_operator(bench, namespace, tmp_path / "operator.log") as process:
        yield process


def test_an_operator_of_one_namespace_needs_no_cluster_role(
    bench: Bench, confined: OperatorProcess, namespace: str
) -> None:
    wait_for(confined.leads, "it to lead")
    who = f"--as=system:serviceaccount:{namespace}:{SERVICE_ACCOUNT}"
    assert bench.kubectl("auth", "can-i", "list", "voiceagents", "-A", who, check=False).stdout.strip() == "no"

    bench.kubectl("apply", "-n", namespace, "-f", str(SAMPLES / "providerpool.yaml"))
    bench.kubectl("apply", "-n", namespace, "-f", str(SAMPLES / "voiceagent.yaml"))

    with fleet_of(bench, namespace, "receptionist") as fleet:
        fleet.wait_for(1)
        fleet.serve()
        wait_for(lambda: fleet.says("Ready") == "True Ready", "a ready fleet")
        assert holds_for(lambda: confined.get("/livez").startswith("ok\n"), 1)


def test_without_the_crds_or_the_rights_it_says_so_in_one_line(bench: Bench, namespace: str, tmp_path: Path) -> None:
    bench.kubectl("create", "serviceaccount", SERVICE_ACCOUNT, "-n", namespace)
    process = OperatorProcess(bench, namespace, log=tmp_path / "operator.log")

    assert process.run_until_it_ends() == 2
    (line,) = process.log.read_text().splitlines()
    assert line.startswith(
        f"voicefleet-operator: the Secret {namespace}/voicefleet-control-key with the control key: 403"
    )
