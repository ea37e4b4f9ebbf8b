"""Days of calls: read from a file, or drawn by name."""

import io
import math

import pytest

from voicefleet_simulator.csv_trace import BadTraceError, read_trace
from voicefleet_simulator.scenarios import BURSTS, SCENARIOS
from voicefleet_simulator.trace import Trace, build_trace


def _read(text: str) -> Trace:
    return read_trace(io.StringIO(text, newline=""), "test")


@pytest.mark.parametrize(
    "text",
    [
        "start,duration\n5,10\n2,20\n",
        "5,10\n2,20\n",
        "2,20\n\n5,10\n",
        "Duration,agent,Start\n10,a,5\n20,b,2\n",
        "start,duration\r\n5,10\r\n2,20\r\n",
        " start , duration \n 5 , 10 \n 2,20",
        "1700000005,10\n1700000002,20\n",
        "\ufeffstart,duration\n5,10\n2,20\n",
        "\n\nstart,duration\n5,10\n2,20\n",
    ],
    ids=[
        "with a header",
        "without one",
        "with an empty line",
        "with columns in another order, and more of them",
        "with line ends of Windows",
        "with blanks, and no line end at the end",
        "with starts as seconds since 1970",
        "with a byte order mark, as Excel writes it",
        "with empty lines before the header",
    ],
)
def test_a_trace_is_read_in_whichever_form(text: str) -> None:
    trace = _read(text)
    assert (trace.starts, trace.durations, trace.seconds) == ((0.0, 3.0), (20.0, 10.0), 20.0)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "no call: expected lines of start,duration in seconds"),
        ("start,duration\n", 1, "no call: expected lines of start,duration in seconds"),
        ("begin,length\n0,1\n", 1, "expected the header start,duration or two numbers; there is no 'start'"),
        ("start,length\n0,1\n", 1, "expected the header start,duration or two numbers; there is no 'duration'"),
        ("start,duration\n0,1\n1,-2\n", 3, "duration is negative: -2"),
        ("0,1\n1,nan\n", 2, "duration is not a finite number: 'nan'"),
        ("0,1\ninf,1\n", 2, "start is not a finite number: 'inf'"),
        ("0,1\n1e999,1\n", 2, "start is not a finite number: '1e999'"),
        ("0,1\n\nfour,1\n", 3, "start is not a number: 'four'"),
        ("0,1\n5\n", 2, "1 of 2 columns: expected start,duration"),
        ("0,1\n1,\n", 2, "duration is not a number: ''"),
        ("0,1\n1,1e9\n", 2, "duration is longer than 31 days: 1e+09"),
        ("0,1\n1e9,1\n", 1, "the calls span 11,574 days; at most 31: are starts in seconds?"),
        ("0,1\n\x1b[2J,1\n", 2, r"start is not a number: '\x1b[2J'"),
    ],
)
def test_what_is_no_trace_is_named_by_line_and_cause(text: str, line: int, message: str) -> None:
    with pytest.raises(BadTraceError) as raised:
        _read(text)
    assert (raised.value.line, raised.value.message) == (line, message)


def test_a_file_with_too_many_calls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicefleet_simulator.csv_trace.MAX_CALLS", 2)
    assert len(_read("0,1\n1,1\n").starts) == 2
    with pytest.raises(BadTraceError, match="line 3: more than 2 calls"):
        _read("0,1\n1,1\n2,1\n")


def test_lines_without_end_are_refused_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.StringIO):
        def readline(self, size: int | None = -1) -> str:
            return "0" * size if size and size > 0 else pytest.fail("the whole line is asked for")

    with pytest.raises(BadTraceError, match="line 1: a line of 65,536 characters or more"):
        read_trace(Endless(), "test")
    monkeypatch.setattr("voicefleet_simulator.csv_trace.MAX_TRACE_BYTES", 7)
    assert len(_read("0,1\n1,1").starts) == 2
    with pytest.raises(BadTraceError, match="line 2: larger than 0 MiB"):
        _read("0,1\n1,1\n")


def test_a_field_that_csv_cannot_hold_is_refused() -> None:
    with pytest.raises(BadTraceError, match="not CSV"):
        _read('"' + "1\n" * 100_000)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_a_day_in_order_that_its_seed_repeats(name: str) -> None:
    trace, again, other = (SCENARIOS[name].trace(peak=30, seed=seed) for seed in (1, 1, 2))
    assert trace == again
    assert trace != other
    assert list(trace.starts) == sorted(trace.starts)
    assert trace.starts[0] >= 0
    assert trace.starts[-1] < trace.seconds
    assert all(duration >= 0 and math.isfinite(duration) for duration in trace.durations)
    assert trace.peak == pytest.approx(30, rel=1.2)


def test_the_smooth_day_is_that_of_the_note() -> None:
    traces = [SCENARIOS["smooth"].trace(seed=seed) for seed in (1, 2, 3)]
    assert sum(len(trace.starts) for trace in traces) / 3 == pytest.approx(58_500, rel=0.05)
    assert sum(trace.peak for trace in traces) / 3 == pytest.approx(610, rel=0.05)
    assert sum(sum(trace.durations) for trace in traces) / 3 / 86_400 == pytest.approx(244, rel=0.05)


def test_bursts_are_known_as_what_comes() -> None:
    trace = SCENARIOS["bursts"].trace()
    for (begins_at, seconds, calls), known in zip(BURSTS, trace.known, strict=True):
        came = sum(begins_at <= trace.starts[place] < begins_at + seconds for place in trace.campaign_calls)
        assert (known.begins_at, known.seconds, known.calls) == (begins_at, seconds, calls)
        assert came == pytest.approx(calls, rel=0.35)


def test_an_outage_ends_all_calls_at_once_and_people_call_again() -> None:
    trace = SCENARIOS["outage"].trace()
    down, up = 11.5 * 3600, 11.5 * 3600 + 180
    ends = [start + duration for start, duration in zip(trace.starts, trace.durations, strict=True)]
    over = sum(start < down and abs(end - down) < 1e-6 for start, end in zip(trace.starts, ends, strict=True))
    before = sum(up - 120 - 300 <= start < up - 300 for start in trace.starts)
    after = sum(up <= start < up + 120 for start in trace.starts)
    assert over > 400
    assert not any(start < down < end - 1e-6 for start, end in zip(trace.starts, ends, strict=True))
    assert after > 2 * before


def test_a_part_of_a_day_begins_at_nought() -> None:
    day = SCENARIOS["bursts"].trace(peak=30)
    part = day.between(40_000, 41_000)
    assert part.seconds == 1000
    assert len(part.starts) == sum(40_000 <= start < 41_000 for start in day.starts)
    assert part.known[1].begins_at == BURSTS[1][0] - 40_000
    assert part.campaign_calls


def test_a_day_without_calls_has_no_peak() -> None:
    assert build_trace("empty", []).peak == 0
