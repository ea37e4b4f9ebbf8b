"""A call is in one state at a time, and ends once, from wherever it is."""

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.records.ends import End
from voicefleet.records.life import (
    TABLE,
    Life,
    News,
    State,
    step,
    when_it_cannot_go_on,
    when_the_caller_goes,
    when_the_session_closes,
    when_the_worker_leaves,
)

DOCUMENT = Path(__file__).parents[2] / "docs/conversation.md"
TO_TALKING = (News.WARM, News.CAME, News.PICKED_UP)
WAYS = {
    State.JOINING: (),
    State.WAITING: TO_TALKING[:1],
    State.RINGING: TO_TALKING[:2],
    State.TALKING: TO_TALKING,
    State.GIVING_UP: (*TO_TALKING, News.GIVE_UP),
    State.HOLDING: (*TO_TALKING, News.HOLD),
    State.REFERRING: (*TO_TALKING, News.HOLD, News.REFER),
    State.DIALING: (*TO_TALKING, News.HOLD, News.DIAL),
    State.MEETING: (*TO_TALKING, News.HOLD, News.DIAL, News.MEET),
    State.CLOSING: (*TO_TALKING, News.GOODBYE),
    State.ENDED: (News.END,),
}


def life_in(state: State) -> Life:
    """Return the life of a call that has come so far, by the shortest way."""
    life = Life()
    for news in WAYS[state]:
        after = step(life, news, End.TOO_LONG if news in (News.GOODBYE, News.END) else None)
        assert after is not None
        life = after
    assert life.state is state
    return life


@pytest.mark.parametrize("state", [state for state in State if state is not State.ENDED])
def test_a_call_can_end_from_wherever_it_is(state: State) -> None:
    assert step(life_in(state), News.END, End.ROOM_GONE) == Life(State.ENDED, End.ROOM_GONE)


@pytest.mark.parametrize("news", News)
def test_what_is_over_stays_so(news: News) -> None:
    assert step(life_in(State.ENDED), news, End.CALLER_LEFT) is None


@given(st.lists(st.tuples(st.sampled_from(News), st.none() | st.sampled_from(End))))
def test_whatever_happens_in_whatever_order(history: list[tuple[News, End | None]]) -> None:
    life, states = Life(), [State.JOINING]
    for news, why in history:
        after = step(life, news, why)
        if after is not None:
            life = after
            states.append(life.state)
        assert not (life.is_free and life.is_putting_through)
    for before, after_that in itertools.pairwise(states):
        if after_that is State.CLOSING:
            assert before is State.TALKING, "nobody is said goodbye to who waits for a person, or was told so already"
        if before is State.CLOSING:
            assert after_that is State.ENDED
        if after_that in (State.REFERRING, State.DIALING):
            assert before is State.HOLDING, "nobody is asked for before the caller is told, and one at a time"
        if after_that is State.MEETING:
            assert before is State.DIALING
    assert states.count(State.ENDED) <= 1
    assert State.TALKING not in states or State.RINGING in states[: states.index(State.TALKING)]


def test_who_is_back_with_the_agent_is_not_on_the_way_out_any_more() -> None:
    gives_up = step(life_in(State.TALKING), News.GIVE_UP, End.PROVIDERS_FAILED)
    assert gives_up is not None
    on_hold = step(gives_up, News.HOLD)
    assert on_hold == Life(State.HOLDING, End.PROVIDERS_FAILED)
    assert on_hold is not None
    assert step(on_hold, News.BACK) == Life(State.TALKING)


@pytest.mark.parametrize(
    ("state", "end", "hangs_up", "waits"),
    [
        (State.RINGING, End.CALLER_LEFT, False, False),
        (State.TALKING, End.CALLER_LEFT, False, False),
        (State.HOLDING, End.CALLER_LEFT, False, False),
        (State.REFERRING, End.CALLER_LEFT, False, True),
        (State.DIALING, End.CALLER_LEFT, True, False),
        (State.MEETING, End.CALLER_LEFT, True, False),
        (State.CLOSING, End.TOO_LONG, False, False),
    ],
)
def test_how_a_call_ends_whose_caller_goes(state: State, end: End, *, hangs_up: bool, waits: bool) -> None:
    parting = when_the_caller_goes(life_in(state), room_is_closed=False)

    assert (parting.end, parting.hangs_up, parting.patience_seconds > 0) == (end, hangs_up, waits)
    assert parting.is_at_once is not (hangs_up or waits)


def test_a_caller_who_goes_during_the_last_apology_was_let_down() -> None:
    life = Life(State.GIVING_UP, End.PROVIDERS_FAILED)

    assert when_the_caller_goes(life, room_is_closed=False).end is End.PROVIDERS_FAILED
    assert when_the_caller_goes(life, room_is_closed=True).end is End.PROVIDERS_FAILED


@pytest.mark.parametrize("state", [state for state in State if state is not State.ENDED])
def test_with_a_room_that_is_closed_the_call_ends_at_once_and_nobody_has_hung_up(state: State) -> None:
    parting = when_the_caller_goes(life_in(state), room_is_closed=True)

    # Who was being said goodbye to was told why before.
    assert parting.end is (End.TOO_LONG if state is State.CLOSING else End.ROOM_CLOSED)
    assert parting.is_at_once


@pytest.mark.parametrize("state", State)
def test_a_session_that_fails_cuts_nobody_who_talks_to_a_person_and_waits_for_who_is_asked(state: State) -> None:
    parting = when_the_session_closes(life_in(state), has_failed=True, worker_leaves=False)

    if state is State.MEETING:
        assert (parting.end, parting.is_at_once) == (End.TRANSFERRED, True)
    else:
        assert parting == when_it_cannot_go_on(End.SESSION_FAILED)
        assert parting.hangs_up
        assert parting.patience_seconds > 0


@pytest.mark.parametrize(
    ("state", "worker_leaves", "end"),
    [
        (State.TALKING, False, End.SESSION_CLOSED),
        (State.TALKING, True, End.CUT),
        (State.CLOSING, True, End.TOO_LONG),
        (State.MEETING, True, End.TRANSFERRED),
    ],
)
def test_a_session_that_is_closed_ends_the_call_at_once(state: State, *, worker_leaves: bool, end: End) -> None:
    parting = when_the_session_closes(life_in(state), has_failed=False, worker_leaves=worker_leaves)

    assert (parting.end, parting.is_at_once) == (end, True)


@pytest.mark.parametrize("state", State)
def test_a_worker_that_leaves_hangs_up_where_nobody_would_hear_a_goodbye(state: State) -> None:
    is_alone = state in (State.JOINING, State.WAITING, State.RINGING)

    assert (when_the_worker_leaves(life_in(state)) is not None) is is_alone


def test_the_document_shows_the_states_as_they_are() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+): (\w+)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    # That a call can end from anywhere is said in words.
    table = {(before.value, after.value, news.value) for (before, news), after in TABLE.items() if news is not News.END}

    assert drawn == table
