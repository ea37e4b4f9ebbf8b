"""How many permits of a quota of a minute a worker should hold."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.providers.permits import MOST_PERMITS, Minute, MinuteWord, wanted_permits

counts = st.integers(0, 5000)
words = st.builds(MinuteWord, st.integers(1, 5000), held=counts, used=counts, lacks=st.booleans(), recent=counts)
minutes = st.builds(Minute, counts, counts, st.integers(0, 200))


@dataclass(frozen=True)
class Case:
    id: str
    own: MinuteWord
    fleet: Minute
    workers: int
    wanted: int


LACKS = MinuteWord(60, lacks=True)
CASES = (
    Case("what is not used is divided", MinuteWord(60), Minute(used=20), 4, 10),
    Case("what others hold is a part of it", MinuteWord(60), Minute(used=20, held=40), 4, 10),
    Case("where there is less than one for each, one is kept at hand", MinuteWord(3), Minute(), 10, 1),
    Case("of a minute that is used up there is nothing", MinuteWord(60), Minute(used=60), 1, 0),
    Case("of a quota that was larger there is nothing", MinuteWord(10), Minute(used=60), 1, 0),
    Case("once another lacks some, who begins nothing keeps nothing", MinuteWord(60), Minute(others_lacking=1), 4, 0),
    Case("and others keep what two seconds need", MinuteWord(60, recent=90), Minute(others_lacking=1), 4, 3),
    Case("who alone lacks some wants what is not used", LACKS, Minute(used=50), 4, 10),
    Case("those who lack some divide it", LACKS, Minute(used=40, others_lacking=1), 4, 10),
    Case("of little, each who lacks some wants one", LACKS, Minute(used=58, others_lacking=9), 10, 1),
    Case("of a small quota nobody holds more than a handful", MinuteWord(60), Minute(), 1, 16),
    Case("of a large one nobody holds more than a quarter", MinuteWord(1000), Minute(), 1, 250),
    Case("nor more than there is room for", MinuteWord(5000), Minute(), 1, MOST_PERMITS),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_permits_are_divided(case: Case) -> None:
    assert wanted_permits(case.own, case.fleet, case.workers) == case.wanted


@given(words, minutes, st.integers(0, 200))
def test_nobody_wants_more_than_is_not_used(own: MinuteWord, fleet: Minute, workers: int) -> None:
    assert 0 <= wanted_permits(own, fleet, workers) <= max(0, own.quota - fleet.used)


@given(words, minutes, st.integers(0, 200))
def test_who_lacks_permits_always_wants_one_if_there_is_any(own: MinuteWord, fleet: Minute, workers: int) -> None:
    assert wanted_permits(own._replace(lacks=True), fleet, workers) >= min(1, max(0, own.quota - fleet.used))
