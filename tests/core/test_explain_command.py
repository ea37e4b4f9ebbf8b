"""What `voicefleet explain` tells, and what it says when there is nothing to tell."""

import io
from pathlib import Path

import pytest
import yaml

from voicefleet_cli.main import main

STATUS = {
    "summary": "3 workers, 14 calls",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Ready",
            "message": "3 workers take calls",
            "lastTransitionTime": "2026-03-02T12:00:00Z",
        }
    ],
    "freeSlots": 10,
    "slots": 36,
    "workers": {"ready": 2, "cordoned": 1},
    "scale": {"desired": 2, "limit": "Demand", "reasons": ["14 calls now", "22 slots need 2"]},
    "costPerHour": 0.6,
    "rollout": {
        "revision": "b2",
        "phase": "Progressing",
        "step": 1,
        "sharePercent": 5,
        "verdict": "12 of 50 calls",
        "callsDrained": 4,
        "callsFinished": 3,
    },
    "revisions": [{"name": "b2", "number": 2, "role": "Canary", "workers": 1, "calls": 2}],
}


def agent(**status: object) -> str:
    manifest = {"kind": "VoiceAgent", "metadata": {"name": "desk", "namespace": "voice"}, "status": status}
    return yaml.safe_dump(manifest)


def explain(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    code = main(["explain", str(path)])
    told = capsys.readouterr()
    return code, told.out, told.err.replace(str(path), "agent.yaml")


def test_a_status_is_told_from_its_summary_to_its_revisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = explain(agent(**STATUS), tmp_path, capsys)

    assert code == 0
    assert told.splitlines() == [
        "voice/desk: 3 workers, 14 calls",
        "  Ready       True Ready: 3 workers take calls",
        "  Room        10 of 36 slots are free",
        "  Workers     2 ready, 1 cordoned",
        "  Size        2 workers wanted, bound by Demand",
        "              - 14 calls now",
        "              - 22 slots need 2",
        "  Cost        0.6 an hour",
        "  Rollout     revision b2: Progressing, step 1, 5 % of new calls",
        "              - 12 of 50 calls",
        "              - of 4 calls on replaced workers 3 came to their own end, 0 were cut",
        "  Revision    b2 (number 2, canary): 1 worker, 2 calls",
    ]


def test_every_agent_of_a_list_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = [yaml.safe_load(agent(summary=f"{number} workers")) for number in (1, 2)]

    _, told, _ = explain(yaml.safe_dump({"kind": "List", "apiVersion": "v1", "items": items}), tmp_path, capsys)

    assert [line for line in told.splitlines() if line] == ["voice/desk: 1 workers", "voice/desk: 2 workers"]


def test_an_agent_that_nobody_looked_at_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(agent(), tmp_path, capsys)[1] == "voice/desk: the operator has not looked at it yet\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Pod\n", "agent.yaml: no VoiceAgent in it: try `kubectl get va NAME -o yaml`"),
        ("", "agent.yaml: no VoiceAgent in it"),
        ("kind: [\n", "agent.yaml:2: "),
        (agent(calls="many"), "agent.yaml:1: its status is of another version (1 fields differ)"),
    ],
    ids=["another kind", "nothing", "no YAML", "another version"],
)
def test_what_cannot_be_told_is_said(text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told, complaint = explain(text, tmp_path, capsys)

    assert (code, told) == (2, "")
    assert complaint.startswith(f"voicefleet explain: {words}")


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "not-there.yaml"]) == 2
    assert capsys.readouterr().err == "voicefleet explain: not-there.yaml: No such file or directory\n"


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(agent(summary="all is well").encode())))

    assert main(["explain", "-"]) == 0
    assert capsys.readouterr().out == "voice/desk: all is well\n"
