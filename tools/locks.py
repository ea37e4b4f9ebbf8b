"""Pin what each image and the developers install, with hashes and without the address of any registry.

python -m tools.locks [--check] UV
"""

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "locks"
# The developers' lock holds everything; the others take its versions, so that tests run what images ship.
EXTRAS = {
    "dev": ("--all-extras",),
    "operator": ("--extra", "operator"),
    "worker": ("--extra", "worker", "--extra", "mcp"),
    "all-providers": ("--extra", "worker", "--extra", "mcp", "--extra", "all-providers"),
    "base": (),
}


def compile_lock(uv: str, name: str, target: Path) -> None:
    """Write one lock; pins that are already there are kept as long as they fit."""
    constraint = () if name == "dev" else ("--constraints", str(target.with_name("dev.txt")))
    command = [uv, "pip", "compile", "--quiet", "pyproject.toml", "--universal", "--generate-hashes", "--no-header"]
    command += ["--no-annotate", *EXTRAS[name], *constraint, "--output-file", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """Write the locks, or with --check say which ones do not follow from pyproject.toml."""
    check = "--check" in sys.argv
    uv = sys.argv[-1]
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) if check else LOCKS
        stale = []
        for name in EXTRAS:
            kept = LOCKS / f"{name}.txt"
            target = directory / kept.name
            if check:
                target.write_bytes(kept.read_bytes())
            compile_lock(uv, name, target)
            if check and not filecmp.cmp(kept, target, shallow=False):
                stale.append(kept.relative_to(ROOT))
    for path in stale:
        print(f"out of date: {path}; run `make lock` and commit the result")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
