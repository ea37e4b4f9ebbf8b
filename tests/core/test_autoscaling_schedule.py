"""Floors that hold at known times, on the clocks of their zones, also on the days when clocks change."""

from datetime import UTC, date, datetime, timedelta

import pytest

from voicefleet.api.voiceagent.scaling import ScheduledFloor
from voicefleet.autoscaling.cron import parse_cron
from voicefleet.autoscaling.load import Floor
from voicefleet.autoscaling.schedule import active_floors, complaint_about

MINUTE = timedelta(minutes=1)
NO_TIME = timedelta(0)


def floor(**fields: object) -> ScheduledFloor:
    return ScheduledFloor.model_validate({"name": "lunch", "freeSlots": 30} | fields)


def office(zone: str, start: str = "09:00", end: str = "17:00") -> ScheduledFloor:
    return floor(hours={"days": ["Mon", "Tue", "Wed", "Thu", "Fri"], "start": start, "end": end}, timeZone=zone)


def holds(schedule: ScheduledFloor, at: str, ahead: timedelta = NO_TIME) -> bool:
    return active_floors((schedule,), datetime.fromisoformat(at).replace(tzinfo=UTC), ahead) != ()


@pytest.mark.parametrize(
    ("at", "held"),
    [
        ("2026-03-27 07:59", False),
        ("2026-03-27 08:00", True),
        ("2026-03-27 15:59", True),
        ("2026-03-27 16:00", False),
        ("2026-03-28 10:00", False),  # Saturday
        ("2026-03-30 06:59", False),
        ("2026-03-30 07:00", True),  # Monday, an hour earlier by UTC: the clocks went forward on Sunday
    ],
)
def test_hours_follow_the_clock_of_their_zone(at: str, held: bool) -> None:
    assert holds(office("Europe/Berlin"), at) is held


def test_a_floor_is_raised_one_lead_before_it_begins() -> None:
    assert holds(office("Etc/UTC"), "2026-03-27 08:58:30", 2 * MINUTE)
    assert not holds(office("Etc/UTC"), "2026-03-27 08:57:30", 2 * MINUTE)


def test_a_floor_says_its_name_and_what_it_asks_for() -> None:
    schedule = floor(cron="0 9 * * *", durationMinutes=60, minWorkers=4)
    now = datetime(2026, 3, 27, 9, 30, tzinfo=UTC)

    assert active_floors((schedule,), now, NO_TIME) == (Floor("lunch", workers=4, free_slots=30),)


@pytest.mark.parametrize(
    ("cron", "at", "held"),
    [
        ("0 9 * * *", "2026-03-27 08:59", False),
        ("0 9 * * *", "2026-03-27 09:00", True),
        ("0 9 * * *", "2026-03-27 09:29", True),
        ("0 9 * * *", "2026-03-27 09:30", False),
        ("*/20 8-10 * * *", "2026-03-27 10:59", True),
        ("45 23 * * *", "2026-03-28 00:10", True),  # across midnight
        ("45 23 31 12 *", "2027-01-01 00:10", True),  # and across the year
        ("0 9 * * mon-fri", "2026-03-28 09:10", False),
        ("0 9 * * SAT,SUN", "2026-03-28 09:10", True),
        ("0 9 * * 0", "2026-03-29 09:10", True),
        ("0 9 * * 7", "2026-03-29 09:10", True),
        ("0 9 * * 5-7", "2026-03-29 09:10", True),
        ("0 9 * * fri-sun", "2026-03-29 09:10", True),
        ("0 9 13 * 5", "2026-03-27 09:10", True),  # a Friday, not the 13th
        ("0 9 13 * 5", "2026-04-13 09:10", True),  # the 13th, a Monday
        ("0 9 13 * 5", "2026-04-14 09:10", False),
        ("0 9 13 * *", "2026-03-27 09:10", False),
        ("0 9 * feb *", "2026-03-27 09:10", False),
        ("0 9 29 2 *", "2028-02-29 09:10", True),
    ],
)
def test_a_cron_begins_a_floor_that_lasts_half_an_hour(cron: str, at: str, held: bool) -> None:
    assert holds(floor(cron=cron, durationMinutes=30), at) is held


