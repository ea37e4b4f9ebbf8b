"""The queue, on a clock that only the test moves."""

import asyncio
from collections import deque
from itertools import pairwise

import pytest

from tests.support.clock import Clock
from voicefleet_operator.turns.workqueue import Key, QueueClosed, WorkQueue

A, B = Key("VoiceAgent", "voice", "a"), Key("VoiceAgent", "voice", "b")
PACE_SECONDS = 0.2


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock=clock, jitter=lambda: 1.0)


def test_a_key_that_is_asked_for_twice_comes_once(queue: WorkQueue) -> None:
    queue.add(A)
    queue.add(A)

    assert (queue.take(), queue.take()) == (A, None)


def test_keys_come_in_the_order_in_which_they_were_asked_for(queue: WorkQueue) -> None:
    queue.add(B)
    queue.add(A)

    assert (queue.take(), queue.take()) == (B, A)


def serve(queue: WorkQueue) -> str:
    key = queue.take()
    assert key is not None
    queue.done(key)
    return key.name


def look_after(queue: WorkQueue, clock: Clock, keys: list[Key]) -> None:
    """Serve keys once, and let them rest."""
    for key in keys:
        queue.add(key)
        serve(queue)
    clock.seconds += 1


def test_newcomers_go_first_and_do_not_keep_the_others_waiting_for_ever(queue: WorkQueue, clock: Clock) -> None:
    known = [Key("VoiceAgent", "voice", f"known-{number}") for number in range(2)]
    new = [Key("VoiceAgent", "voice", f"new-{number}") for number in range(5)]
    look_after(queue, clock, known)
    for key in (*known, *new):
        queue.add(key)

    order = [serve(queue) for _ in range(7)]

    assert order == ["new-0", "new-1", "new-2", "known-0", "new-3", "new-4", "known-1"]


def test_who_has_calls_that_changed_goes_before_the_others_who_are_known(queue: WorkQueue, clock: Clock) -> None:
    known = [Key("VoiceAgent", "voice", f"known-{number}") for number in range(3)]
    look_after(queue, clock, known)
    for key in known:
        queue.add(key)
    queue.add(known[2], urgent=True)

    assert [serve(queue) for _ in range(3)] == ["known-2", "known-0", "known-1"]
    assert queue.take() is None
    clock.seconds += 1
    for key in known:
        queue.add(key)
    assert [serve(queue) for _ in range(3)] == ["known-0", "known-1", "known-2"]


def test_who_is_urgent_while_it_rests_or_is_looked_after_is_urgent_after_that(queue: WorkQueue, clock: Clock) -> None:
    known = [Key("VoiceAgent", "voice", f"known-{number}") for number in range(4)]
    look_after(queue, clock, known)
    queue.add(known[3])
    serve(queue)
    queue.add(known[3], urgent=True)
    queue.add(known[2])
    held = queue.take()
    queue.add(known[2], urgent=True)
    clock.seconds += 1
    for key in known[:2]:
        queue.add(key)
    assert held is not None
    queue.done(held)

    order = [serve(queue) for _ in range(4)]

    assert (set(order[:2]), order[2:]) == ({"known-2", "known-3"}, ["known-0", "known-1"])


def test_who_is_the_next_of_the_known_anyway_does_not_line_up_behind_all_who_are_urgent(
    queue: WorkQueue, clock: Clock
) -> None:
    urgent = [Key("VoiceAgent", "voice", f"urgent-{number}") for number in range(9)]
    look_after(queue, clock, [A, *urgent])
    queue.add(A)
    for key in urgent:
        queue.add(key, urgent=True)

    queue.add(A, urgent=True)

    assert [serve(queue) for _ in range(4)][-1] == "a"


def test_nobody_waits_for_ever_for_those_who_are_always_urgent(queue: WorkQueue, clock: Clock) -> None:
    busy, calm = A, [Key("VoiceAgent", "voice", f"calm-{number}") for number in range(2)]
    look_after(queue, clock, [busy, *calm])
    for key in calm:
        queue.add(key)

    def serve_while_busy() -> str | None:
        clock.seconds += 1
        queue.add(busy, urgent=True)
        return serve(queue)

    assert [serve_while_busy() for _ in range(8)] == [*3 * ["a"], "calm-0", *3 * ["a"], "calm-1"]


