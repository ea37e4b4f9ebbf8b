"""A trace from CSV: one call a line, `start,duration` in seconds.

Starts may be in any order and count from any moment; time begins with the first call.
"""

import csv
import math
from collections.abc import Iterable, Sequence

from voicefleet_simulator.trace import Call, Trace, build_trace

MAX_CALLS = 2_000_000
MAX_SPAN_DAYS = 31
_MAX_SPAN_SECONDS = MAX_SPAN_DAYS * 86_400.0
_COLUMNS = ("start", "duration")


class BadTraceError(Exception):
    """A file that holds no trace: on which line, and why."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


def read_trace(lines: Iterable[str], name: str) -> Trace:
    """Read a trace; the first line may be a header."""
    reader = csv.reader(lines)
    places: Sequence[int] = (0, 1)
    calls: list[Call] = []
    try:
        for number, row in enumerate(reader):
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            header = _read_header(cells, reader.line_num) if number == 0 else None
            if header is not None:
                places = header
                continue
            calls.append(_read_call(cells, places, reader.line_num))
            if len(calls) > MAX_CALLS:
                raise BadTraceError(reader.line_num, f"more than {MAX_CALLS:,} calls: simulate a part of them")
    except csv.Error as error:
        raise BadTraceError(reader.line_num, f"not CSV: {error}") from error
    if not calls:
        raise BadTraceError(max(1, reader.line_num), "no call: expected lines of start,duration in seconds")
    return _from_first_call(calls, name)


def _read_header(cells: Sequence[str], line: int) -> Sequence[int] | None:
    """Return where the columns are if this is a header, and nothing if it is a call."""
    if _is_number(cells[0]):
        return None
    names = [cell.lower() for cell in cells]
    missing = [column for column in _COLUMNS if column not in names]
    if missing:
        raise BadTraceError(line, f"expected the header start,duration or two numbers; there is no {missing[0]!r}")
    return [names.index(column) for column in _COLUMNS]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_call(cells: Sequence[str], places: Sequence[int], line: int) -> Call:
    if len(cells) <= max(places):
        raise BadTraceError(line, f"{len(cells)} of 2 columns: expected start,duration")
    start, duration = (
        _read_seconds(cells[place], column, line) for place, column in zip(places, _COLUMNS, strict=True)
    )
    if duration < 0:
        raise BadTraceError(line, f"duration is negative: {duration:g}")
    if duration > _MAX_SPAN_SECONDS:
        raise BadTraceError(line, f"duration is longer than {MAX_SPAN_DAYS} days: {duration:g}")
    return Call(start, duration)


def _read_seconds(text: str, column: str, line: int) -> float:
    if not _is_number(text):
        raise BadTraceError(line, f"{column} is not a number: {text[:40]!a}")
    seconds = float(text)
    if not math.isfinite(seconds):
        raise BadTraceError(line, f"{column} is not a finite number: {text[:40]!a}")
    return seconds


def _from_first_call(calls: list[Call], name: str) -> Trace:
    first, last = min(call.start for call in calls), max(call.start for call in calls)
    if last - first > _MAX_SPAN_SECONDS:
        days = (last - first) / 86_400
        raise BadTraceError(1, f"the calls span {days:,.0f} days; at most {MAX_SPAN_DAYS}: are starts in seconds?")
    return build_trace(name, (Call(call.start - first, call.duration) for call in calls))
