"""One agent is in charge at any moment, and one handoff at a time."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.handoffs.floor import Event, Floor, Phase, Refusal, ask, step

NAMES = ("a", "b", "c")
A_TO_B = Floor("a", Phase.ASKED, "b")


def test_a_handoff_is_asked_acknowledged_and_done() -> None:
    floor = ask(Floor("a"), by="a", to="b", known=NAMES)
    assert floor == A_TO_B
    floor = step(A_TO_B, Event.READY, to="b")
    assert floor == Floor("a", Phase.ACKNOWLEDGED, "b")
    assert step(Floor("a", Phase.ACKNOWLEDGED, "b"), Event.ENTER, to="b") == Floor("b")


@pytest.mark.parametrize("phase", [Phase.ASKED, Phase.ACKNOWLEDGED])
def test_a_handoff_that_fails_leaves_the_first_in_charge(phase: Phase) -> None:
    assert step(Floor("a", phase, "b"), Event.FAIL, to="b") == Floor("a")


@pytest.mark.parametrize(
    ("floor", "by", "to", "refusal"),
    [
        (Floor("a"), "b", "c", Refusal.NOT_IN_CHARGE),
        (Floor("a"), "a", "x", Refusal.UNKNOWN),
        (Floor("a"), "a", "a", Refusal.UNKNOWN),
        (A_TO_B, "a", "c", Refusal.UNDER_WAY),
        (A_TO_B, "a", "b", Refusal.UNDER_WAY),
    ],
)
def test_what_cannot_be_is_refused(floor: Floor, by: str, to: str, refusal: Refusal) -> None:
    assert ask(floor, by=by, to=to, known=NAMES) is refusal


def test_nobody_takes_over_who_was_not_acknowledged() -> None:
    assert step(A_TO_B, Event.ENTER, to="b") is Refusal.OUTDATED
    assert step(A_TO_B, Event.READY, to="c") is Refusal.OUTDATED


@dataclass(frozen=True)
class Word:
    """Something that somebody does, in whatever order."""

    event: Event
    by: str
    to: str


WORDS = st.lists(st.builds(Word, st.sampled_from(Event), st.sampled_from(NAMES), st.sampled_from((*NAMES, "x"))))


@given(WORDS)
def test_whatever_happens_in_whatever_order_each_change_was_asked_and_acknowledged_first(words: list[Word]) -> None:
    floor = Floor("a")
    heard: list[Word] = []
    for word in words:
        before = floor
        after = (
            ask(floor, by=word.by, to=word.to, known=NAMES)
            if word.event is Event.ASK
            else step(floor, word.event, to=word.to)
        )
        if isinstance(after, Refusal):
            continue
        floor = after
        heard.append(word)
        assert floor.in_charge in NAMES
        assert (floor.to is None) is (floor.phase is Phase.TALKING)
        if floor.in_charge != before.in_charge:
            asked, ready, entered = heard[-3:]
            assert [asked.event, ready.event, entered.event] == [Event.ASK, Event.READY, Event.ENTER]
            assert asked.by == before.in_charge
            assert {asked.to, ready.to, entered.to} == {floor.in_charge}