def test_while_newcomers_are_served_the_others_are_served_one_at_a_time(queue: WorkQueue, clock: Clock) -> None:
    known = [Key("VoiceAgent", f"voice-{number}", "known") for number in range(4)]
    new = [Key("VoiceAgent", "voice", f"new-{number}") for number in range(2)]
    look_after(queue, clock, known)
    for key in (new[0], *known, new[1]):
        queue.add(key)

    assert {queue.take() for _ in range(4)} == {*new, known[0], None}
    queue.done(known[0])
    assert (queue.take(), queue.take()) == (known[1], None)
    for key in new:
        queue.done(key)
    assert (queue.take(), queue.take(), queue.take()) == (known[2], known[3], None)


def test_a_turn_that_hangs_keeps_the_others_waiting_for_a_second_only(queue: WorkQueue, clock: Clock) -> None:
    known = [Key("VoiceAgent", "voice", f"known-{number}") for number in range(3)]
    look_after(queue, clock, known)
    for key in (A, *known):
        queue.add(key)
    assert [queue.take() for _ in range(3)] == [A, known[0], None]
    clock.seconds += 0.9
    assert (queue.take(), queue.next_due_seconds()) == (None, pytest.approx(0.1))

    clock.seconds += 0.1

    # Whoever did not look in this very moment looks again at once.
    assert queue.next_due_seconds() == 0
    assert [queue.take() for _ in range(3)] == [known[1], known[2], None]


def test_a_first_turn_that_hangs_keeps_nobody_waiting_for_longer(queue: WorkQueue, clock: Clock) -> None:
    known = [Key("VoiceAgent", "elsewhere", f"known-{number}") for number in range(3)]
    look_after(queue, clock, known)
    queue.add(A)
    assert queue.take() == A
    clock.seconds += 1
    for key in known:
        queue.add(key)

    assert [queue.take() for _ in range(3)] == known


def test_a_namespace_with_newcomers_has_its_turns_for_the_others_beside_a_busy_one(
    queue: WorkQueue, clock: Clock
) -> None:
    new, calm = [Key("VoiceAgent", "voice", f"new-{number}") for number in range(400)], B
    busy = [Key("VoiceAgent", "elsewhere", f"busy-{number}") for number in range(50)]
    look_after(queue, clock, [calm, *busy])
    for key in (*new, calm):
        queue.add(key)
    began, served, turns = clock.seconds, set[Key](), deque[tuple[float, Key]]()
    while calm not in served and clock.seconds < began + 20:
        clock.seconds += 0.1
        for key in busy:
            queue.add(key)
        while turns and turns[0][0] <= clock.seconds:
            queue.done(turns.popleft()[1])
        while len(turns) < 8 and (taken := queue.take()):
            served.add(taken)
            turns.append((clock.seconds + 0.3, taken))

    assert clock.seconds < began + 5


def test_namespaces_without_newcomers_keep_their_turn_while_others_have_some(queue: WorkQueue, clock: Clock) -> None:
    known = [Key("VoiceAgent", f"old-{number}", "known") for number in range(6)]
    for key in known:
        queue.add(key)
        serve(queue)
    for number in range(40):
        queue.add(Key("VoiceAgent", "new", str(number)))
    served: list[str] = []
    held = [queue.take() for _ in range(2)]
    for _ in range(25):
        clock.seconds += 1
        for key in known:
            queue.add(key)
        # As many of the others as may be are under way, and then one of them is done.
        while (taken := queue.take()) is not None and taken.namespace != "new":
            held.append(taken)
            served.append(taken.namespace)
        held.append(taken)
        queue.done(next(key for key in held if key is not None))
        held.remove(next(key for key in held if key is not None))

    assert set(served) == {key.namespace for key in known}


def test_without_newcomers_all_hands_serve_the_others(queue: WorkQueue, clock: Clock) -> None:
    known = [Key("VoiceAgent", "voice", f"known-{number}") for number in range(8)]
    look_after(queue, clock, known)
    for key in known:
        queue.add(key)

    assert [queue.take() for _ in range(9)] == [*known, None]


async def test_a_hand_that_waits_is_woken_when_the_last_newcomer_has_been_served(
    queue: WorkQueue, clock: Clock
) -> None:
    known = [Key("VoiceAgent", "voice", f"known-{number}") for number in range(4)]
    look_after(queue, clock, known)
    for key in (A, *known):
        queue.add(key)
    assert [queue.take() for _ in range(3)] == [A, known[0], None]
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    queue.done(A)

    assert await asyncio.wait_for(waiting, 1) == known[1]


def test_who_was_forgotten_while_it_waited_is_counted_once(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A)
    serve(queue)
    clock.seconds += 1
    queue.add(A)
    queue.forget(A)
    serve(queue)
    known = [Key("VoiceAgent", "voice", f"known-{number}") for number in range(4)]
    look_after(queue, clock, known)
    for key in known:
        queue.add(key)

    assert [queue.take() for _ in range(5)] == [*known, None]


