"""Which floors of the spec hold now or begin before a worker could start; hours and cron, on the clocks of the zone.

Where a clock skips or repeats an hour, a floor holds for either reading: room too much for an hour beats too little.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from voicefleet.api.schedule import WEEKDAYS, Hours
from voicefleet.api.voiceagent.scaling import ScheduledFloor
from voicefleet.autoscaling.cron import parse_cron
from voicefleet.autoscaling.load import Floor

_DAY = timedelta(days=1)
_LARGEST_CLOCK_CHANGE = timedelta(hours=3)


def active_floors(schedules: Sequence[ScheduledFloor], now: datetime, ahead: timedelta) -> tuple[Floor, ...]:
    """Return the floors that hold at some moment from now until so far ahead; one that can't be read never holds."""
    return tuple(
        Floor(schedule.name, workers=schedule.min_workers or 0, free_slots=schedule.free_slots or 0)
        for schedule in schedules
        if complaint_about(schedule) is None and _holds(schedule, now, now + ahead)
    )


def complaint_about(schedule: ScheduledFloor) -> str | None:
    """Return why a schedule can't be read, or nothing."""
    try:
        ZoneInfo(schedule.time_zone)
        if schedule.cron is not None:
            parse_cron(schedule.cron)
    except (ZoneInfoNotFoundError, IsADirectoryError):
        return f"schedule {schedule.name}: there is no time zone {schedule.time_zone}"
    except ValueError as error:
        return f"schedule {schedule.name}: {error}"
    return None


def _holds(schedule: ScheduledFloor, begin: datetime, end: datetime) -> bool:
    zone = ZoneInfo(schedule.time_zone)
    if schedule.hours is not None:
        spans = _spans_of_hours(schedule.hours, zone, begin, end)
    else:
        spans = _spans_of_cron(schedule, zone, begin, end)
    return any(first <= end and begin < last for first, last in spans)


def _spans_of_hours(
    hours: Hours, zone: ZoneInfo, begin: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    day, last_day = begin.astimezone(zone).date(), end.astimezone(zone).date()
    start, stop = time.fromisoformat(hours.start), time.fromisoformat(hours.end)
    while day <= last_day:
        if WEEKDAYS[day.weekday()] in hours.days:
            yield min(_readings(day, start, zone)), max(_readings(day, stop, zone))
        day += _DAY


def _spans_of_cron(
    schedule: ScheduledFloor, zone: ZoneInfo, begin: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the spans that may hold, the latest first."""
    cron = parse_cron(schedule.cron or "")
    lasts = timedelta(minutes=schedule.duration_minutes or 0)
    newest = end.astimezone(zone).replace(tzinfo=None) + _LARGEST_CLOCK_CHANGE
    oldest = (begin - lasts).astimezone(zone).replace(tzinfo=None) - _LARGEST_CLOCK_CHANGE
    day = newest.date()
    while day >= oldest.date():
        for minute in cron.minutes if cron.names_day(day) else ():
            clock = time(minute // 60, minute % 60)
            if oldest <= datetime.combine(day, clock) <= newest:
                for first in _readings(day, clock, zone):
                    yield first, first + lasts
        day -= _DAY


def _readings(day: date, clock: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the instants that a wall clock's reading may mean: two when it is skipped or repeated, else one twice."""
    reading = datetime.combine(day, clock, zone)
    return reading.astimezone(UTC), reading.replace(fold=1).astimezone(UTC)
