"""`voicefleet validate` as a person or a pipeline meets it: what it prints, and the code that it ends with."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.manifests import SAMPLES, damaged, minimal, with_value
from voicefleet.api.kinds import KINDS
from voicefleet_cli.main import main

GOOD = yaml.safe_dump(minimal("VoiceAgent"))
WRONG = yaml.safe_dump(with_value(minimal("VoiceAgent"), ("spec", "scaling", "max"), "many"))
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: prompts}\n"
FINDING = "VoiceAgent/smallest: spec.scaling.max: must be a whole number, was the text 'many'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "deep" / "other.yml").write_text(OTHER)
    (tmp_path / "deep" / "deeper" / "wrong.json").write_text(json.dumps(yaml.safe_load(WRONG)))
    (tmp_path / "deep" / "notes.txt").write_text("{{{ not a manifest")
    return tmp_path


def _give(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


def test_what_would_be_accepted_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(GOOD)
    assert main(["validate", str(file)]) == 0
    assert capsys.readouterr().out == "1 manifest checked: all would be accepted\n"


def test_the_samples_would_be_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(SAMPLES)]) == 0
    assert capsys.readouterr().out == (
        "8 manifests checked, 3 manifests of other kinds passed over: all would be accepted\n"
    )


def test_what_would_be_refused_ends_with_1_and_is_named_by_file_line_and_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(f"# a comment\n---\n{WRONG}")
    assert main(["validate", str(file)]) == 1
    line = file.read_text().splitlines().index("    max: many") + 1
    assert capsys.readouterr().out == f"{file}:{line}: {FINDING}\n1 manifest checked: 1 error\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["--output", "xml", "a.yaml"], ["--strict", "a.yaml"]],
    ids=["no file at all", "a form that does not exist", "an option that does not exist"],
)
def test_bad_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["validate", *arguments])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: voicefleet")


def test_a_file_that_does_not_exist_ends_with_2_before_anything_is_checked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(folder), str(folder / "nowhere.yaml")]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"voicefleet validate: {folder}/nowhere.yaml: no such file or folder\n"
    assert printed.out == ""


def test_a_folder_is_searched_to_the_bottom_for_yaml_and_json_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(folder)]) == 1
    assert capsys.readouterr().out == (
        f"{folder}/deep/deeper/wrong.json:1: {FINDING}\n"
        "2 manifests checked, 1 manifest of other kinds passed over: 1 error\n"
    )


def test_json_output_holds_the_same_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--output", "json", str(folder)]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "checked": 2,
        "skipped": 1,
        "findings": [
            {
                "file": f"{folder}/deep/deeper/wrong.json",
                "line": 1,
                "kind": "VoiceAgent",
                "name": "smallest",
                "field": "spec.scaling.max",
                "message": "must be a whole number, was the text 'many'",
            }
        ],
    }


def test_a_folder_with_nothing_to_check_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "agent.yaml.template").write_text("kind: VoiceAgent")

    assert main(["validate", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"voicefleet validate: {tmp_path}: no file in it that ends in .json, .yaml, .yml\n"
    assert not printed.out


def test_json_output_of_nothing_wrong_is_an_empty_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(GOOD)
    assert main(["validate", "--output=json", str(file)]) == 0
    assert json.loads(capsys.readouterr().out) == {"checked": 1, "skipped": 0, "findings": []}


def test_standard_input_is_read_for_a_hyphen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _give(monkeypatch, WRONG.encode())
    assert main(["validate", "-"]) == 1
    assert capsys.readouterr().out.startswith("standard input:")


def test_nothing_on_standard_input_is_not_all_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _give(monkeypatch, b"# nothing\n")
    assert main(["validate", "-"]) == 1
    assert capsys.readouterr().out == "standard input:1: holds no manifest\n0 manifests checked: 1 error\n"


def test_a_folder_may_hold_files_without_manifests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "good.yaml").write_text(GOOD)
    assert main(["validate", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 manifest checked: all would be accepted\n"


def test_what_is_read_before_a_line_that_is_not_yaml_still_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(f"{WRONG}---\nspec: [a\n")
    assert main(["validate", str(file)]) == 1
    first, second, summary = capsys.readouterr().out.splitlines()
    assert first.endswith(FINDING)
    assert "close the [ above" in second
    assert summary == "1 manifest checked: 2 errors"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\xff\xfea\x00", "1: not UTF-8: byte 0 is 0xff"),
        (GOOD.encode() + b"# caf\xe9\n", f"1: not UTF-8: byte {len(GOOD) + 5} is 0xe9"),
        (bytes(range(256)) * 4, "1: not UTF-8: byte 128 is 0x80"),
        (b"a: \x00\n", "1: not YAML: character U+0000 is not allowed"),
        (b"\x7fELF\x02\x01\x01\x00", "1: not YAML: character U+007F is not allowed"),
        (b"", "1: holds no manifest"),
    ],
    ids=["UTF-16", "Latin-1", "every byte", "a NUL", "a program", "an empty file"],
)
def test_a_file_that_is_no_text_is_said_to_be_none(
    raw: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "binary.yaml"
    file.write_bytes(raw)
    assert main(["validate", str(file)]) == 1
    assert capsys.readouterr().out.startswith(f"{file}:{said}\n")


def test_a_file_that_cannot_be_read_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Permissions would not do: root reads everything."""
    file = "/proc/self/mem"
    assert main(["validate", file]) == 1
    assert capsys.readouterr().out.startswith(f"{file}:1: cannot be read: Input/output error\n")


