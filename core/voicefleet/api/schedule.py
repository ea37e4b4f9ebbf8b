"""Weekly hours in a named time zone, for whatever opens and closes: scaling floors, business hours, calling windows."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel, Rule
from voicefleet.api.markers import ListSet
from voicefleet.api.types import ClockTime, Items

Weekday = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
"""In the order in which `date.weekday()` counts them."""
Weekdays = Annotated[Items[Weekday], Field(min_length=1, max_length=7), ListSet()]
CalendarDay = Annotated[str, StringConstraints(max_length=10, pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$")]


class Hours(ApiModel):
    """A span of the day on some days of the week; it does not cross midnight."""

    RULES: ClassVar = (
        Rule(
            cel="self.start < self.end",
            check=lambda hours: hours.start < hours.end,
            message="start must be before end: write hours that cross midnight as two entries",
        ),
    )

    days: Weekdays = ("Mon", "Tue", "Wed", "Thu", "Fri")
    """Days of the week."""
    start: ClockTime
    """First minute, such as 09:00."""
    end: ClockTime
    """Minute at which it is over, such as 17:00."""