def test_a_floor_of_a_week_is_found_days_after_it_began() -> None:
    weekly = floor(cron="0 0 * * mon", durationMinutes=10_080)

    assert holds(weekly, "2026-03-29 23:59")
    assert not holds(floor(cron="0 0 * * mon", durationMinutes=10_000), "2026-03-29 23:59")


def test_a_reading_that_the_clock_skips_holds_the_floor_around_the_change() -> None:
    # Berlin goes from 02:00 to 03:00 at 01:00 UTC; there is no 02:30.
    skipped = floor(cron="30 2 * * *", durationMinutes=60, timeZone="Europe/Berlin")

    assert [holds(skipped, f"2026-03-29 0{hour}:45") for hour in (0, 1, 2)] == [True, True, False]
    assert holds(skipped, "2026-03-30 00:45")
    assert not holds(skipped, "2026-03-30 01:45")


def test_a_reading_that_the_clock_repeats_holds_the_floor_both_times() -> None:
    # Berlin goes from 03:00 back to 02:00 at 01:00 UTC; 02:30 is 00:30 and 01:30 UTC.
    repeated = floor(cron="30 2 * * *", durationMinutes=20, timeZone="Europe/Berlin")
    held = [holds(repeated, f"2026-10-25 {at}") for at in ("00:29", "00:30", "00:49", "00:50", "01:30", "01:50")]

    assert held == [False, True, True, False, True, False]


def test_hours_on_the_day_of_a_change_are_the_hours_of_the_clock() -> None:
    night = floor(hours={"days": ["Sun"], "start": "01:00", "end": "04:00"}, timeZone="Europe/Berlin")

    # Spring: two hours long, 00:00 to 02:00 UTC. Autumn: four hours, 23:00 to 03:00 UTC.
    assert [holds(night, f"2026-03-29 0{hour}:30") for hour in range(4)] == [True, True, False, False]
    assert [holds(night, at) for at in ("2026-10-24 22:59", "2026-10-24 23:00", "2026-10-25 02:59")] == [
        False,
        True,
        True,
    ]
    assert not holds(night, "2026-10-25 03:00")


@pytest.mark.parametrize(
    ("cron", "complaint"),
    [
        ("60 * * * *", "minute: '60' is not a number from 0 to 59"),
        ("* 9-5 * * *", "hour: '9-5' runs backwards"),
        ("* * 0 * *", "day of the month: '0' is not a number from 1 to 31"),
        ("* * * jupiter *", "month: 'jupiter' is not a number from 1 to 12"),
        ("*/0 * * * *", "minute: the step in '*/0' must be a number above 0"),
        ("* * * * 8", "day of the week: '8' is not a number from 0 to 7"),
        ("1,,2 * * * *", "minute: '' is not a number from 0 to 59"),
    ],
)
def test_a_cron_that_cannot_be_read_never_holds_and_says_why(cron: str, complaint: str) -> None:
    schedule = floor(cron=cron, durationMinutes=30)

    assert complaint_about(schedule) == f"schedule lunch: {complaint}"
    assert not holds(schedule, "2026-03-27 09:10")


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "Europe"])
def test_a_zone_that_does_not_exist_is_named(zone: str) -> None:
    assert complaint_about(office(zone)) == f"schedule lunch: there is no time zone {zone}"
    assert not holds(office(zone), "2026-03-27 10:00")


def test_a_good_schedule_has_no_complaint_and_six_fields_have_one() -> None:
    assert complaint_about(office("Asia/Kathmandu")) is None
    with pytest.raises(ValueError, match="has 6 fields"):
        parse_cron("0 * * * * *")


def test_steps_lists_and_ranges_mix() -> None:
    cron = parse_cron("0-10/5,30 8,20 * jan-mar/2 *")

    assert cron.minutes == (1230, 1210, 1205, 1200, 510, 490, 485, 480)
    assert cron.months == {1, 3}
    assert cron.names_day(date(2026, 3, 1))
    assert not cron.names_day(date(2026, 2, 1))


def test_a_step_from_a_number_runs_to_the_end() -> None:
    assert parse_cron("50/5 0 * * *").minutes == (55, 50)