def test_a_file_that_goes_away_is_said_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(GOOD)

    def refuse(path: Path) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert main(["validate", str(file)]) == 1
    assert capsys.readouterr().out.startswith(f"{file}:1: cannot be read: No such file or directory\n")


WICKED = "\x1b]0;owned\x07\x1b[31m\u202e\u2028\x9b"


@pytest.mark.parametrize(
    "manifest",
    [
        with_value(minimal("VoiceAgent"), ("metadata", "name"), WICKED),
        with_value(minimal("VoiceAgent"), ("spec", WICKED), 1),
        with_value(minimal("VoiceAgent"), ("spec", "languages"), [WICKED]),
        with_value(minimal("VoiceAgent"), ("spec", "suspend"), WICKED),
        with_value(minimal("VoiceAgent"), ("spec", "deletionPolicy"), WICKED),
        with_value(minimal("VoiceAgent"), ("spec", "conversation", "endPhrases"), [WICKED * 99]),
        with_value(minimal("VoiceAgent"), ("spec", "voice"), {"pipeline": {"stt": {"keyterms": [WICKED, WICKED]}}}),
        with_value(minimal("VoiceAgent"), ("kind",), WICKED),
        with_value(minimal("VoiceAgent"), ("apiVersion",), f"voicefleet.dev/{WICKED}"),
    ],
    ids=["a name", "a field", "a language", "a boolean", "a choice", "long text", "a duplicate", "a kind", "a version"],
)  # fmt: skip
def test_no_control_character_reaches_a_terminal(
    manifest: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wicked.yaml"
    file.write_text(json.dumps(manifest))
    assert main(["validate", str(file)]) == 1
    printed = capsys.readouterr().out
    assert "\\x1b" in printed or "must have at most" in printed or "must be one of" in printed
    assert all(character.isprintable() for line in printed.split("\n") for character in line)


@pytest.mark.parametrize("text", ['{"\\u001b": 1, "\\u001b": 2}', "a: .inf", "a: !<\\x1b> b"])
def test_nor_from_what_cannot_be_read(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wicked.yaml"
    file.write_text(text)
    assert main(["validate", str(file)]) == 1
    assert all(character.isprintable() for line in capsys.readouterr().out.split("\n") for character in line)


def test_a_file_whose_name_is_no_text_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n\x1b[1m.yaml"))
    file.write_text(WRONG)
    assert main(["validate", str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith(f"{tmp_path}/caf\\udce9\\n\\x1b[1m.yaml:")


def test_an_author_who_left_our_group_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(GOOD.replace("voicefleet.dev/v1alpha1", "v1alpha1"))
    assert main(["validate", str(file)]) == 1
    assert "apiVersion: must be voicefleet.dev/v1alpha1, was 'v1alpha1'" in capsys.readouterr().out


STRANGE = """\
apiVersion: voicefleet.dev/v1alpha1
kind: VoiceAgent
metadata: {name: desk}
spec:
  providerPoolRef: {name: any}
  agents:
    - {name: desk, instructions: Be kind., tools: [look, book]}
  toolPolicy: {allowedHosts: [example.com]}
  tools:
    - name: look
      description: Looks.
      http: {url: "https://other.example.org/look"}
    - name: book
      description: Books.
      http: {url: "https://example.com/book"}
      parameters:
        type: object
        properties:
          day:
            anyOf:
              - {type: string}
              - {type: strin}
          a.b[c: {type: number}
"""


def test_what_is_taken_and_never_starts_is_named_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No pool could mend it, so nobody has to apply it to learn of it."""
    file = tmp_path / "agent.yaml"
    file.write_text(STRANGE)

    assert main(["validate", str(file)]) == 1
    host, schema, summary = capsys.readouterr().out.splitlines()
    assert host.startswith(f"{file}:12: VoiceAgent/desk: spec.tools[look].http.url: other.example.org is not among ")
    where = "spec.tools[book].parameters.properties.day.anyOf.1.type"
    assert schema.startswith(f"{file}:22: VoiceAgent/desk: {where}: is no JSON schema: 'strin' ")
    assert schema.endswith("; no worker would start")
    assert summary == "1 manifest checked: 2 errors"


def test_a_field_whose_name_looks_like_a_path_is_found_as_far_as_it_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(STRANGE.replace("type: number", "type: numbe").replace("strin}", "string}"))

    assert main(["validate", str(file)]) == 1
    assert f"{file}:18: VoiceAgent/desk: " in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["List", "VoiceAgentList"])
def test_the_items_of_a_list_are_checked_one_by_one(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "list.yaml"
    items = [yaml.safe_load(GOOD), yaml.safe_load(WRONG), yaml.safe_load(OTHER)]
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": kind, "items": items}))
    assert main(["validate", str(file)]) == 1
    finding, summary = capsys.readouterr().out.splitlines()
    assert finding.endswith(FINDING)
    assert summary == "2 manifests checked, 1 manifest of other kinds passed over: 1 error"


def test_a_terminal_without_unicode_gets_escapes_instead_of_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "caf\u00e9.yaml"
    file.write_text(WRONG)
    command = [sys.executable, "-m", "voicefleet_cli.main", "validate", str(file)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "caf\\xe9.yaml" in done.stdout
    assert done.stderr == ""


_FUZZ = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
_YAML_BITS = st.sampled_from(
    ["a: ", "- ", "? ", "{", "}", "[", "]", "&a ",
     "*a", "!!str ", "|\n", ">\n", "---\n", "...\n", "<<: ", "'", '"', "#",
     "  ", "\n", "kind: VoiceAgent\n", "apiVersion: voicefleet.dev/v1alpha1\n", "spec:\n", "metadata: {name: a}\n", "~",
     "0x", "1e9", ".inf", "\ufeff", "%YAML 1.1\n", "\\ud83d", "items:\n", "kind: List\n", ",", "=", "\u2028", "\r",
     "\t", "yes", "\x85"]
)  # fmt: skip


def _survives(raw: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _give(monkeypatch, raw)
    assert main(["validate", "-"]) in (0, 1)
    assert all(character.isprintable() for line in capsys.readouterr().out.split("\n") for character in line)


@_FUZZ
@given(raw=st.binary(max_size=300))
def test_no_bytes_end_in_a_traceback(
    raw: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _survives(raw, monkeypatch, capsys)


@_FUZZ
@given(text=st.text(max_size=200) | st.lists(_YAML_BITS | st.text(max_size=3), max_size=40).map("".join))
def test_no_text_ends_in_a_traceback(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _survives(text.encode(errors="surrogatepass"), monkeypatch, capsys)


@pytest.mark.parametrize("kind", KINDS)
@settings(_FUZZ, max_examples=40)
@given(data=st.data())
def test_no_damaged_manifest_ends_in_a_traceback(
    kind: str, data: st.DataObject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _survives(json.dumps(data.draw(damaged(kind))).encode(), monkeypatch, capsys)
