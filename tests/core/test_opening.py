"""Open, closed, and when that changes: on the clocks of the business, holidays and clock changes included."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.api.voiceagent.tools import BusinessHours
from voicefleet.conversation.opening import opening_at

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS: dict[str, Any] = {
    "timeZone": "Europe/Berlin",
    "hours": [
        {"days": ["Mon", "Tue", "Wed", "Thu"], "start": "09:00", "end": "12:00"},
        {"days": ["Mon", "Tue", "Wed", "Thu"], "start": "13:00", "end": "18:00"},
        {"days": ["Fri"], "start": "09:00", "end": "12:00"},
        {"days": ["Fri"], "start": "12:00", "end": "15:00"},
    ],
    "holidays": ["2026-04-06"],
}


@pytest.mark.parametrize(
    ("now", "is_open", "changes_at"),
    [
        ("2026-03-02T08:30:00+01:00", False, "2026-03-02T09:00:00+01:00"),
        ("2026-03-02T09:00:00+01:00", True, "2026-03-02T12:00:00+01:00"),
        ("2026-03-02T12:00:00+01:00", False, "2026-03-02T13:00:00+01:00"),
        ("2026-03-06T11:00:00+01:00", True, "2026-03-06T15:00:00+01:00"),
        ("2026-03-06T15:00:00+01:00", False, "2026-03-09T09:00:00+01:00"),
        ("2026-03-02T08:30:00+00:00", True, "2026-03-02T12:00:00+01:00"),
        ("2026-03-27T16:00:00+01:00", False, "2026-03-30T09:00:00+02:00"),
        ("2026-04-06T10:00:00+02:00", False, "2026-04-07T09:00:00+02:00"),
    ],
    ids=["before", "the first minute", "at noon", "hours that touch", "a weekend", "another zone", "summer", "holiday"],
)
def test_a_week(now: str, *, is_open: bool, changes_at: str) -> None:
    opening = opening_at(BusinessHours.model_validate(HOURS), datetime.fromisoformat(now))

    assert (opening.is_open, opening.changes_at) == (is_open, datetime.fromisoformat(changes_at))
    assert opening.is_holiday is now.startswith("2026-04-06")


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - the bounds
def test_it_is_the_other_way_round_when_it_changes(now: datetime) -> None:
    hours = BusinessHours.model_validate(HOURS)
    opening = opening_at(hours, now)

    assert opening.changes_at is not None
    assert opening.changes_at > now
    assert opening_at(hours, opening.changes_at).is_open is not opening.is_open
    assert opening_at(hours, opening.changes_at - timedelta(minutes=1)).is_open is opening.is_open or (
        opening.changes_at - now < timedelta(minutes=1)
    )


def test_who_is_open_day_and_night_never_closes() -> None:
    always = {"timeZone": "Europe/Berlin", "hours": [{"days": [*DAYS], "start": "00:00", "end": "23:59"}]}
    opening = opening_at(BusinessHours.model_validate(always), datetime(2026, 3, 2, 22, 59, 30, tzinfo=UTC))

    assert opening.is_open
    assert opening.changes_at is not None
    assert opening.changes_at - opening.now > timedelta(days=30)


def test_who_is_closed_for_good_does_not_open() -> None:
    every_day = [f"2026-{month:02}-{day:02}" for month in (3, 4, 5) for day in range(1, 32)]
    closed = BusinessHours.model_validate({**HOURS, "holidays": every_day})

    assert opening_at(closed, datetime(2026, 3, 2, 10, tzinfo=UTC)).changes_at is None
