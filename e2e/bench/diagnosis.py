"""What to look at after a failed test: a namespace's objects, events and pod logs, and the parts' last words.

Secrets are left out; a report ends up in places that must not hold them.
"""

from collections.abc import Iterator

from e2e.bench.bench import Bench
from e2e.bench.process import tail

_KINDS = (
    "pods,deployments,replicasets,jobs,services,configmaps,serviceaccounts,roles,rolebindings,"
    "poddisruptionbudgets,persistentvolumeclaims,leases"
)
_MOST_CHARACTERS = 30_000
_MOST_PODS = 20
_LOG_LINES = 60


def describe_namespace(bench: Bench, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield titles and texts for a report."""
    yield f"objects in {namespace}", _ask(bench, "get", _kinds(bench), "-n", namespace, "-o", "yaml")
    yield f"events in {namespace}", _ask(bench, "get", "events", "-n", namespace, "--sort-by=.lastTimestamp")
    # A simulated pod has no kubelet to ask.
    real = ("--field-selector", f"spec.nodeName={bench.node.name}") if bench.node else ()
    pods = _ask(bench, "get", "pods", "-n", namespace, "-o", "name", *real).split() if real else []
    for pod in pods[:_MOST_PODS]:
        logs = _ask(bench, "logs", pod, "-n", namespace, "--all-containers", f"--tail={_LOG_LINES}")
        yield f"log of {pod}", logs


def describe_parts(bench: Bench) -> Iterator[tuple[str, str]]:
    """Yield who died, and the end of each part's log."""
    for name, text in bench.deaths().items():
        yield f"{name} died", text
    for path in sorted(bench.logs_dir.glob("*.log")):
        text = tail(path)
        if text:
            yield f"{path.stem} ({path})", text


def _kinds(bench: Bench) -> str:
    ours = _ask(bench, "api-resources", "--api-group=voicefleet.dev", "--namespaced", "-o", "name").split()
    return ",".join((_KINDS, *(kind for kind in ours if kind.endswith(".voicefleet.dev"))))


def _ask(bench: Bench, *arguments: str) -> str:
    done = bench.kubectl(*arguments, check=False, timeout_seconds=20)
    text = done.stdout or done.stderr
    if len(text) > _MOST_CHARACTERS:
        return f"{text[:_MOST_CHARACTERS]}\n… and {len(text) - _MOST_CHARACTERS} more characters"
    return text
