"""What a caller wishes, as it is noted: when to be called back, and where."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from voicefleet.conversation.outcome import CallbackWish, Unclear, read_callback

NOW = datetime(2026, 3, 31, 15, 0, tzinfo=UTC)
CALLER = "+4930123456"


def wish(number: str | None = None, when: str | None = None, caller: str | None = CALLER) -> CallbackWish | Unclear:
    return read_callback(number=number, when=when, caller=caller, now=NOW)


@pytest.mark.parametrize(
    ("when", "at"),
    [
        (None, None),
        ("2026-03-31T17:01+02:00", datetime(2026, 3, 31, 17, 1, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-03-31T03:01", datetime(2026, 3, 31, 3, 1)),  # noqa: DTZ001 - the caller's own
        ("2027-03-31T15:00:00Z", datetime(2027, 3, 31, 15, 0, tzinfo=UTC)),
    ],
    ids=["soon", "in a minute", "not past everywhere on earth", "in a year"],
)
def test_when(when: str | None, at: datetime | None) -> None:
    assert wish(when=when) == CallbackWish(CALLER, at)


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("2026-03-31T17:00+02:00", "that is past"),
        ("2026-03-31T03:00", "that is past"),
        ("2027-04-02T15:00Z", "more than a year"),
        ("tomorrow", "date and a time"),
    ],
    ids=["now", "past everywhere on earth", "in more than a year", "in words"],
)
def test_a_time_that_cannot_be_is_told(when: str, why: str) -> None:
    refused = wish(when=when)

    assert isinstance(refused, Unclear)
    assert why in refused.why


@pytest.mark.parametrize(
    ("number", "called"), [(None, CALLER), ("", CALLER), ("+49 (30) 99-88 77", "+4930998877")],
    ids=["the caller's", "none", "as people write it"],
)  # fmt: skip
def test_where(number: str | None, called: str) -> None:
    assert wish(number) == CallbackWish(called, None)


@pytest.mark.parametrize("number", ["030 99887", "+0123456789", "+49301234567890123", "Ada"])
def test_a_number_that_cannot_be_dialed_is_told(number: str) -> None:
    refused = wish(number)

    assert isinstance(refused, Unclear)
    assert "country code" in refused.why


def test_a_caller_without_a_number_is_asked_for_one() -> None:
    assert isinstance(wish(caller=None), Unclear)
    assert wish("+4930998877", caller=None) == CallbackWish("+4930998877", None)
