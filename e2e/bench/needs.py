"""What a bench with given options runs, and making sure that all of it is there."""

import os

from e2e.bench.build import build_parts, list_missing
from e2e.bench.options import BenchError, BenchOptions
from e2e.bench.packages import ensure_programs, find_program
from e2e.bench.registry import sweep_dead

STAND_IN_PROGRAMS = ("espeak-ng", "opusenc")
"""What providers, callers and the SIP gateway speak with."""


def needed_parts(options: BenchOptions) -> list[str]:
    """Name the built parts that a bench with these options runs."""
    names = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"]
    names += ["livekit-server"] if options.livekit else []
    names += ["kwok"] if options.kwok_nodes else []
    names += ["kubelet", "probe"] if options.node else []
    return names


def needed_programs(options: BenchOptions) -> list[str]:
    """Name the Debian programs that a bench with these options runs."""
    names = ["openssl"]
    names += ["redis-server"] if options.redis else []
    names += ["postgres"] if options.postgres else []
    names += ["containerd", "runc", "cni-bridge", "ip", "unshare"] if options.node else []
    return names


def list_absent(options: BenchOptions) -> list[str]:
    """Name what `prepare` would have to build or install, which takes longer than a test may."""
    parts = [part.name for part in list_missing(needed_parts(options))]
    return parts + [name for name in needed_programs(options) if find_program(name) is None]


def prepare(options: BenchOptions) -> None:
    """Make sure that everything a bench runs is there, and nothing of a dead one is in its way."""
    if options.node and os.geteuid() != 0:
        raise BenchError("a real node needs root: containerd and kubelet make namespaces, mounts and cgroups")
    ensure_programs(needed_programs(options))
    missing = list_missing(needed_parts(options))
    if missing:
        build_parts(missing)
    sweep_dead()
