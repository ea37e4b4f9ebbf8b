"""How calls on replaced workers end, told from look to look."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from voicefleet.rollout import Drains, WorkerCalls


def old(
    uid: str, calls: int | None, *, closed: bool = True, ended: bool = False, ending: bool = False, process: str = ""
) -> WorkerCalls:
    return WorkerCalls(uid, "old", calls, closed=closed, ended=ended, ending_calls=ending, process=process)


def tell(*looks: list[WorkerCalls], since: Drains | None = None) -> tuple[int, int, int]:
    drains = since or Drains()
    for look in looks:
        drains = drains.note(look, target="new")
    return drains.drained, drains.finished, drains.cut


def test_calls_that_end_on_a_cordoned_worker_are_finished() -> None:
    assert tell([old("a", 3)], [old("a", 1)], [old("a", 0)], []) == (3, 3, 0)


def test_a_worker_that_is_gone_with_calls_has_cut_them() -> None:
    assert tell([old("a", 3)], [old("a", 2)], []) == (3, 1, 2)


def test_a_pod_that_ended_with_calls_has_cut_them_once() -> None:
    over = [old("a", None, ended=True)]

    assert tell([old("a", 2)], over, over) == (2, 0, 2)


def test_calls_that_were_ended_by_the_limit_are_cut() -> None:
    assert tell([old("a", 3)], [old("a", 2)], [old("a", 0, ending=True)]) == (3, 1, 2)


def test_a_silent_worker_is_waited_for() -> None:
    assert tell([old("a", 3)], [old("a", None)], [old("a", 1)]) == (3, 2, 0)


def test_a_call_that_was_on_its_way_at_the_cordon_is_drained_too() -> None:
    assert tell([old("a", 3)], [old("a", 4)], [old("a", 0)]) == (4, 4, 0)


def test_calls_on_a_worker_that_is_opened_again_are_not_drained() -> None:
    assert tell([old("a", 3)], [old("a", 2)], [old("a", 2, closed=False)]) == (1, 1, 0)


def test_a_container_that_started_again_has_cut_its_calls_whether_it_is_closed_again_or_not() -> None:
    """In the same pod, and open as any that starts: it would pass for one that was opened again with its calls."""
    before, after = old("a", 5, process="1"), old("a", 0, process="2")

    assert tell([before], [after]) == (5, 0, 5)
    assert tell([before], [replace(after, closed=False)], [after]) == (5, 0, 5)
    assert tell([before], [replace(before, calls=None)], [after]) == (5, 0, 5)
    assert tell([replace(before, process="")], [replace(after, calls=4)]) == (5, 1, 0)


def test_workers_that_take_calls_and_those_of_the_target_do_not_drain() -> None:
    assert tell([old("a", 3, closed=False), WorkerCalls("b", "new", 2, closed=True)]) == (0, 0, 0)


def test_after_a_restart_what_is_still_held_is_not_counted_again() -> None:
    remembered = Drains.resume(drained=5, finished=1, cut=0)

    assert tell([old("a", 3)], since=remembered) == (5, 2, 0)
    assert tell([old("a", 3)], [old("a", 0)], since=remembered) == (5, 5, 0)


def test_after_a_restart_workers_that_were_cordoned_meanwhile_are_added() -> None:
    assert tell([old("a", 3), old("b", 4)], since=Drains.resume(drained=5, finished=1, cut=1)) == (9, 1, 1)


def test_after_a_restart_nothing_counts_as_finished_before_every_old_worker_is_heard() -> None:
    remembered, unheard = Drains.resume(drained=5, finished=1, cut=0), [old("a", None, closed=False), old("b", 1)]

    assert tell(unheard, since=remembered) == (5, 1, 0)
    assert tell(unheard, [old("a", 3), old("b", 1)], since=remembered) == (5, 1, 0)


WORKERS = st.builds(
    old,
    st.sampled_from("abc"),
    st.none() | st.integers(0, 5),
    closed=st.booleans(),
    ended=st.booleans(),
    process=st.sampled_from(["", "1", "2"]),
)
LOOKS = st.lists(st.lists(WORKERS, max_size=3, unique_by=lambda worker: worker.uid), max_size=8)


@given(LOOKS, st.integers(0, 8))
def test_drained_calls_are_finished_cut_or_still_held(looks: list[list[WorkerCalls]], restart: int) -> None:
    drains = Drains()
    for number, look in enumerate(looks):
        if number == restart:
            drains = Drains.resume(drains.drained, drains.finished, drains.cut)
        drains = drains.note(look, target="new")

        assert drains.resumed or drains.drained == drains.finished + drains.cut + drains.going_on
        assert min(drains.drained, drains.finished, drains.cut) >= 0
