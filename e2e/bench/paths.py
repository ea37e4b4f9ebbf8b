"""Where things are kept: binaries outlive the work tree, benches live in a run-time directory."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from e2e.bench.options import BenchError

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS_DIRECTORY = Path(__file__).resolve().parent / "parts"


def cache_directory() -> Path:
    """Hold what takes minutes to build, keyed by version, outside any work tree."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "voicefleet" / "bin"


def benches_directory() -> Path:
    """Hold every bench of this user; made on first use.

    Others may traverse it but not list it: Postgres drops to its own user and must reach its data directory.
    """
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    directory = Path(base) / "voicefleet-bench"
    directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    # /tmp is everybody's: a directory that somebody else made could be swapped under us.
    if directory.is_symlink() or directory.stat().st_uid != os.getuid():
        raise BenchError(f"{directory} belongs to another user: set XDG_RUNTIME_DIR to one of yours")
    return directory


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one bench."""

    directory: Path

    @property
    def alive(self) -> Path:
        """Locked by the keeper for as long as it lives; the kernel lets go when it dies, however it dies."""
        return self.directory / "alive"

    @property
    def options(self) -> Path:
        """What the owner asked the keeper for."""
        return self.directory / "options.json"

    @property
    def facts(self) -> Path:
        """What the keeper built; written when the bench is ready."""
        return self.directory / "bench.json"

    @property
    def residue(self) -> Path:
        """What the kernel does not clean up when processes die: interfaces and cgroups."""
        return self.directory / "residue.json"

    @property
    def deaths(self) -> Path:
        """One file per part that died by itself."""
        return self.directory / "died"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def kubeconfigs(self) -> Path:
        return self.directory / "kubeconfigs"

    @property
    def kubeconfig(self) -> Path:
        """Cluster-admin's."""
        return self.directory / "kubeconfig"

    def make(self) -> None:
        """Create the directories; only Postgres's user needs to pass through `data`."""
        for directory, mode in (
            (self.directory, 0o711),
            (self.data, 0o711),
            (self.logs, 0o700),
            (self.pki, 0o700),
            (self.kubeconfigs, 0o700),
            (self.deaths, 0o700),
        ):
            directory.mkdir(mode=mode, exist_ok=True)
