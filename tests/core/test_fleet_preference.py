"""A server that draws evenly is noticed, and one that is only in a rush is not accused."""

import random
from datetime import UTC, datetime

import pytest

from voicefleet.autoscaling.packing import GRADES, REST
from voicefleet.fleet.observed import Heard
from voicefleet.fleet.preference import Preference
from voicefleet.wire import Session, WorkerState

NOW = datetime(2026, 12, 1, tzinfo=UTC)
SLOTS = 12


def heard(asked: float | None, calls: int = 0, **more: bool) -> Heard:
    sessions = tuple(Session(id=f"AJ_{number}", age_seconds=1.0) for number in range(calls))
    state = WorkerState(
        sequence=1, revision="r1", slots=SLOTS, sessions=sessions, asked_load=asked, **{"registered": True, **more}
    )
    return Heard(state, NOW)


@pytest.mark.parametrize(
    ("came_to", "before", "seen"),
    [
        ("first", {"first": heard(GRADES[0]), "rest": heard(REST)}, Preference(1, 0)),
        ("rest", {"first": heard(GRADES[0]), "rest": heard(REST)}, Preference(0, 1)),
        ("rest", {"first": heard(GRADES[0], calls=SLOTS), "rest": heard(REST)}, Preference()),
        ("rest", {"first": heard(GRADES[0], cordoned=True), "rest": heard(REST)}, Preference()),
        ("rest", {"first": heard(GRADES[0], registered=False), "rest": heard(REST)}, Preference()),
        ("rest", {"rest": heard(REST), "other": heard(REST)}, Preference()),
        ("alone", {"alone": heard(None), "first": heard(GRADES[0])}, Preference()),
        ("new", {"first": heard(GRADES[0])}, Preference()),
    ],
    ids=[
        "as asked",
        "not as asked",
        "full",
        "cordoned",
        "not registered",
        "nobody asks",
        "told nothing",
        "never heard",
    ],
)
def test_a_call_counts_where_it_had_a_choice(came_to: str, before: dict[str, Heard], seen: Preference) -> None:
    assert Preference().after(came_to, 1, before) == seen
    assert Preference().after(came_to, 0, before) == Preference()


def test_a_server_that_clamps_is_noticed_within_a_dozen_calls_and_believed_again_when_it_was_set_right() -> None:
    draw = random.Random(7)  # noqa: S311
    before = {"first": heard(GRADES[0]), **{f"rest-{number}": heard(REST) for number in range(3)}}
    seen = Preference()
    for _ in range(40):
        seen = seen.after(draw.choice(sorted(before)), 1, before)
    assert seen.is_ignored

    for _ in range(60):
        seen = seen.after("first", 1, before)
    assert not seen.is_ignored


@pytest.mark.parametrize("late", [1, 5])
def test_a_rush_that_overtakes_the_news_is_no_clamping(late: int) -> None:
    """Of each dozen that fill the favourite, some go to others because its last slots are gone before it says so."""
    before = {"first": heard(GRADES[0]), "rest": heard(REST)}
    seen = Preference()
    for _ in range(10):
        seen = seen.after("first", SLOTS - late, before).after("rest", late, before)

    assert not seen.is_ignored
