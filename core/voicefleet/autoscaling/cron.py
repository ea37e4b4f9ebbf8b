"""Moments written as five cron fields: which minutes of which days they name, on a wall clock."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five fields: its name, what it may hold, and words for its numbers."""

    name: str
    first: int
    last: int
    words: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """The minutes of a day, descending, and the days that five fields name."""

    minutes: tuple[int, ...]
    """Minutes since midnight, the latest first."""
    days_of_month: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either_day: bool
    """Both day fields are restricted: then one of them is enough, as in every cron since Version 7."""

    def names_day(self, day: date) -> bool:
        """Tell whether the fields name this day."""
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days_of_month, day.isoweekday() % 7 in self.weekdays
        return by_month or by_week if self.either_day else by_month and by_week


@lru_cache(maxsize=1024)
def parse_cron(text: str) -> Cron:
    """Return what the five fields name, or raise ValueError that says which field is wrong and why."""
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"'{text}' has {len(parts)} fields, cron has five: minute, hour, day, month, day of the week")
    minutes, hours, days, months, weekdays = (
        _parse_field(part, field) for part, field in zip(parts, _FIELDS, strict=True)
    )
    return Cron(
        minutes=tuple(sorted((hour * 60 + minute for hour in hours for minute in minutes), reverse=True)),
        days_of_month=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        either_day=not (parts[2].startswith("*") or parts[4].startswith("*")),
    )


def _parse_field(text: str, field: _Field) -> frozenset[int]:
    numbers: set[int] = set()
    for item in text.split(","):
        span, slash, step = item.partition("/")
        if slash and not (step.isdecimal() and int(step) > 0):
            raise ValueError(f"{field.name}: the step in '{item}' must be a number above 0")
        numbers.update(range(*_parse_span(span, field, stepped=bool(slash)), int(step or 1)))
    return frozenset(numbers)


def _parse_span(text: str, field: _Field, *, stepped: bool) -> tuple[int, int]:
    if text == "*":
        # Sunday is 0 here, and 7 only when written so: else '*/7' would name it twice.
        return field.first, (6 if field.words is _DAYS else field.last) + 1
    low_text, dash, high_text = text.partition("-")
    low = _parse_number(low_text, field)
    if dash:
        high = _parse_number(high_text, field)
        if high == 0 and field.words is _DAYS and low > 0:
            high = 7  # fri-sun
    else:
        high = field.last if stepped else low
    if low > high:
        raise ValueError(f"{field.name}: '{text}' runs backwards")
    return low, high + 1


def _parse_number(text: str, field: _Field) -> int:
    if text.lower() in field.words:
        return field.words.index(text.lower()) + (field.first if field.words is _MONTHS else 0)
    if not text.isdecimal() or not field.first <= int(text) <= field.last:
        raise ValueError(f"{field.name}: '{text}' is not a number from {field.first} to {field.last}")
    return int(text)
