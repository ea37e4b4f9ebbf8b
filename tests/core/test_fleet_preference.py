"""A server that draws evenly is noticed, and one that is only in a rush is not accused."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

import pytest

from tests.support.fleet import lessons
from voicefleet.autoscaling.load import Standing, WorkerLoad
from voicefleet.autoscaling.packing import GRADES, REST, choose_rest, plan_loads
from voicefleet.fleet.observed import Heard
from voicefleet.fleet.preference import Preference, Words
from voicefleet.wire import Session, WorkerState

NOW = datetime(2026, 12, 1, tzinfo=UTC)
SLOTS = 12
TAUGHT = {ignored: lessons(loads_ignored=ignored) for ignored in (False, True)}
Heards = dict[str, Heard]


@cache
def heard(asked: float | None, calls: int = 0, *, live: bool = True, **more: bool) -> Heard:
    sessions = tuple(Session(id=f"AJ_{number}", age_seconds=1.0) for number in range(calls))
    state = WorkerState(
        sequence=1, revision="r1", slots=SLOTS, sessions=sessions, asked_load=asked, **{"registered": True, **more}
    )
    return Heard(state, NOW, live=live)


FIRST, RESTING = heard(GRADES[0]), heard(REST)


@pytest.mark.parametrize(
    ("came_to", "before", "seen"),
    [
        ("first", {"first": FIRST, "rest": RESTING}, Preference(1, 0)),
        ("first", {"first": FIRST, "second": heard(GRADES[1])}, Preference(1, 0)),
        ("first", {"first": FIRST, "new": heard(None)}, Preference(1, 0)),
        ("first", {"first": FIRST, "high": heard(0.5)}, Preference()),
        ("rest", {"first": FIRST, "rest": RESTING}, Preference(0, 1)),
        ("high", {"first": FIRST, "high": heard(0.5)}, Preference(0, 1)),
        ("second", {"first": FIRST, "second": heard(GRADES[1])}, Preference(0, 1)),
        ("told nothing", {"told nothing": heard(None), "first": FIRST}, Preference(0, 1)),
        ("second", {"first": FIRST, "second": heard(GRADES[0] / 10)}, Preference()),
        ("rest", {"first": heard(GRADES[0], calls=SLOTS), "rest": RESTING}, Preference()),
        ("rest", {"first": heard(GRADES[0], cordoned=True), "rest": RESTING}, Preference()),
        ("rest", {"first": heard(GRADES[0], draining=True), "rest": RESTING}, Preference()),
        ("rest", {"first": heard(GRADES[0], registered=False), "rest": RESTING}, Preference()),
        ("rest", {"first": heard(GRADES[0], live=False), "rest": RESTING}, Preference()),
        ("rest", {"rest": RESTING, "other": RESTING}, Preference()),
        ("new", {"first": FIRST}, Preference()),
    ],
    ids=[
        "as asked",
        "as asked among favourites",
        "as asked, and one was told nothing",
        "any server sees that difference",
        "not as asked",
        "not as asked, though any server sees the difference",
        "not as asked among favourites",
        "not as asked, and told nothing",
        "a canary's share",
        "full",
        "cordoned",
        "draining",
        "not registered",
        "off the line",
        "nobody asks",
        "never heard",
    ],
)
def test_a_call_counts_where_it_had_a_choice(came_to: str, before: Heards, seen: Preference) -> None:
    now = {came_to: heard(None), **before}
    assert Preference().after(came_to, 1, Words(before, now)) == seen
    assert Preference().after(came_to, 0, Words(before, now)) == Preference()


@pytest.mark.parametrize(
    ("changed", "seen"),
    [
        ({}, Preference(0, 3)),
        ({"first": heard(GRADES[0], calls=SLOTS)}, Preference()),
        ({"first": heard(REST)}, Preference()),
        ({"rest": heard(GRADES[0], calls=3)}, Preference()),
    ],
    ids=["all stays", "the favourite is full now", "the favourite is none now", "whoever got the call is one now"],
)
def test_what_changed_meanwhile_is_no_reproach(changed: Heards, seen: Preference) -> None:
    before = {"first": FIRST, "rest": RESTING}
    assert Preference().after("rest", 3, Words(before, {**before, "rest": heard(REST, calls=3), **changed})) == seen


def test_among_two_who_both_asked_until_now_there_was_no_choice() -> None:
    before = {"first": FIRST, "second": FIRST}
    for now in (RESTING, heard(0.5)):
        assert Preference().after("first", 1, Words(before, {**before, "second": now})) == Preference()


def test_a_favourite_that_was_full_until_now_is_no_reproach_either() -> None:
    before = {"first": heard(GRADES[0], calls=SLOTS), "rest": RESTING}
    now = {"first": heard(GRADES[0], calls=SLOTS - 1), "rest": heard(REST, calls=1)}

    assert Preference().after("rest", 1, Words(before, now)) == Preference()


@pytest.mark.parametrize("late", [1, 5])
def test_a_rush_that_overtakes_the_news_is_no_clamping(late: int) -> None:
    """Of each dozen that fill the favourite, some go to others because its last slots are gone before it says so."""
    before = {"first": FIRST, "rest": RESTING}
    seen = Preference()
    for _ in range(10):
        seen = seen.after("first", SLOTS - late, Words(before, before)).after("rest", late, Words(before, before))

    assert not seen.is_ignored


class Calls:
    """Calls that come and go at a fleet, a server that draws workers for them, and an operator that watches."""

    def __init__(self, workers: int, *, clamps: bool) -> None:
        self.held = {f"w{number}": 0 for number in range(workers)}
        self.clamps = clamps
        self.seen = Preference()
        self.verdicts: list[bool] = []
        self._draw = random.Random(7)  # noqa: S311

    def come(self, calls: int) -> "Calls":
        for _ in range(calls):
            if sum(self.held.values()) > len(self.held) * SLOTS // 2:
                self.held[self._one_of([name for name, held in self.held.items() for _ in range(held)])] -= 1
            loads = self.loads()
            before = self._words(loads)
            with_room = [name for name, held in self.held.items() if held < SLOTS]
            chosen = self._one_of(with_room, [self._weight(loads[name]) for name in with_room])
            self.held[chosen] += 1
            self.seen = self.seen.after(chosen, 1, Words(before, self._words(loads)))
            self.verdicts.append(self.seen.is_ignored)
        return self

    def loads(self) -> dict[str, float]:
        taught = TAUGHT[self.seen.is_ignored]
        fleet = [WorkerLoad(name, SLOTS, Standing.OPEN, 0.0, (0.0,) * held) for name, held in self.held.items()]
        return plan_loads(fleet, taught, 0.0, rest=choose_rest(taught, 0.7))

    def _words(self, loads: dict[str, float]) -> Heards:
        return {name: heard(loads[name], calls) for name, calls in self.held.items()}

    def _weight(self, load: float) -> float:
        return 1 - max(0.0, load) if self.clamps else 1 - load

    def _one_of(self, names: Sequence[str], weights: Sequence[float] | None = None) -> str:
        return self._draw.choices(names, weights)[0]


@pytest.mark.parametrize("workers", [2, 3, 6, 40])
def test_a_server_that_clamps_is_noticed_soon_and_for_good(workers: int) -> None:
    calls = Calls(workers, clamps=True).come(200)
    assert calls.seen.is_ignored

    calls.come(3000)

    assert sum(before != after for before, after in zip([False, *calls.verdicts], calls.verdicts, strict=False)) == 1


@pytest.mark.parametrize("workers", [2, 3, 6, 40])
def test_a_server_that_honours_loads_is_never_accused(workers: int) -> None:
    assert not any(Calls(workers, clamps=False).come(3000).verdicts)


@pytest.mark.parametrize("workers", [6, 40])
def test_a_server_that_was_set_right_is_believed_again(workers: int) -> None:
    calls = Calls(workers, clamps=True).come(200)
    calls.clamps = False

    assert not calls.come(400).seen.is_ignored
    assert not any(calls.come(1000).verdicts[-1000:])


def test_where_only_one_asks_nothing_can_be_learned_and_the_verdict_stands() -> None:
    calls = Calls(2, clamps=True).come(200)
    calls.clamps = False

    assert calls.come(1000).seen.is_ignored


@pytest.mark.parametrize(
    ("hits", "misses", "is_ignored"), [(21, 2, False), (20, 3, True), (23, 0, False), (22, 0, True)]
)
def test_trust_takes_two_dozen_calls_and_ten_hits_for_a_miss(hits: int, misses: int, is_ignored: bool) -> None:
    before = {"first": FIRST, "rest": RESTING}
    seen = Preference(hits, misses, is_ignored=True)

    assert seen.after("first", 1, Words(before, before)).is_ignored is is_ignored
