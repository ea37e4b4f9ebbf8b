"""`voicefleet simulate` as a person or a pipeline meets it: what it prints, and the code that it ends with."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from voicefleet_cli import simulate
from voicefleet_cli.main import main
from voicefleet_simulator import plot

ROWS = "".join(f"{place * 4},{60 + place % 7 * 10}\n" for place in range(60))
FEW = ["--policy", "voicefleet", "--policy", "hpa-cpu-50", "--jobs", "1"]
PROMISED = {
    "name", "dispatch", "pod_hours", "ratio", "blocked_fraction", "calls_cut", "p99_wait_seconds", "pods_created",
}  # fmt: skip


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "calls.csv"
    file.write_text("start,duration\n" + ROWS)
    return file


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["simulate", *arguments, "--output", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert isinstance(report, dict)
    return report


def test_json_holds_the_bound_and_the_figures_of_each_policy(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = _json(capsys, "--trace", str(trace), "--slots", "4", "--startup-seconds", "20", *FEW)
    assert report["bound_pod_hours"] > 0
    assert [(policy["name"], policy["dispatch"]) for policy in report["policies"]] == [
        ("voicefleet", "packed"),
        ("voicefleet", "livekit"),
        ("hpa-cpu-50", "livekit"),
    ]
    for policy in report["policies"]:
        assert policy.keys() >= PROMISED
        assert policy["ratio"] == pytest.approx(policy["pod_hours"] / report["bound_pod_hours"], rel=0.01)
        assert policy["calls"] == 60
    assert report["policies"][0]["calls_cut"] == 0


def test_a_table_for_people_has_one_line_for_each_policy(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--trace", str(trace), *FEW]) == 0
    about, empty, head, *rows = capsys.readouterr().out.splitlines()
    assert about.startswith(f"{trace}: 60 calls in 0.1 h, at most ")
    assert empty == ""
    columns = "policy, dispatch, pod-hours, x bound, blocked, waited, calls cut, p99 wait, pods created"
    assert re.split(r"  +", head) == columns.split(", ")
    assert [row.split()[:2] for row in rows] == [
        ["voicefleet", "packed"],
        ["voicefleet", "livekit"],
        ["hpa-cpu-50", "livekit"],
    ]


def test_the_same_call_prints_the_same_figures(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, again, other = (_json(capsys, "--trace", str(trace), "--seed", seed, *FEW) for seed in ("1", "1", "2"))
    assert first == again
    assert first["policies"] != other["policies"]


def test_a_scenario_is_played_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--scenario", "dialler", "--peak", "5", "--policy", "static-peak", "--slots", "3"]
    report = _json(capsys, *arguments)
    (static,) = report["policies"]
    assert static["blocked_fraction"] == 0
    assert static["ratio"] > 2


def test_a_trace_can_come_through_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(ROWS))
    assert _json(capsys, "--trace", "-", *FEW)["policies"][0]["calls"] == 60


def test_fewer_workers_and_a_hold_show_in_the_figures(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--trace", str(trace), "--slots", "2", "--max-workers", "8", *FEW]
    lost = _json(capsys, *few, "--hold-seconds", "0")["policies"][0]
    held = _json(capsys, *few, "--hold-seconds", "30")["policies"][0]
    assert lost["blocked_fraction"] > held["blocked_fraction"]
    assert lost["p99_wait_seconds"] == 0
    assert 0 < held["p99_wait_seconds"] <= 30
    assert lost["peak_pods"] <= 8


def test_a_plot_is_drawn_and_brings_the_frontier(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = _json(capsys, "--trace", str(trace), *FEW, "--plot", str(tmp_path / "plot.svg"))
    drawn = (tmp_path / "plot.svg").read_text()
    assert drawn.startswith("<?xml")
    assert "hpa-cpu-50 (livekit)" in drawn
    assert [policy["name"] for policy in report["frontier"]][:2] == ["voicefleet z=0.84", "voicefleet z=1.28"]


def test_a_plot_can_be_a_png(tmp_path: Path) -> None:
    plot.write_plot(str(tmp_path / "plot.png"), [], [], "empty")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_without_matplotlib_names_the_extra(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda _: None)
    assert main(["simulate", "--trace", str(trace), "--plot", str(tmp_path / "a.svg")]) == 2
    message = "voicefleet simulate: a plot needs matplotlib: pip install 'voicefleet[plot]'\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "{}:1: no call: expected lines of start,duration in seconds"),
        (b"start,duration\n0,1\n1,-5\n", "{}:3: duration is negative: -5"),
        (b"\xff\xfe\x00", "{}: not UTF-8 text"),
        (b"\xef\xbb\xbfstart,duration\n0,x\n", "{}:2: duration is not a number: 'x'"),
    ],
    ids=["empty", "negative", "not text", "with a byte order mark"],
)
def test_a_bad_trace_ends_with_2_and_names_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(content)
    assert main(["simulate", "--trace", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"voicefleet simulate: {message.format(file)}\n"
    assert printed.out == ""


def test_a_file_that_is_missing_or_too_large_ends_with_2(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["simulate", "--trace", str(tmp_path / "none.csv")]) == 2
    assert capsys.readouterr().err.endswith("none.csv: cannot be read: No such file or directory\n")
    assert main(["simulate", "--trace", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("cannot be read: Is a directory\n")
    monkeypatch.setattr(simulate, "MAX_TRACE_BYTES", 100)
    assert main(["simulate", "--trace", str(trace)]) == 2
    assert "larger than" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--scenario", "holiday"],
        ["--scenario", "smooth", "--trace", "a.csv"],
        ["--scenario", "smooth", "--slots", "0"],
        ["--scenario", "smooth", "--startup-seconds", "nan"],
        ["--scenario", "smooth", "--peak", "-1"],
        ["--scenario", "smooth", "--target-blocked", "2"],
        ["--scenario", "smooth", "--target-blocked", "1e-300"],
        ["--scenario", "smooth", "--hold-seconds", "-0.5"],
        ["--scenario", "smooth", "--output", "xml"],
        ["--scenario", "smooth", "--campaigns-known", "--campaigns-unknown"],
    ],
    ids=" ".join,
)
def test_bad_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: voicefleet simulate")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "nobody"], "there is no policy called 'nobody'; --help lists them"),
        (["--plot", "a.pdf"], "a.pdf: a plot is a file that ends in .svg or .png"),
        (["--plot", "nowhere/a.svg"], "nowhere/a.svg: there is no such folder"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_simulated(
    trace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["simulate", "--trace", str(trace), *arguments]) == 2
    assert capsys.readouterr().err == f"voicefleet simulate: {message}\n"


def test_help_lists_scenarios_and_policies(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    shown = capsys.readouterr().out
    for name in ("flash-crowd", "outage", "keda-full", "agones-20-percent", "pipecat"):
        assert f"\n  {name} " in shown
