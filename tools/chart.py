"""The generated files of the Helm chart, and the manifest for people without Helm.

`python -m tools.chart HELM` writes manifests/install/voicefleet.yaml with a helm binary.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from voicefleet.api import KINDS
from voicefleet.api.crd import build_crd

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "voicefleet"
INSTALL = ROOT / "manifests" / "install" / "voicefleet.yaml"
INSTALL_NAMESPACE = "voicefleet-system"
_HEAD = f"""\
# Rendered from charts/voicefleet by `python -m tools.chart HELM`. Do not edit.
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
    # Late, since tools.generate imports this module in turn.
    from tools.generate import HEADER, to_yaml  # noqa: PLC0415

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


def main() -> int:
    """Write the manifest; return the exit code."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    INSTALL.parent.mkdir(parents=True, exist_ok=True)
    INSTALL.write_text(render_install(Path(sys.argv[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