def test_who_was_gone_comes_back_as_a_newcomer(queue: WorkQueue, clock: Clock) -> None:
    for key in (A, B):
        queue.add(key)
        serve(queue)
    queue.forget(B)
    clock.seconds += 1
    queue.add(A)
    queue.add(B)

    assert (queue.take(), queue.take()) == (B, A)


def test_a_key_that_changes_while_it_is_worked_on_comes_again_afterwards_and_never_at_once(
    queue: WorkQueue, clock: Clock
) -> None:
    queue.add(A)
    queue.take()
    clock.seconds += 1
    queue.add(A)
    queue.add(A)

    assert queue.take() is None
    queue.done(A)
    assert (queue.take(), queue.take()) == (A, None)


def test_the_first_change_is_served_at_once_and_a_shower_of_them_five_times_a_second(
    queue: WorkQueue, clock: Clock
) -> None:
    served = []
    for tick in range(100):  # one second, a change each 10 ms
        queue.add(A)
        if queue.take() is not None:
            served.append(tick)
            queue.done(A)
        clock.seconds += 0.01

    assert served[0] == 0
    assert len(served) == 5
    # A binary clock makes a hundredth of a second now and then a little more.
    assert all(20 <= late - early <= 21 for early, late in pairwise(served))


def test_the_last_change_of_a_shower_is_not_lost(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A)
    queue.take()
    queue.done(A)
    queue.add(A)

    assert queue.take() is None
    assert queue.next_due_seconds() == pytest.approx(PACE_SECONDS)
    clock.seconds += PACE_SECONDS + 0.001
    assert queue.take() == A


def test_one_busy_key_does_not_slow_down_another(queue: WorkQueue) -> None:
    queue.add(A)
    queue.take()
    queue.done(A)
    queue.add(B)

    assert queue.take() == B


def test_namespaces_take_turns_so_that_a_large_one_does_not_keep_a_small_one_waiting(queue: WorkQueue) -> None:
    large = [Key("VoiceAgent", "large", str(number)) for number in range(100)]
    for key in large:
        queue.add(key)
    small = Key("VoiceAgent", "small", "only")
    queue.add(small)

    assert [queue.take() for _ in range(3)] == [large[0], small, large[1]]


def test_nothing_is_remembered_of_keys_that_rested(queue: WorkQueue, clock: Clock) -> None:
    for number in range(1_000):
        key = Key("VoiceAgent", "voice", str(number))
        queue.add(key)
        queue.take()
        queue.done(key)
        clock.seconds += 0.01

    # A fifth of a second of keys, and not a thousand.
    assert len(queue._rests_until) <= 21
    assert len(queue._rests) <= 21


def test_of_several_delays_the_earliest_counts(queue: WorkQueue, clock: Clock) -> None:
    queue.add_after(A, 60)
    queue.add_after(A, 5)
    queue.add_after(A, 30)

    clock.seconds += 4.9
    assert queue.take() is None
    clock.seconds += 0.1
    assert queue.take() == A
    clock.seconds += 100
    assert queue.take() is None


def test_a_turn_serves_the_delays_before_it(queue: WorkQueue, clock: Clock) -> None:
    queue.add_after(A, 5)
    queue.add(A)
    queue.take()
    queue.done(A)

    clock.seconds += 10
    assert queue.take() is None


def test_a_failing_key_comes_later_and_later_up_to_five_minutes(queue: WorkQueue) -> None:
    pauses = [queue.fail(A) for _ in range(14)]

    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
    assert pauses[-1] == 300
    queue.succeed(A)
    assert queue.fail(A) == 0.2


def test_failures_are_spread_between_half_and_all_of_the_pause(clock: Clock) -> None:
    assert WorkQueue(clock=clock, jitter=lambda: 0.0).fail(A) == 0.1


def test_the_next_due_time_forgets_delays_that_were_overtaken(queue: WorkQueue) -> None:
    queue.add_after(A, 60)
    queue.add_after(A, 5)
    queue.add_after(B, 20)

    assert queue.next_due_seconds() == 5
    queue.add(A)
    queue.take()
    assert queue.next_due_seconds() == 20


async def test_whoever_waits_is_woken_by_the_next_key(queue: WorkQueue) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    queue.add(A)

    assert await waiting == A


async def test_two_who_wait_get_one_key_each(queue: WorkQueue) -> None:
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)

    queue.add(A)
    queue.add(B)

    assert set(await asyncio.gather(*waiting)) == {A, B}


async def test_a_closed_queue_sends_everybody_home(queue: WorkQueue) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    queue.close()

    with pytest.raises(QueueClosed):
        await waiting
