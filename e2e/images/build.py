"""Build one image into an OCI archive, once for each content."""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.bench import BenchError
from e2e.bench.packages import ensure_debian_packages

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "voicefleet" / "images"
# The keyring is for Ubuntu, which does not bring the keys that Debian signs with.
PACKAGES = ("buildah", "mmdebstrap", "debian-archive-keyring")
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
BASE = "localhost/voicefleet-base:bookworm"
BUILDAH = ("buildah", "--storage-driver", "overlay")


@dataclass(frozen=True, slots=True)
class Image:
    """An image that a node can be given."""

    name: str
    archive: Path


def build_image(what: str) -> Image:
    """Return the image of `Dockerfile.<what>`, building what is not in the cache."""
    digest = _digest(what)
    name = f"localhost/voicefleet-{what}:{digest}"
    archive = CACHE / f"{what}-{digest}.tar"
    with _locked():
        if not archive.exists():
            ensure_debian_packages(PACKAGES)
            _ensure_base()
            _build(what, name, archive)
    return Image(name, archive)


def _digest(what: str) -> str:
    digest = hashlib.sha256(BASE_PACKAGES.encode())
    for path in sorted(_inputs(what)):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _inputs(what: str) -> Iterator[Path]:
    yield from (ROOT / name for name in (f"Dockerfile.{what}", "pyproject.toml", f"locks/{what}.txt", "README.md"))
    for folder in ("core", what):
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".typed"})


@contextmanager
def _locked() -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _ensure_base() -> None:
    if subprocess.run([*BUILDAH, "inspect", "--type", "image", BASE], capture_output=True, check=False).returncode == 0:
        return
    rootfs = CACHE / "base.tar"
    bootstrap = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={BASE_PACKAGES}", "bookworm", str(rootfs)]
    _run("base image from Debian's packages", bootstrap)
    container = _run("base image: container", [*BUILDAH, "from", "scratch"])
    _run("base image: unpacking", [*BUILDAH, "add", "--quiet", container, str(rootfs), "/"])
    _run("base image: keeping", [*BUILDAH, "commit", "--quiet", "--rm", container, BASE])
    rootfs.unlink()


def _build(what: str, name: str, archive: Path) -> None:
    wheels = _wheels(what)
    command = [*BUILDAH, "build", "--isolation", "chroot", "--layers", "--file", f"Dockerfile.{what}", "--tag", name]
    command += [
        "--build-arg",
        f"BASE_IMAGE={BASE}",
        "--build-arg",
        "PIP_NO_INDEX=1",
        "--build-arg",
        "PIP_FIND_LINKS=/wheels",
    ]
    command += ["--volume", f"{wheels}:/wheels:ro", "."]
    _run(f"{what} image", command)
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    _run(f"{what} image: archive", [*BUILDAH, "push", "--quiet", name, f"oci-archive:{partial}:{name}"])
    partial.rename(archive)


def _wheels(what: str) -> Path:
    """Fetch what the lock names, and what builds our own wheel, for the Python of the base image."""
    lock = (ROOT / "locks" / f"{what}.txt").read_text()
    folder = CACHE / "wheels" / f"{what}-{hashlib.sha256(lock.encode()).hexdigest()[:16]}"
    if folder.exists():
        return folder
    partial = folder.with_suffix(".partial")
    partial.mkdir(parents=True, exist_ok=True)
    # pip asks its own Python whether a marker holds; the base image's may be older.
    requirements = partial / "requirements.txt"
    requirements.write_text(re.sub(r" ; python_full_version < '[0-9.]+'", "", lock))
    python = ROOT / ".tools" / "bin" / "python"  # uv has no download, pip has
    fetch = [str(python), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", str(partial)]
    fetch += ["--python-version", "3.11", "--implementation", "cp", "--only-binary", ":all:"]
    _run(f"{what} image: wheels", [*fetch, "--no-deps", "--requirement", str(requirements)])
    _run(f"{what} image: build tools", [*fetch, "hatchling"])
    partial.rename(folder)
    return folder


def _run(label: str, command: list[str]) -> str:
    """Run one step and return what it printed, or say in words which step failed and how."""
    started = time.monotonic()
    print(f"images: {label} …", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BenchError(f"{label} failed: {command[0]}: {error.strerror}; `make setup` may bring it") from error
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise BenchError(f"{label} failed: {' '.join(command[:4])} …\n{tail}")
    print(f"images: {label}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return done.stdout.strip()
