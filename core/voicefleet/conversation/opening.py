"""Whether a business is open, and until when or from when on: what an agent tells a caller who asks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from voicefleet.api.schedule import WEEKDAYS
from voicefleet.api.voiceagent.tools import BusinessHours

# Whoever is closed for longer than this has closed for good, as far as a caller is concerned.
_LOOKED_AHEAD_DAYS = 60
_LAST_MINUTE = "23:59"


@dataclass(frozen=True, slots=True)
class Opening:
    """How it is at one moment, on the clocks of the business."""

    now: datetime
    is_open: bool
    is_holiday: bool
    changes_at: datetime | None
    """When it closes, or opens again; None if it stays as it is for as long as we look ahead."""


def fault_in(hours: BusinessHours) -> tuple[str, str] | None:
    """Return which field nobody could go by, and why."""
    try:
        ZoneInfo(hours.time_zone)
    except (ZoneInfoNotFoundError, IsADirectoryError):
        return "timeZone", f"there is no time zone {hours.time_zone}"
    strange = next((day for day in hours.holidays if not _exists(day)), None)
    return None if strange is None else ("holidays", f"there is no day {strange}")


def opening_at(hours: BusinessHours, now: datetime) -> Opening:
    """Tell how it is now."""
    zone = ZoneInfo(hours.time_zone)
    here = now.astimezone(zone)
    is_open, changes_at = False, None
    for begin, end in _spans(hours, here.date(), zone):
        if end <= here:
            continue
        is_open = begin <= here
        changes_at = end if is_open else begin
        break
    return Opening(here, is_open, here.date().isoformat() in hours.holidays, changes_at)


def _spans(hours: BusinessHours, first: date, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """Yield when it is open, in order; hours that touch are one span: nobody is told of a break of no length."""
    current: tuple[datetime, datetime] | None = None
    for offset in range(_LOOKED_AHEAD_DAYS):
        day = first + timedelta(days=offset)
        if day.isoformat() in hours.holidays:
            continue
        for start, stop in sorted((h.start, h.end) for h in hours.hours if WEEKDAYS[day.weekday()] in h.days):
            span = _at(day, start, zone), _at(day, stop, zone)
            if current is not None and span[0] <= current[1]:
                current = current[0], max(current[1], span[1])
            else:
                if current is not None:
                    yield current
                current = span
    if current is not None:
        yield current


def _exists(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def _at(day: date, clock: str, zone: ZoneInfo) -> datetime:
    if clock == _LAST_MINUTE:
        # There is no later one to write: who closes then does not close.
        return datetime.combine(day + timedelta(days=1), time(), zone)
    return datetime.combine(day, time.fromisoformat(clock), zone)
