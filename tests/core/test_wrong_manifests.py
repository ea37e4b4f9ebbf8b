"""Every manifest in tests/wrong says in its first lines what its author reads; here is the offline half.

`e2e/test_crds_wrong.py` holds the same files to a real apiserver.
"""

import re
from pathlib import Path

import pytest

from tests.support.manifests import WRONG, Wrong, read_wrong, rules_of, spec_schema
from voicefleet.api.kinds import KINDS
from voicefleet_cli.main import main


@pytest.mark.parametrize("wrong", read_wrong(), ids=lambda wrong: wrong.name)
def test_its_author_reads_what_is_wrong_and_on_which_line(wrong: Wrong, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(wrong.path)]) == 1
    *findings, _ = capsys.readouterr().out.splitlines()
    assert [finding.removeprefix(f"{wrong.path}:") for finding in findings] == list(wrong.offline)


def test_all_are_told_apart_in_one_run_over_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(WRONG)]) == 1
    printed = capsys.readouterr().out
    # A file without a manifest is no fault of a folder that holds others.
    silent = {"nothing-but-comments"}
    for wrong in read_wrong():
        for finding in () if wrong.name in silent else wrong.offline:
            assert f"{wrong.path}:{finding}\n" in printed


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_is_broken_by_one_of_them(kind: str) -> None:
    said = "\n".join(finding for wrong in read_wrong() for finding in wrong.offline)
    # Our own bounds of plain numbers are said more precisely.
    spared = {"must be between 0 and 2000000000, or a size such as 500m or 8Gi"}
    root_rules = {rule.message for rule in KINDS[kind].RULES}
    unbroken = {m for m in rules_of(spec_schema(kind)) | root_rules if m not in said} - spared
    assert not unbroken


def test_no_message_repeats_a_secret() -> None:
    assert any("THISISTHESECRET" in wrong.path.read_text() for wrong in read_wrong())
    for wrong in read_wrong():
        assert not any("THISISTHESECRET" in finding or "902100" in finding for finding in wrong.offline)


def test_no_two_of_them_hold_the_same() -> None:
    bodies = [re.sub(r"^# .*\n", "", path.read_text(), flags=re.MULTILINE) for path in sorted(WRONG.glob("*.yaml"))]
    assert len(set(bodies)) == len(bodies) >= 80


def test_a_manifest_of_five_megabytes_is_refused_before_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large.yaml"
    head = "apiVersion: voicefleet.dev/v1alpha1\nkind: VoiceAgent\nmetadata: {name: x}\nspec:\n  agents:\n"
    large.write_text(head + "    - {name: a, instructions: Be kind to every caller.}\n" * 95_000)
    assert main(["validate", str(large)]) == 1
    expected = "1: the manifest has 5.1 MiB; a cluster stores 1.5 at most: move long texts to ConfigMaps\n"
    assert capsys.readouterr().out.startswith(f"{large}:{expected}")
