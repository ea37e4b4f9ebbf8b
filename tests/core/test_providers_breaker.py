"""The breaker's table, row by row, and its laws over any history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.api.providerpool.providers import Breaker as Policy
from voicefleet.providers.breaker import PROBE_SECONDS, Breaker, Cause, Outcome, State, admit, call_off, forgive, learn

POLICY = Policy(failures=3, window_seconds=30, failure_fraction=0.5, open_seconds=30, max_open_seconds=100)


def play(*outcomes: tuple[float, Cause | None], start: Breaker | None = None) -> Breaker:
    """Let requests begin and end at once, each at its moment, if the breaker admits them."""
    breaker = start or Breaker()
    for at, failed in outcomes:
        if breaker.admits(at):
            breaker = learn(admit(breaker, at), Outcome(at, failed), POLICY, at)
    return breaker


FAIL, WELL = Cause.FAILURES, None
OPEN = play((1, FAIL), (2, FAIL), (3, FAIL))


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([(1, WELL)], State.CLOSED),
        ([(1, FAIL), (2, FAIL)], State.CLOSED),
        ([(1, FAIL), (2, FAIL), (3, FAIL)], State.OPEN),
        ([(1, WELL), (1, WELL), (1, WELL), (1, WELL), (1, FAIL), (2, FAIL), (3, FAIL)], State.CLOSED),
        ([(1, WELL), (1, WELL), (1, WELL), (1, FAIL), (2, FAIL), (3, FAIL)], State.OPEN),
        ([(1, FAIL), (2, FAIL), (50, FAIL)], State.CLOSED),
        ([(1, Cause.CREDENTIALS)], State.OPEN),
        ([(1, Cause.THROTTLED)], State.OPEN),
    ],
    ids=[
        "a success",
        "too few failures",
        "enough failures",
        "enough failures, but too small a share",
        "enough failures and half of all",
        "failures too far apart",
        "a key that is refused",
        "throttled",
    ],
)
def test_a_closed_breaker(outcomes: list[tuple[float, Cause | None]], state: State) -> None:
    assert play(*outcomes).state is state


def test_an_open_breaker_admits_nobody_until_its_time_is_over() -> None:
    assert (OPEN.since, OPEN.until) == (3, 33)
    assert [OPEN.admits(at) for at in (3, 32.9, 33)] == [False, False, True]


def test_a_clock_that_is_set_back_leaves_nobody_alone_until_it_has_caught_up() -> None:
    hour = 3600.0
    late = play((1 + hour, FAIL), (2 + hour, FAIL), (3 + hour, FAIL))

    assert [late.admits(at) for at in (hour - 1, 10, 33)] == [False, True, True]
    assert not admit(late, 10).admits(11), "one finds out"
    # Failures of a time to come are none of the last while.
    assert play((1 + hour, FAIL), (2 + hour, FAIL), (3, FAIL)).state is State.CLOSED


def test_only_one_finds_out_whether_a_provider_is_well_again() -> None:
    probing = admit(OPEN, 33)

    assert probing.state is State.HALF_OPEN
    assert not probing.admits(33 + PROBE_SECONDS - 0.1)
    # Its call may have ended meanwhile.
    assert probing.admits(33 + PROBE_SECONDS)


def test_a_probe_that_goes_well_closes_it_as_if_nothing_had_been() -> None:
    healed = learn(admit(OPEN, 33), Outcome(33), POLICY, 34)

    assert healed == Breaker(since=34)


def test_each_probe_that_fails_doubles_the_rest_up_to_the_longest() -> None:
    breaker, rests = OPEN, []
    for _ in range(4):
        at = breaker.until
        breaker = learn(admit(breaker, at), Outcome(at, FAIL), POLICY, at)
        rests.append(breaker.until - at)

    assert rests == [60, 100, 100, 100]


def test_a_probe_that_nobody_waits_for_any_more_leaves_its_place_to_the_next() -> None:
    probing = admit(OPEN, 33)
    free = call_off(probing, 33, 34)

    assert (free.state, free.admits(34)) == (State.OPEN, True)
    assert call_off(probing, 20, 34) == probing, "a stream of long ago is no probe"
    assert call_off(probing, 33.5, 34) == probing, "nor is another request beside it"
    assert call_off(Breaker(), 1, 2) == Breaker()


def test_who_began_before_it_opened_neither_closes_nor_prolongs_it() -> None:
    assert learn(OPEN, Outcome(2), POLICY, 5) == OPEN
    assert learn(OPEN, Outcome(2, FAIL), POLICY, 5) == OPEN
    probing = admit(OPEN, 33)
    assert learn(probing, Outcome(2), POLICY, 34) == probing


def test_throttled_it_rests_for_as_long_as_the_provider_says() -> None:
    breaker = learn(Breaker(), Outcome(1, Cause.THROTTLED, rest_seconds=7), POLICY, 1)
    assert (breaker.until, breaker.cause) == (8, Cause.THROTTLED)

    # Of several who are told so, the one who is told to wait for longest is right.
    later = learn(breaker, Outcome(1, Cause.THROTTLED, rest_seconds=20), POLICY, 2)
    assert later.until == 22
    assert learn(later, Outcome(1, Cause.THROTTLED, rest_seconds=1), POLICY, 3) == later


def test_a_provider_cannot_ask_for_a_rest_without_end() -> None:
    breaker = learn(Breaker(), Outcome(1, Cause.THROTTLED, rest_seconds=1e9), POLICY, 1)

    assert breaker.until <= 3601


def test_a_key_that_is_refused_is_tried_again_late_and_another_key_at_once() -> None:
    refused = learn(Breaker(), Outcome(1, Cause.CREDENTIALS, key=7), POLICY, 1)
    assert refused.until == 1 + POLICY.max_open_seconds

    assert forgive(refused, 7, 5) == refused, "a new key may be the one that is refused"
    assert forgive(refused, 8, 5) == Breaker(since=5)
    assert forgive(admit(refused, 101), 8, 102) == Breaker(since=102), "a probe with the old key proves nothing"


@pytest.mark.parametrize("breaker", [Breaker(since=3), OPEN, play((1, Cause.THROTTLED))], ids=["well", "fails", "429"])
def test_another_key_changes_nothing_where_none_was_refused(breaker: Breaker) -> None:
    assert forgive(breaker, 8, 5) is breaker


def test_who_refuses_a_key_that_nobody_knows_refuses_it_until_there_is_one() -> None:
    refused = learn(Breaker(), Outcome(1, Cause.CREDENTIALS), POLICY, 1)

    assert (forgive(refused, 0, 5), forgive(refused, 8, 5)) == (refused, Breaker(since=5))


CAUSES = st.sampled_from([None, Cause.FAILURES, Cause.THROTTLED, Cause.CREDENTIALS])
STEPS = st.lists(
    st.tuples(
        st.floats(0, 200), st.booleans(), CAUSES, st.none() | st.floats(0, 5000), st.floats(0, 60, allow_nan=False)
    ),
    max_size=40,
)


@given(STEPS)
def test_laws_of_any_history(steps: list[tuple[float, bool, Cause | None, float | None, float]]) -> None:
    breaker, now = Breaker(), 1000.0
    for pause, asks, failed, rest, age in steps:
        now += pause
        before = breaker
        if asks:
            admitted = before.admits(now)
            breaker = admit(before, now)
            if admitted and before.state is not State.CLOSED:
                assert not breaker.admits(now), "two at once find out whether it is well"
            if not admitted:
                assert breaker == before
        else:
            breaker = learn(before, Outcome(now - age, failed, rest), POLICY, now)
            if before.state is State.OPEN:
                assert breaker.state is State.OPEN, "only a probe closes it"
                assert breaker.until >= before.until
            if failed is None:
                assert breaker.state in (before.state, State.CLOSED), "a success opens nothing"
        longest = max(POLICY.max_open_seconds, 3600)
        assert breaker.until - now <= longest + 1e-6
        assert breaker.admits(now + longest + 1), "it opens for ever"
