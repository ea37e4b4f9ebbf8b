"""What the operator is started with: flags, and what the pod it runs in says about itself."""

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicefleet_operator.errors import ConfigError

LOG_LEVELS = ("debug", "info", "warning", "error")
REPAIR_SECONDS = 600.0
_DEFAULT_KEY_SECRET = "voicefleet-control-key"
_LEASE = "voicefleet-operator"
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_EPILOG = """\
examples:
  voicefleet-operator --all-namespaces --worker-image registry.example.com/voicefleet-worker:0.1.0
  voicefleet-operator --namespace voice --namespace staging --kubeconfig ~/.kube/config \\
      --own-namespace voice --worker-image worker:dev
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a running operator goes by."""

    namespaces: tuple[str, ...]
    """Namespaces to work in; none means all of them."""
    own_namespace: str
    identity: str
    worker_image: str
    kubeconfig: str | None
    control_key_file: Path | None
    control_key_secret: str
    lease: str
    http_host: str
    http_port: int
    log_level: str
    repair_seconds: float = REPAIR_SECONDS
    probes: bool = True
    """Whether this process asks providers whether they are there."""
    watch_nodes: bool = True
    """Whether it may see nodes, so that workers are replaced before a node that is drained evicts them."""
    watch_secrets: bool = False
    """Whether it may see when Secrets are written, so that workers have a changed one within seconds."""


def parse_arguments(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> Settings:
    """Return the settings; what cannot work is refused here."""
    options = _parser().parse_args(arguments)
    if not options.worker_image:
        raise ConfigError("--worker-image is empty: name the image that workers run unless their spec says otherwise")
    return Settings(
        namespaces=() if options.all_namespaces else tuple(sorted(set(options.namespace))),
        own_namespace=options.own_namespace or environment.get("POD_NAMESPACE") or _mounted_namespace(),
        identity=_identity(environment),
        worker_image=options.worker_image,
        kubeconfig=options.kubeconfig or environment.get("KUBECONFIG"),
        control_key_file=options.control_key_file,
        control_key_secret=options.control_key_secret,
        lease=_LEASE,
        http_host=options.http_host,
        http_port=options.http_port,
        log_level=options.log_level,
        repair_seconds=options.repair_seconds,
        probes=not options.no_probes,
        watch_nodes=not options.no_node_watch,
        watch_secrets=options.watch_secrets,
    )


def _identity(environment: Mapping[str, str]) -> str:
    """Return a name that no other process has, which begins with a place where only one runs at a time.

    A container starts in its pod anew only when the one before has ended. Outside of a pod nobody vouches for that, and
    each process is in a place of its own.
    """
    host = environment.get("POD_NAME") or socket.gethostname()
    return "_".join((host, environment.get("POD_UID") or _nonce(), _nonce()))


def _nonce() -> str:
    return os.urandom(4).hex()


def _mounted_namespace() -> str:
    try:
        return _NAMESPACE_FILE.read_text().strip()
    except OSError:
        raise ConfigError(
            "--own-namespace is missing: outside of a cluster, say where the Lease and the key are kept"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="voicefleet-operator",
        description="Runs fleets of LiveKit voice agents: VoiceAgents and ProviderPools become workers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    scope = parser.add_mutually_exclusive_group(required=True)
    scope.add_argument("--all-namespaces", action="store_true", help="work in every namespace (needs a ClusterRole)")
    scope.add_argument(
        "--namespace", action="append", default=[], metavar="NS", help="work in this namespace only; may be repeated"
    )
    parser.add_argument("--worker-image", required=True, metavar="IMAGE", help="image of workers whose spec names none")
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="how to reach the cluster ($KUBECONFIG; default: as a pod of it)"
    )
    parser.add_argument(
        "--own-namespace",
        metavar="NS",
        help="where the Lease and the key are kept ($POD_NAMESPACE; default: the pod's)",
    )
    key = parser.add_mutually_exclusive_group()
    key.add_argument(
        "--control-key-file", type=Path, metavar="FILE", help="key for the workers' control ports, 32 bytes or more"
    )
    key.add_argument(
        "--control-key-secret",
        default=_DEFAULT_KEY_SECRET,
        metavar="NAME",
        help="Secret with that key, made if there is none (default: %(default)s)",
    )
    _add_running(parser)
    return parser


def _add_running(parser: argparse.ArgumentParser) -> None:
    """Add what concerns a running operator rather than its place in the cluster."""
    parser.add_argument("--http-host", default="0.0.0.0", metavar="ADDRESS", help="where to serve (default: all)")  # noqa: S104 - a pod's port
    parser.add_argument(
        "--http-port", type=int, default=8080, metavar="PORT", help="/livez, /readyz, /metrics (default: %(default)s)"
    )
    parser.add_argument(
        "--repair-seconds",
        type=float,
        default=REPAIR_SECONDS,
        metavar="SECONDS",
        help="how often what stands beside the pods is read and put right (default: %(default)g)",
    )
    parser.add_argument(
        "--no-probes", action="store_true", help="ask no provider whether it is there, whatever pools say"
    )
    parser.add_argument(
        "--no-node-watch",
        action="store_true",
        help="do without the right to see nodes: that one is drained is then noticed by its evictions",
    )
    parser.add_argument(
        "--watch-secrets",
        action="store_true",
        help="see when Secrets are written, so that workers have a changed one within seconds; takes a right to them",
    )
    parser.add_argument(
        "--log-level", choices=LOG_LEVELS, default="info", help="how much to log (default: %(default)s)"
    )
