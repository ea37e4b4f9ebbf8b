"""Each extra, installed into an empty environment, brings what it needs and not the other half."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UV = str(ROOT / ".tools" / "bin" / "uv")

IMPORTS = {
    "base": "import voicefleet.api, voicefleet_cli.main",
    "operator": "import voicefleet_operator.main",
    "worker": "import voicefleet_worker.main, voicefleet_worker.calls.entry",
}
ABSENT = {
    "base": ("kopf", "kubernetes", "livekit", "redis"),
    "operator": ("livekit.agents", "livekit.rtc", "onnxruntime"),
    "worker": ("kopf", "kubernetes"),
}
FIND = """
import importlib.util, sys
def found(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
print(*[name for name in sys.argv[1:] if found(name)])
"""


def _install(extra: str, folder: Path) -> Path:
    python = folder / "bin" / "python"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    install = [UV, "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*install, "--require-hashes", "--requirement", str(ROOT / "locks" / f"{extra}.txt")], check=True)
    subprocess.run([*install, "--no-deps", str(ROOT)], check=True)
    return python


@pytest.mark.timeout(600)
@pytest.mark.parametrize("extra", IMPORTS)
def test_an_extra_brings_what_it_needs_and_no_more(extra: str, tmp_path: Path) -> None:
    python = _install(extra, tmp_path / "env")

    # From the root of the repository, where folders called operator and worker lie in wait.
    subprocess.run([python, "-W", "ignore", "-c", IMPORTS[extra]], cwd=ROOT, check=True)
    listed = subprocess.run([python, "-c", FIND, *ABSENT[extra]], capture_output=True, text=True, check=True).stdout

    assert listed.split() == []


def test_the_wheel_of_an_image_holds_only_what_was_copied_into_it(tmp_path: Path) -> None:
    """A Dockerfile copies two of the three roots; the wheel built from them must not want the third."""
    context = tmp_path / "context"
    for name in ("pyproject.toml", "README.md", "LICENSE", "core", "worker"):
        context.mkdir(exist_ok=True)
        subprocess.run(["cp", "-r", ROOT / name, context / name], check=True)
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path, context], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = subprocess.run([sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True, check=True)

    assert "voicefleet_worker/main.py" in names.stdout
    assert "voicefleet_operator" not in names.stdout
