"""The generated files of the Helm chart, and the manifest for people without Helm.

`python -m tools.chart` writes manifests/install/voicefleet.yaml with the bench's Helm; with --check it lints the chart
and compares.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from e2e.bench.build import find_binary
from tools.writing import HEADER, ROOT, settle, to_yaml
from voicefleet.api.crd import build_crd
from voicefleet.api.kinds import KINDS

CHART = ROOT / "charts" / "voicefleet"
INSTALL = ROOT / "manifests" / "install" / "voicefleet.yaml"
INSTALL_NAMESPACE = "voicefleet-system"
VALUES = (
    (),
    ("replicas=1", "metrics.service=false", "crds.install=false"),
    ("watchNamespaces={voice,staging}", "imagePullSecrets={registry}", "priorityClassName=system-cluster-critical"),
)
_HEAD = f"""\
# Rendered from charts/voicefleet by `make gen`. Do not edit.
# kubectl apply --server-side -f voicefleet.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: {INSTALL_NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


def generated_chart_files() -> Iterator[tuple[Path, str]]:
    """Yield each generated file of the chart with its content."""
    for kind in KINDS.values():
        crd = build_crd(kind)
        # Deleting a CRD deletes every object of it, and with the VoiceAgents their live calls.
        crd["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
        yield CHART / "files" / "crds" / f"voicefleet.dev_{kind.INFO.plural}.yaml", HEADER + to_yaml(crd)


def render_install(helm: Path) -> str:
    """Return the manifest that installs everything with kubectl alone."""
    command = [str(helm), "template", "voicefleet", str(CHART), "--namespace", INSTALL_NAMESPACE]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    # Without Helm there is nobody whom these would tell anything.
    foreign = (
        "    app.kubernetes.io/managed-by: Helm",
        "    helm.sh/chart:",
        "        app.kubernetes.io/managed-by: Helm",
        "        helm.sh/chart:",
    )
    lines = [line.rstrip() for line in rendered.splitlines() if not line.startswith((*foreign, "# Source:"))]
    return _HEAD + "\n".join(lines) + "\n"


def lint(helm: Path) -> int:
    """Let Helm look at the chart with values that people use; return the exit code."""
    for values in VALUES:
        command = [str(helm), "lint", "--strict", "--quiet", str(CHART), *(f"--set={value}" for value in values)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        print(f"helm lint {' '.join(values) or 'with its own values'}: {'ok' if done.returncode == 0 else 'wrong'}")
        if done.returncode != 0:
            print(done.stdout + done.stderr)
            return 1
    return 0


def main() -> int:
    """Write the manifest, or with --check lint the chart and compare; return the exit code."""
    helm = find_binary("helm")
    check = "--check" in sys.argv
    if check and lint(helm):
        return 1
    return settle([(INSTALL, render_install(helm))], check=check)


if __name__ == "__main__":
    sys.exit(main())
