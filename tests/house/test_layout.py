"""The tree keeps the shape that a newcomer finds it by."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = [path for root in ("core", "operator", "worker", "tools") for path in sorted((ROOT / root).rglob("*.py"))]
BENCH = sorted((ROOT / "e2e").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MAX_MODULE_LINES = 300
MAX_TEST_LINES = 500
MAX_FUNCTION_LINES = 40


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("folder", ["operator", "worker"])
def test_a_folder_named_like_a_module_of_python_is_never_a_package(folder: str) -> None:
    """With operator/__init__.py, every Python started in the root would die inside `collections`."""
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("path", PRODUCT + BENCH, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    limit = MAX_TEST_LINES if path.name.startswith(("test_", "conftest")) else MAX_MODULE_LINES

    assert len(text.splitlines()) <= limit

    nodes = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    long = {node.name: node.end_lineno - node.lineno + 1 for node in nodes if node.end_lineno is not None}
    assert not {name: lines for name, lines in long.items() if lines > MAX_FUNCTION_LINES}


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_tested_in_one_file_is_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_TEST_LINES


def test_every_make_target_has_its_line_in_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    command = ["make", "--no-print-directory", "help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert {line.split()[0] for line in shown.splitlines()} == set(phony.split())


def test_no_file_holds_a_path_of_somebodys_machine() -> None:
    path_of_a_machine = re.compile(r"(?<![\w.-])/(root|home/[a-z]+|work)/(?!runner)")
    guilty = []
    for path in _tracked():
        if path.suffix in {".sum", ".txt"} or path == Path(__file__):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if path_of_a_machine.search(text):
            guilty.append(str(path.relative_to(ROOT)))

    assert not guilty


@pytest.mark.parametrize("path", sorted((ROOT / "operator").rglob("*.py")), ids=lambda path: path.stem)
def test_the_operator_imports_no_more_of_livekit_than_its_api(path: Path) -> None:
    """Its image has no livekit-agents; import-linter sees only the first part of a foreign package's name."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}

    assert not {name for name in imported if name.startswith("livekit.") and not name.startswith("livekit.api")}
