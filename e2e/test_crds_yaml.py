"""kubectl itself is asked what `tests/core/test_documents.py` says about its YAML, so that those tables are true."""

import json
from typing import Any

import pytest

from e2e.bench import Bench
from tests.core.test_documents import KEYS, MERGES, SCALARS, STRICTER, TEXTS, UNREADABLE, Case, as_manifest


def _ask(bench: Bench, text: str) -> tuple[str, list[Any]]:
    """Return what kubectl complains about, and the objects that it would send."""
    command = ("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-")
    done = bench.kubectl(*command, stdin=text, check=False)
    decoder, rest = json.JSONDecoder(), done.stdout.strip()
    found: list[Any] = []
    while rest:
        value, end = decoder.raw_decode(rest)
        found += value["items"] if value["kind"] == "List" else [value]
        rest = rest[end:].strip()
    return ("" if done.returncode == 0 else done.stderr or "refused"), found


def test_scalars_mean_what_the_table_says(bench: Bench) -> None:
    complaint, sent = _ask(bench, "---\n".join(as_manifest(written) for written in SCALARS))
    assert complaint == ""
    assert len(sent) == len(SCALARS)
    for (written, meant), manifest in zip(SCALARS.items(), sent, strict=True):
        value = manifest["spec"].get("value")
        assert value == meant, written
        assert isinstance(value, bool) == isinstance(meant, bool), written


@pytest.mark.parametrize("written", UNREADABLE)
def test_kubectl_does_not_read_it_either(written: str, bench: Bench) -> None:
    complaint, sent = _ask(bench, as_manifest(written))
    assert "error parsing" in complaint
    assert not sent


@pytest.mark.parametrize("written", [written for written in STRICTER if len(written) < 100])
def test_where_we_are_stricter_kubectl_would_have_gone_on(written: str, bench: Bench) -> None:
    complaint, sent = _ask(bench, as_manifest(written))
    assert complaint == ""
    assert len(sent) == 1


@pytest.mark.parametrize("case", [case for case in TEXTS if case.id != "a list"], ids=lambda case: case.id)
def test_texts_are_cut_as_the_table_says(case: Case, bench: Bench) -> None:
    complaint, sent = _ask(bench, case.text)
    assert [manifest["metadata"]["name"] for manifest in sent] == [name for name, _ in case.found]
    assert bool(complaint) == (not case.found), "a text without objects is the only one that kubectl minds"


def test_mappings_are_merged_as_the_table_says(bench: Bench) -> None:
    anchors = "  b: &b {p: 1, q: 2}\n  c: &c {p: 5, r: 6}\n"
    for name, written, meant in MERGES:
        complaint, sent = _ask(bench, as_manifest("0") + anchors + f"  m: {written}\n")
        assert complaint == "", name
        assert sent[0]["spec"]["m"] == meant, name


def test_names_of_fields_become_text_as_the_table_says(bench: Bench) -> None:
    _, sent = _ask(bench, "---\n".join(as_manifest("0") + f"  {written}: 1\n" for written in KEYS))
    for meant, manifest in zip(KEYS.values(), sent, strict=True):
        assert manifest["spec"][meant] == 1
