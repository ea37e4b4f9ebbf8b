"""What the gates of `tools.gates` measure over days and many seeds, in small: one and a half hours of calls."""

from dataclasses import replace
from functools import cache

import pytest

from tools.gates import DAYS, PACKED, Day, Seen, is_below, judge, see
from voicefleet_simulator.catalogue import CONTENDERS, OURS
from voicefleet_simulator.compare import Figures, play
from voicefleet_simulator.dispatch import Dispatch
from voicefleet_simulator.scenarios import SCENARIOS
from voicefleet_simulator.world import World


@cache
def _play(scenario: str, begin_hour: float, *, name: str = OURS, dispatch: Dispatch = Dispatch.PACKED) -> Figures:
    part = SCENARIOS[scenario].trace(peak=120).between(begin_hour * 3600, (begin_hour + 1.5) * 3600)
    contender = next(c for c in CONTENDERS if (c.name, c.dispatch) == (name, dispatch))
    return play(contender, part, World())


@pytest.mark.parametrize(
    ("scenario", "begin_hour", "most"),
    [("smooth", 8, 1.45), ("bursts", 10.5, 1.45), ("call-centre", 10, 1.45), ("dialler", 9.6, 2.2)],
)
def test_we_cut_nothing_and_lose_little_even_while_we_know_nothing_yet(
    scenario: str, begin_hour: float, most: float
) -> None:
    """Each part begins with an empty fleet in the middle of the day, which is worse than a day."""
    figures = _play(scenario, begin_hour)
    assert figures.outcome.cut == 0
    assert figures.outcome.blocked_fraction <= 0.01
    assert figures.ratio is not None
    assert figures.ratio < most


def test_packing_pays() -> None:
    packed, spread = (_play("smooth", 11.5, dispatch=dispatch) for dispatch in (Dispatch.PACKED, Dispatch.LIVEKIT))
    assert packed.outcome.pod_hours < 0.97 * spread.outcome.pod_hours


def test_an_hpa_cuts_calls_where_we_cut_none() -> None:
    theirs = _play("smooth", 18, name="hpa-cpu-50", dispatch=Dispatch.LIVEKIT)
    assert theirs.outcome.cut > 0
    assert _play("smooth", 18).outcome.cut == 0


@pytest.mark.parametrize(
    ("seen", "broken"),
    [
        (Seen(1.1, 0.0002, 0), []),
        (Seen(1.1001, 0.0002, 0), ["ratio above 1.1"]),
        (Seen(1.1, 0.00021, 0), ["blocked above 0.02%"]),
        (Seen(1.0, 0.0, 1), ["calls cut"]),
        (Seen(1.0, 0.0, 0, cpu_seconds=20.1), ["took more than 20 CPU s"]),
    ],
)
def test_a_gate_holds_up_to_its_limit_and_for_the_worst_seed(seen: Seen, broken: list[str]) -> None:
    day = Day("smooth", most_ratio=1.1, most_blocked=0.0002)
    assert judge(day, [Seen(1.0, 0.0, 0), seen]) == broken


def test_a_baseline_is_below_only_if_it_pays_less_and_loses_less() -> None:
    ours = [Seen(1.1, 0.001, 0)]
    assert is_below([Seen(1.09, 0.0009, 0)], ours)
    assert not is_below([Seen(1.09, 0.001, 0)], ours)
    assert not is_below([Seen(1.1, 0.0, 0)], ours)


def test_a_smooth_day_of_sixty_thousand_calls_costs_and_loses_no_more_than_its_gate_says() -> None:
    smooth = DAYS[0]

    seen = see((smooth, 1, PACKED))

    assert judge(smooth, [replace(seen, cpu_seconds=0.0)]) == []
    assert seen.ratio > 1, "to pay less than the clairvoyant bound is a mistake in the counting"
