"""How calls find workers in the simulation: LiveKit's draw, its late news, and ours on top of it."""

from collections import Counter
from random import Random

import pytest

from voicefleet_simulator.dispatch import Choice, Dispatch, build_dispatch
from voicefleet_simulator.pod import Pod

START = 1000.0


def _pod(name: str, calls: int = 0, *, slots: int = 10, began: float = 0.0, phase: float = 0.0) -> Pod:
    pod = Pod(name, slots=slots, created_at=-100.0, ready_at=-50.0, phase=phase)
    pod.ready = True
    for call in range(calls):
        pod.begin(call, began)
    return pod


def _chooser(kind: Dispatch) -> Choice:
    return build_dispatch(kind, Random(1))  # noqa: S311


def _shares(kind: Dispatch, pods: list[Pod], at: float = START, draws: int = 4000) -> dict[str, float]:
    choose = _chooser(kind)
    chosen = Counter(pod.name for pod in (choose(pods, at) for _ in range(draws)) if pod is not None)
    return {pod.name: chosen[pod.name] / draws for pod in pods}


def test_livekit_draws_by_the_room_that_workers_reported() -> None:
    shares = _shares(Dispatch.LIVEKIT, [_pod("empty"), _pod("half", 5), _pod("full", 10)])
    assert shares["empty"] == pytest.approx(2 / 3, abs=0.03)
    assert shares["half"] == pytest.approx(1 / 3, abs=0.03)
    assert shares["full"] == 0


@pytest.mark.parametrize("busy", [3, 30, 300])
def test_livekit_draws_by_the_same_odds_among_few_and_among_many(busy: int) -> None:
    unnoticed = [_pod(f"filled-{number}", 10, began=START - 0.1, phase=1.0) for number in range(busy)]
    pods = [_pod("empty"), _pod("half", 5), *(_pod(f"busy-{number}", 9) for number in range(busy)), *unnoticed]
    shares = _shares(Dispatch.LIVEKIT, pods)
    weights = 1 + 0.5 + 0.1 * busy

    assert unnoticed[0].shown_calls(START) == 0
    assert shares["empty"] == pytest.approx(1 / weights, abs=0.025)
    assert shares["half"] == pytest.approx(0.5 / weights, abs=0.025)
    assert sum(shares.values()) == pytest.approx(1)


def test_livekit_does_not_know_of_a_call_before_the_next_status() -> None:
    pod = _pod("a")
    pod.begin(1, START + 0.1)
    assert pod.shown_calls(START + 2.4) == 0
    assert pod.shown_calls(START + 2.5) == 1
    pod.end(1, START + 2.6)
    assert pod.shown_calls(START + 4.9) == 1
    assert pod.shown_calls(START + 5.0) == 0


def test_a_worker_that_filled_up_unnoticed_refuses_and_another_is_asked() -> None:
    pods = [_pod("full", 10, began=START + 0.1), _pod("room", 9, began=START + 0.1)]
    assert pods[0].shown_calls(START + 0.2) == 0
    assert _shares(Dispatch.LIVEKIT, pods, START + 0.2, draws=50) == {"full": 0, "room": 1}


@pytest.mark.parametrize("kind", Dispatch)
def test_a_call_finds_nobody_when_all_are_full(kind: Dispatch) -> None:
    full = [_pod("a", 10, began=START + 0.1), _pod("b", 10)]
    assert _chooser(kind)(full, START + 0.2) is None
    assert _chooser(kind)([], START) is None


@pytest.mark.parametrize("kind", Dispatch)
def test_a_closed_worker_gets_calls_until_it_has_heard(kind: Dispatch) -> None:
    pod = _pod("a")
    pod.close(START)
    assert _chooser(kind)([pod], START + 0.1) is pod
    assert _chooser(kind)([pod], START + 0.2) is None
    pod.open(START + 1)
    assert _chooser(kind)([pod], START + 1.2) is pod


def test_workers_are_filled_in_the_order_of_the_loads_that_we_choose() -> None:
    pods = [_pod("first", 2), _pod("second", 8)]
    pods[0].tell_load(-1e6, START)
    pods[1].tell_load(-1e2, START)
    assert _shares(Dispatch.PACKED, pods, START + 5)["first"] > 0.999


def test_a_chosen_load_reaches_the_server_with_the_push_and_waits_for_no_status() -> None:
    pod = _pod("a")
    pod.tell_load(-100, START)
    assert pod.shown_load(START + 0.1) == 0
    pod.tell_load(-50, START + 0.1)
    assert pod.shown_load(START + 0.2) == 0
    pod.tell_load(-50, START + 0.25)
    assert pod.shown_load(START + 0.31) == -50


def test_a_worker_that_was_full_is_known_to_have_room_at_once_when_it_says_so() -> None:
    pod = _pod("a", 10)
    pod.end(3, START)
    assert _chooser(Dispatch.PACKED)([pod], START + 0.1) is None
    assert _chooser(Dispatch.PACKED)([pod], START + 0.2) is pod


def test_best_fit_takes_the_fullest_with_room() -> None:
    pods = [_pod("a", 3), _pod("b", 9), _pod("c", 10)]
    assert _chooser(Dispatch.BEST_FIT)(pods, START) is pods[1]


def test_a_server_that_clamps_tells_no_two_loads_below_zero_apart() -> None:
    pods = [_pod("first"), _pod("second"), _pod("rest")]
    for pod, load in zip(pods, (-1e12, -1.0, 0.5), strict=True):
        pod.tell_load(load, START)
    shares = _shares(Dispatch.CLAMPED, pods, START + 5)
    assert list(shares.values()) == pytest.approx([0.4, 0.4, 0.2], abs=0.03)
