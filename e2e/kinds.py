"""Teaching a bench our three kinds."""

from e2e.bench import Bench
from tools.writing import ROOT

CRDS = str(ROOT / "crds")


def install_crds(bench: Bench) -> None:
    """Apply the CRDs and wait until they are served."""
    # Too large for the annotation of a client-side apply; and another test may have applied them by other means.
    bench.kubectl("apply", "--server-side", "--force-conflicts", "-f", CRDS)
    bench.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", CRDS)
