"""Each image installs what it needs and not the other's eight hundred megabytes."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOO_MUCH = {
    "base": {"kopf", "kubernetes", "livekit", "livekit-agents", "livekit-api", "redis", "aiohttp"},
    "operator": {"livekit", "livekit-agents", "onnxruntime", "numpy", "openai"},
    "worker": {"kopf", "kubernetes"},
}


def _locked(name: str) -> set[str]:
    text = (ROOT / "locks" / f"{name}.txt").read_text()
    return set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", text, re.MULTILINE))


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_lock_holds_nothing_of_the_other_image(name: str) -> None:
    assert _locked(name)
    assert not _locked(name) & TOO_MUCH[name]


@pytest.mark.parametrize("name", ["operator", "worker"])
def test_a_lock_holds_what_its_extra_asks_for(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {re.split(r"[<>=~! ]", line)[0].lower() for line in project["optional-dependencies"][name]}

    assert asked <= _locked(name)


@pytest.mark.parametrize("name", [*TOO_MUCH, "dev"])
def test_a_lock_pins_hashes_and_names_no_address(name: str) -> None:
    text = (ROOT / "locks" / f"{name}.txt").read_text()

    assert "://" not in text
    assert len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) <= text.count("--hash=sha256:")


def test_what_images_install_is_what_the_tests_run() -> None:
    pins = re.compile(r"^([a-z0-9][a-z0-9._-]*==\S+)", re.MULTILINE)
    tested = set(pins.findall((ROOT / "locks" / "dev.txt").read_text()))

    for name in ("base", "operator", "worker"):
        assert set(pins.findall((ROOT / "locks" / f"{name}.txt").read_text())) <= tested
