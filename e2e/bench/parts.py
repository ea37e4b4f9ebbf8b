"""The parts of a bench and their versions: the only place where one is written.

The modules under `parts/` pin the same versions for the Go tool, with every dependency's checksum.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from e2e.bench.paths import PARTS_DIRECTORY, REPOSITORY, cache_directory

ETCD = "3.6.5"
KUBERNETES = "1.35.4"
LIVEKIT = "1.11.0"
KWOK = "0.8.0"
HELM = "4.3.1"
VERSITYGW = "1.8.0"

_MAJOR, _MINOR, _ = KUBERNETES.split(".")
# Without these a server built outside its own repository says it is v0.0.0, and clients believe it.
_VERSION_PACKAGE = "k8s.io/component-base/version"
_KUBERNETES_LDFLAGS = " ".join(
    f"-X {_VERSION_PACKAGE}.{key}={value}"
    for key, value in (
        ("gitVersion", f"v{KUBERNETES}"),
        ("gitMajor", _MAJOR),
        ("gitMinor", _MINOR),
    )
)


@dataclass(frozen=True, slots=True)
class Part:
    """One Go program, and how it comes to be."""

    name: str
    """The binary's name."""
    package: str
    """What is built: an import path, or `.`."""
    folder: str = ""
    """Groups binaries of one version in the cache; the name when empty."""
    pinned: str = ""
    """The version, without a `v`; a local module's is made of its content."""
    module: Path | None = None
    """Where `go build` runs; None means `go install package@version`."""
    ldflags: str = ""

    @property
    def version(self) -> str:
        if self.pinned:
            return self.pinned
        assert self.module is not None
        return _content_version(self.module)

    @property
    def binary(self) -> Path:
        """Where the built program is, or will be."""
        return cache_directory() / f"{self.folder or self.name}-{self.version}" / self.name

    @property
    def exists_in_repository(self) -> bool:
        """False for a local module that nobody has written yet."""
        return self.module is None or (self.module / "go.mod").is_file()


def _content_version(module: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(module.rglob("*")):
        is_source = path.suffix == ".go" and not path.name.endswith("_test.go")
        if not is_source and path.name not in {"go.mod", "go.sum"}:
            continue
        digest.update(f"{path.relative_to(module)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


def _kubernetes(command: str) -> Part:
    return Part(
        name=command,
        package=f"k8s.io/kubernetes/cmd/{command}",
        folder="kubernetes",
        pinned=KUBERNETES,
        module=PARTS_DIRECTORY / "kubernetes",
        ldflags=_KUBERNETES_LDFLAGS,
    )


PARTS: tuple[Part, ...] = (
    Part("etcd", ".", pinned=ETCD, module=PARTS_DIRECTORY / "etcd"),
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubectl"),
    Part(
        "livekit-server",
        "github.com/livekit/livekit-server/cmd/server",
        folder="livekit",
        pinned=LIVEKIT,
        module=PARTS_DIRECTORY / "livekit",
    ),
    Part("kwok", "sigs.k8s.io/kwok/cmd/kwok", pinned=KWOK),
    _kubernetes("kubelet"),
    Part("helm", "helm.sh/helm/v4/cmd/helm", pinned=HELM),
    Part("versitygw", "github.com/versity/versitygw/cmd/versitygw", pinned=VERSITYGW),
    Part("fake-gcs", ".", module=PARTS_DIRECTORY / "fake-gcs"),
    Part("probe", ".", module=PARTS_DIRECTORY / "probe"),
    Part("sip-gateway", ".", module=REPOSITORY / "e2e" / "sip_gateway"),
)


@dataclass(frozen=True, slots=True)
class DebianProgram:
    """A program that the distribution has; any copy on PATH will do."""

    name: str
    package: str
    elsewhere: str = ""
    """A glob for programs that Debian keeps off PATH."""


DEBIAN_PROGRAMS: tuple[DebianProgram, ...] = (
    DebianProgram("openssl", "openssl"),
    DebianProgram("redis-server", "redis-server"),
    DebianProgram("postgres", "postgresql", "/usr/lib/postgresql/*/bin/postgres"),
    DebianProgram("containerd", "containerd"),
    DebianProgram("runc", "runc"),
    DebianProgram("cni-bridge", "containernetworking-plugins", "/usr/lib/cni/bridge"),
    DebianProgram("ip", "iproute2"),
    DebianProgram("unshare", "util-linux"),
    DebianProgram("espeak-ng", "espeak-ng"),
    DebianProgram("opusenc", "opus-tools"),
)
