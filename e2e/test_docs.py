"""The commands that the documentation shows are run, one page after another, in a namespace with its examples."""

import re
import shlex
from pathlib import Path

import pytest

from e2e.bench import Bench

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(page for page in (ROOT / "docs" / "crds").glob("*.md") if not page.name.endswith("-fields.md"))


def _snippets(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_work(page: Path, bench: Bench, namespace: str, crds: None) -> None:  # noqa: ARG001
    for other in PAGES:
        bench.kubectl("apply", "-n", namespace, "-f", "-", stdin=_snippets(other, "yaml")[0])

    commands = [line for block in _snippets(page, "sh") for line in block.splitlines() if line.startswith("kubectl ")]

    assert commands
    for command in commands:
        done = bench.kubectl("-n", namespace, *shlex.split(command)[1:])
        assert done.stdout.strip(), command
