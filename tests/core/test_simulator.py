"""The simulated day itself: no call is lost count of, every worker is billed, the same seed gives the same day."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicefleet_simulator.catalogue import CONTENDERS, OURS, Contender, pick
from voicefleet_simulator.compare import bound, play
from voicefleet_simulator.dispatch import Dispatch
from voicefleet_simulator.outcome import Outcome
from voicefleet_simulator.play import play_all
from voicefleet_simulator.policy import Controls, Policy
from voicefleet_simulator.scenarios import SCENARIOS
from voicefleet_simulator.simulation import simulate
from voicefleet_simulator.trace import Call, Trace, build_trace
from voicefleet_simulator.world import World

STEADY = World(slots=2, startup_seconds=20, startup_sigma=0, hold_seconds=0)
CALLS = st.lists(st.builds(Call, st.floats(0, 120), st.floats(0, 60)), min_size=1, max_size=30)


class Scripted(Policy):
    """Does one thing at one moment."""

    period_seconds = 1.0
    grace_seconds = 20.0

    def __init__(self, at: float = -1.0, do: Callable[[Controls], None] = lambda _: None) -> None:
        self._at, self._do = at, do

    def act(self, controls: Controls, now: float) -> None:
        if now == self._at:
            self._do(controls)


def _trace(*calls: tuple[float, float], seconds: float | None = None) -> Trace:
    return build_trace("test", [Call(start, duration) for start, duration in calls], seconds=seconds)


def _run(trace: Trace, policy: Policy | None = None, world: World = STEADY) -> Outcome:
    return simulate(trace, world, policy or Scripted(), Dispatch.BEST_FIT)


def _ids(contender: Contender) -> str:
    return f"{contender.name} {contender.dispatch.value}"


@pytest.mark.parametrize("contender", [c for c in CONTENDERS if not c.on_request], ids=_ids)
@settings(max_examples=5, deadline=None)
@given(calls=CALLS, slots=st.integers(1, 4), hold=st.sampled_from([0.0, 8.0]), most=st.integers(1, 40))
def test_every_call_is_finished_blocked_or_cut_exactly_once(
    contender: Contender, calls: list[Call], slots: int, hold: float, most: int
) -> None:
    trace = build_trace("test", calls)
    world = replace(STEADY, slots=slots, hold_seconds=hold, max_workers=most)
    outcome = play(contender, trace, world).outcome
    assert outcome.finished + outcome.blocked + outcome.cut == outcome.calls == len(calls)
    assert 0 <= outcome.p99_wait_seconds <= outcome.p999_wait_seconds <= hold
    assert outcome.pods_created >= 1
    if contender.name == OURS:
        assert outcome.cut == 0
        assert outcome.peak_pods <= most
    if not outcome.blocked and not outcome.cut and not hold:
        assert outcome.pod_hours >= bound(trace, world) - 1e-9


def test_the_bill_runs_from_creation_to_the_end_of_the_day() -> None:
    # Two workers stand ready, billed from 20 s before; one is created at 50.
    outcome = _run(_trace((0, 10), (90, 10)), Scripted(50, lambda controls: controls.create(1)))
    assert outcome.pod_hours * 3600 == pytest.approx(2 * 120 + 50)
    assert outcome.pods_created == outcome.peak_pods == 3


def test_an_idle_worker_is_billed_to_its_deletion() -> None:
    outcome = _run(_trace((0, 1), (99, 1)), Scripted(50, lambda controls: controls.delete(controls.pods[1])))
    assert outcome.pod_hours * 3600 == pytest.approx(120 + 70)


def test_a_worker_that_is_deleted_keeps_its_calls_until_its_grace_is_over() -> None:
    def delete_all(controls: Controls) -> None:
        for pod in list(controls.pods):
            controls.delete(pod)

    outcome = _run(_trace((0, 25), (0, 100), (15, 10)), Scripted(10, delete_all))
    # The first ends in time, the second is cut at 30, the third finds nobody. The two idle workers are gone at once.
    assert (outcome.finished, outcome.cut, outcome.blocked) == (1, 1, 1)
    assert outcome.pod_hours * 3600 == pytest.approx(50 + 30 + 30)


def test_a_worker_takes_calls_only_once_it_has_started() -> None:
    # Two workers of one slot stand ready; the third is created at 610 and takes 20 s.
    calls = _trace((0, 700), (605, 50), (629, 5), (631, 5))
    outcome = _run(calls, Scripted(610, lambda controls: controls.create(1)), replace(STEADY, slots=1))
    assert (outcome.blocked, outcome.finished) == (1, 3)


def test_a_call_that_waits_is_answered_when_a_slot_becomes_free() -> None:
    calls = _trace(*[(600.0, 10.0)] * 4, (609.0, 50.0))
    lost, early, held = (
        _run(calls, world=replace(STEADY, slots=4, max_workers=1, hold_seconds=hold)) for hold in (0, 4, 8)
    )
    # Nobody is tried again within five seconds; by then the slot has been free for four.
    assert (lost.blocked, early.blocked, held.blocked) == (1, 1, 0)
    assert 5.0 <= held.p99_wait_seconds <= 6.0
    assert lost.worst_quarter_hour == pytest.approx(1 / 5)


def test_the_same_seed_gives_the_same_figures_and_another_one_does_not() -> None:
    hour = SCENARIOS["call-centre"].trace(peak=40).between(10 * 3600, 10.2 * 3600)
    first, again, other = (play(pick([OURS])[0], hour, World(slots=3, seed=seed)).outcome for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_figures_do_not_depend_on_how_many_are_played_at_once() -> None:
    trace, contenders = _trace(*[(place * 3.0, 200.0) for place in range(40)]), pick(["hpa-cpu-5*", "agones-8*"])
    one_by_one = list(play_all(contenders, trace, STEADY, jobs=1))
    assert list(play_all(contenders, trace, STEADY, jobs=2)) == one_by_one


def test_starts_take_the_mean_that_was_asked_for_and_vary() -> None:
    took: list[float] = []

    class Listening(Scripted):
        def on_ready(self, pod: object, now: float) -> None:
            took.append(now - pod.created_at)  # type: ignore[attr-defined]

    policy = Listening(0, lambda controls: controls.create(2000))
    _run(_trace((0, 1), (500, 1)), policy, World(startup_seconds=45))
    assert sum(took) / len(took) == pytest.approx(45, rel=0.02)
    assert min(took) < 35
    assert max(took) > 60


def test_names_of_policies_are_unique_for_each_dispatch() -> None:
    keys = [(contender.name, contender.dispatch) for contender in CONTENDERS]
    assert len(keys) == len(set(keys))
    assert {c.name for c in pick(["hpa-cpu-*"])} == {"hpa-cpu-50", "hpa-cpu-60", "hpa-cpu-70"}
    assert pick(["nobody"]) == ()
