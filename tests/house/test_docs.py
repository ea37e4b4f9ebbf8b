"""What the documentation shows, works: snippets are checked as their readers would use them."""

import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

from voicefleet.api.kinds import KINDS
from voicefleet.validation import check_manifest
from voicefleet_cli.documents import read_documents

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / "crds" / f"{kind.lower()}.md" for kind in KINDS]
HEADINGS = ["Example", "Writing a spec", "Working with it", "Debugging", "Status"]
LINK = re.compile(r"\[[^\]]+\]\((?!https?://)([^)#]+)(#[^)]*)?\)")


def _snippets(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def _example(page: Path) -> dict[str, Any]:
    (document,) = read_documents(_snippets(page, "yaml")[0])
    assert isinstance(document.value, dict)
    return document.value


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    both = {name: _merged(base[name], value) for name, value in change.items() if _are_maps(base.get(name), value)}
    return {**base, **change, **both}


def _are_maps(first: object, second: object) -> bool:
    return isinstance(first, dict) and isinstance(second, dict)


def _cases() -> Iterator[Any]:
    for page in PAGES:
        for number, snippet in enumerate(_snippets(page, "yaml")):
            yield pytest.param(page, snippet, id=f"{page.stem}-{number}")


@pytest.mark.parametrize(("page", "snippet"), list(_cases()))
def test_a_snippet_would_be_accepted(page: Path, snippet: str) -> None:
    """A snippet that begins with spec is laid over the page's example, as its reader would do."""
    (document,) = read_documents(snippet)
    assert isinstance(document.value, dict)
    manifest = document.value if "kind" in document.value else _without_rivals(_example(page), document.value)

    assert check_manifest(manifest) == ()


def _without_rivals(example: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Lay a snippet over the example; where it names another source of contacts, the example's goes."""
    contacts = change["spec"].get("contacts")
    merged = _merged(example, change)
    if contacts:
        merged["spec"]["contacts"] = contacts
    return merged


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_kind_has_a_page_with_the_same_headings(page: Path) -> None:
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == HEADINGS


def test_the_readme_shows_the_sample_as_it_is() -> None:
    (snippet,) = _snippets(ROOT / "README.md", "yaml")

    assert snippet == (ROOT / "manifests" / "samples" / "voiceagent.yaml").read_text()
    assert len(snippet.splitlines()) <= 20


def test_the_readmes_commands_exist() -> None:
    commands = re.findall(r"^make (\S+)", "\n".join(_snippets(ROOT / "README.md", "sh")), re.MULTILINE)
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert commands == ["demo", "test"]
    assert set(commands) <= set(targets)


def test_the_page_on_installing_names_what_there_is() -> None:
    commands = "\n".join(_snippets(ROOT / "docs" / "install.md", "sh"))
    values = yaml.safe_load((ROOT / "charts" / "voicefleet" / "values.yaml").read_text())
    pool = yaml.safe_load((ROOT / "manifests" / "samples" / "providerpool.yaml").read_text())
    livekit, *_ = refs = [pool["spec"]["livekit"]["apiKey"], *(each["apiKey"] for each in pool["spec"]["providers"])]

    for setting in re.findall(r"--set ([a-zA-Z.]+)=", commands):
        reduce(lambda part, name: part[name], setting.split("."), values)
    for path in re.findall(r"(?:charts|manifests)/[a-z./-]+|Dockerfile\.[a-z]+", commands):
        assert (ROOT / path).exists()
    assert re.findall(r"secret generic ([a-z]+)", commands) == [ref["name"] for ref in refs]
    assert f"{livekit['key']}=KEY --from-literal={pool['spec']['livekit']['apiSecret']['key']}=SECRET" in commands


def test_who_installs_without_a_word_gets_an_operator_and_one_that_stands_by() -> None:
    """One alone would leave calls without anybody who looks after them while its node is drained."""
    values = yaml.safe_load((ROOT / "charts" / "voicefleet" / "values.yaml").read_text())
    installed = yaml.safe_load_all((ROOT / "manifests" / "install" / "voicefleet.yaml").read_text())
    (deployment,) = (document for document in installed if document["kind"] == "Deployment")

    assert values["replicas"] == deployment["spec"]["replicas"] == 2


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]), ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link, _ in LINK.findall(page.read_text()) if not (page.parent / link).exists()]

    assert not broken


def test_every_word_of_the_glossary_is_told_once() -> None:
    words = re.findall(r"^\| ([a-z][^|]*) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)[1:]

    assert words == sorted(words, key=str.lower)
    assert len(words) == len(set(words))
