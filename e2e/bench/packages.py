"""Programs that come from Debian packages: find them, or install them without starting their services."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.bench.options import BenchError
from e2e.bench.parts import DEBIAN_PROGRAMS

_POLICY = Path("/usr/sbin/policy-rc.d")
# Packages start their service when installed; 101 means "not allowed here" to invoke-rc.d.
_POLICY_TEXT = "#!/bin/sh\nexit 101\n"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_program(name: str) -> Path | None:
    """Find a Debian program on PATH, in the administrator's directories or where Debian hides it."""
    program = next((entry for entry in DEBIAN_PROGRAMS if entry.name == name), None)
    if program is not None and program.elsewhere:
        hidden = max(Path("/").glob(program.elsewhere.lstrip("/")), default=None)
        if hidden is not None:
            return hidden
    found = shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)
    return Path(found) if found else None


def require_program(name: str) -> Path:
    """Find a program or say which package has it."""
    found = find_program(name)
    if found is None:
        raise BenchError(_advice([_package_of(name)]))
    return found


def ensure_programs(names: Iterable[str]) -> None:
    """Install the packages of those programs that are missing."""
    packages = {_package_of(name) for name in names if find_program(name) is None}
    if packages:
        ensure_debian_packages(sorted(packages))


def ensure_debian_packages(names: Iterable[str]) -> None:
    """Install missing packages as root; otherwise say exactly what to install."""
    missing = [name for name in names if not _is_installed(name)]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BenchError(_advice(missing))
    with _services_held_back():
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *missing)


def _package_of(program: str) -> str:
    return next((entry.package for entry in DEBIAN_PROGRAMS if entry.name == program), program)


def _is_installed(package: str) -> bool:
    query = shutil.which("dpkg-query")
    if query is None:
        return False
    answer = subprocess.run(
        [query, "--show", "--showformat=${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.returncode == 0 and answer.stdout == "installed"


def _advice(packages: list[str]) -> str:
    return f"missing: run `apt-get install --no-install-recommends {' '.join(packages)}` as root"


def _apt_get(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Another apt may be at work; waiting for its lock beats failing.
    done = subprocess.run(
        ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise BenchError(f"apt-get {arguments[0]} failed:\n{tail}")


@contextmanager
def _services_held_back() -> Iterator[None]:
    if _POLICY.exists():  # the machine's owner already decides
        yield
        return
    _POLICY.write_text(_POLICY_TEXT)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
