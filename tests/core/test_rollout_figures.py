"""What workers count, added up by revision; every call counts once, whatever happens to its worker."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from voicefleet.rollout import Figures, Ledger
from voicefleet.wire import WorkerState

CLASSES = 18


def says(*, ended: int = 0, failed: int = 0, instance: str = "a", calls: int = 0, **tally: Any) -> WorkerState:
    sessions = [{"id": f"call-{number}", "ageSeconds": 1} for number in range(calls)]
    counts = {"callsEnded": ended, "callsFailed": failed, **tally}
    return WorkerState.model_validate(
        {"sequence": 1, "revision": "liar", "slots": 12, "instance": instance, "sessions": sessions, "tally": counts}
    )


def turns(**by_class: int) -> Figures:
    return Figures(turn_latency=tuple(by_class.get(f"c{number}", 0) for number in range(CLASSES)))


def test_what_was_counted_before_the_first_word_does_not_count() -> None:
    ledger = Ledger()

    ledger.note("pod", "one", says(ended=1000))
    assert ledger.since_look() == {}
    ledger.note("pod", "one", says(ended=1003, failed=1))
    assert ledger.since_look() == {"one": Figures(calls_ended=3, calls_failed=1)}


def test_a_process_that_starts_again_counts_from_zero_and_lost_the_calls_that_it_held() -> None:
    ledger = Ledger()
    ledger.note("pod", "one", says(ended=10, calls=2))

    ledger.note("pod", "one", says(ended=1, instance="b"))

    assert ledger.since_look() == {"one": Figures(calls_ended=3, calls_failed=2)}


def test_a_count_that_falls_tells_of_a_new_process_where_workers_do_not_name_it() -> None:
    ledger = Ledger()
    ledger.note("pod", "one", says(ended=10, instance=""))

    ledger.note("pod", "one", says(ended=4, instance=""))

    assert ledger.since_look()["one"].calls_ended == 4


def test_calls_of_a_crashed_worker_failed_and_those_lost_with_a_node_say_nothing() -> None:
    ledger = Ledger()
    ledger.note("crashes", "one", says(calls=3))
    ledger.note("vanishes", "one", says(calls=5))

    ledger.crashed("crashes")
    ledger.crashed("crashes")
    ledger.retain(["another"])
    ledger.crashed("vanishes")

    assert ledger.since_look() == {"one": Figures(calls_ended=3, calls_failed=3)}


def test_what_is_counted_between_decision_and_close_is_kept_for_the_next_look() -> None:
    ledger = Ledger()
    ledger.note("pod", "one", says())
    ledger.note("pod", "one", says(ended=5))
    used = ledger.since_look()
    ledger.note("pod", "one", says(ended=7))

    ledger.close_look(used, ["one"])

    assert ledger.since_look() == {"one": Figures(calls_ended=2)}
    ledger.close_look({}, ["two"])
    assert ledger.since_look() == {}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.booleans()), max_size=30))
def test_no_call_is_counted_twice_or_lost(steps: list[tuple[str, int, bool]]) -> None:
    """Two workers end calls and start again now and then, repeating themselves in between."""
    ledger, counts, lives = Ledger(), {"a": 0, "b": 0}, {"a": 0, "b": 0}
    for uid in counts:
        ledger.note(uid, "one", says(instance=f"{uid}0"))
    expected = 0
    for uid, ended, restarts in steps:
        lives[uid] += restarts
        counts[uid] = ended if restarts else counts[uid] + ended
        expected += ended
        for _ in range(2):
            ledger.note(uid, "one", says(ended=counts[uid], instance=f"{uid}{lives[uid]}"))

    assert ledger.since_look().get("one", Figures()).calls_ended == expected


def test_slow_turns_are_those_that_surely_were_slower() -> None:
    seen = turns(c11=1, c12=2, c13=4, c17=8)

    assert [seen.slower_than(limit) for limit in (2500, 2501, 3000, 3001, 10_000, 10_001)] == [14, 12, 12, 8, 8, 0]


def test_a_quantile_is_the_upper_bound_of_its_class() -> None:
    seen = turns(c2=90, c7=9, c17=1)

    assert [seen.turn_latency_quantile(q) for q in (0.5, 0.9, 0.91, 0.99, 1)] == [300, 300, 1000, 1000, 60_000]
    assert Figures().turn_latency_quantile(0.95) is None


COUNTS = st.integers(0, 1000)
FIGURES = st.builds(
    Figures, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.tuples(*(COUNTS for _ in range(CLASSES))).map(tuple)
)


@given(FIGURES, FIGURES)
def test_a_difference_undoes_a_sum_and_is_never_negative(first: Figures, second: Figures) -> None:
    assert (first + second) - second == first
    assert not (first - second).fell_since(Figures())
