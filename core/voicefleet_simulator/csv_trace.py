"""A trace from CSV: one call a line, `start,duration` in seconds.

Starts may be in any order and count from any moment; time begins with the first call.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from typing import TextIO

from voicefleet_simulator.trace import Call, Trace, build_trace

MAX_CALLS = 2_000_000
MAX_SPAN_DAYS = 31
_MAX_SPAN_SECONDS = MAX_SPAN_DAYS * 86_400.0
MAX_TRACE_BYTES = 134_217_728
_LONGEST_LINE = 65_536
_COLUMNS = ("start", "duration")
_BYTE_ORDER_MARK = "\ufeff"


class BadTraceError(Exception):
    """A file that holds no trace: on which line, and why."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


def read_trace(text: TextIO, name: str) -> Trace:
    """Read a trace; the first line that is not empty may be a header."""
    reader = csv.reader(_lines_of(text))
    places: Sequence[int] | None = None
    calls: list[Call] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if places is None:
                header = _read_header(cells, reader.line_num)
                places = header or (0, 1)
                if header is not None:
                    continue
            calls.append(_read_call(cells, places, reader.line_num))
            if len(calls) > MAX_CALLS:
                raise BadTraceError(reader.line_num, f"more than {MAX_CALLS:,} calls: simulate a part of them")
    except csv.Error as error:
        raise BadTraceError(reader.line_num, f"not CSV: {error}") from error
    if not calls:
        raise BadTraceError(max(1, reader.line_num), "no call: expected lines of start,duration in seconds")
    return _from_first_call(calls, name)


def _lines_of(text: TextIO) -> Iterator[str]:
    """Yield the lines, as long as neither one of them nor all of them are without end."""
    number, left = 0, MAX_TRACE_BYTES
    while line := text.readline(_LONGEST_LINE):
        number, left = number + 1, left - len(line)
        if len(line) == _LONGEST_LINE:
            raise BadTraceError(number, f"a line of {_LONGEST_LINE:,} characters or more: expected start,duration")
        if left < 0:
            raise BadTraceError(number, f"larger than {MAX_TRACE_BYTES // 1_048_576} MiB: simulate a part of it")
        # Excel writes it, and standard input does not take it away.
        yield line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line


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
