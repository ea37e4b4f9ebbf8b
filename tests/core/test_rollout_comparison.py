"""Whether a canary is worse: exact small cases, laws, and simulated rollouts with many looks."""

import math
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rollout import NOW, figures
from voicefleet.api.voiceagent.rollout import Analysis
from voicefleet.api.voiceagent.status import RolloutAnalysis
from voicefleet.rollout import Figures, Judgement, compare, gather
from voicefleet.rollout.evidence import ODDS, strength, upper_bound, weigh_difference, weigh_excess

TURNS_PER_CALL = 10
FAST, SLOW = 3, 15


def look(canary: Figures, stable: Figures, known: RolloutAnalysis | None = None, **rules: Any) -> RolloutAnalysis:
    return gather(known or RolloutAnalysis(), canary, stable, rules=Analysis(**rules), now=NOW)


def judge(canary: Figures, stable: Figures, **rules: Any) -> tuple[Judgement, str]:
    verdict = compare(look(canary, stable, **rules), Analysis(**rules))
    return verdict.judgement, verdict.words


def test_too_few_calls_are_no_ground_for_a_judgement_however_bad_they_are() -> None:
    assert judge(figures(49, failed=49), figures(1000)) == (
        Judgement.UNDECIDED,
        "49 of the 50 calls after which it is judged",
    )
    assert judge(figures(50, failed=50), figures(1000))[0] is Judgement.WORSE


def test_a_canary_like_the_stable_revision_is_no_worse() -> None:
    assert judge(figures(500, failed=5), figures(5000, failed=50)) == (
        Judgement.NO_WORSE,
        "no worse after 500 calls: failed calls 1 % of 500, stable 1 % of 5000",
    )


def test_failures_within_the_limit_that_are_many_more_than_the_stable_revisions_are_worse() -> None:
    assert judge(figures(1000, failed=15), figures(9000, failed=9)) == (
        Judgement.WORSE,
        "worse: failed calls 1.5 % of 1000, stable 0.1 % of 9000",
    )


def test_failures_beyond_the_limit_are_worse_even_if_the_stable_revision_fails_too() -> None:
    assert judge(figures(1000, failed=60), figures(9000, failed=540))[0] is Judgement.WORSE


def test_hang_ups_may_rise_by_the_margin() -> None:
    assert judge(figures(400, early=48), figures(4000, early=320))[0] is Judgement.NO_WORSE
    assert judge(figures(400, early=90), figures(4000, early=320)) == (
        Judgement.WORSE,
        "worse: callers who hang up within ten seconds 22 % of 400, stable 8 % of 4000",
    )
    assert judge(figures(400, early=90), figures(0))[0] is Judgement.NO_WORSE


def with_turns(calls: int, slow: int) -> Figures:
    counts = [0] * 18
    counts[FAST], counts[SLOW] = calls * TURNS_PER_CALL - slow, slow
    return Figures(calls_ended=calls, turn_latency=tuple(counts))


def test_slow_turns_are_worse_if_the_stable_revisions_are_not_as_slow() -> None:
    assert judge(with_turns(300, 600), with_turns(3000, 300)) == (
        Judgement.WORSE,
        "worse: turns slower than 3000 ms 20 % of 3000, stable 1 % of 30000, allowed 5 %",
    )
    assert judge(with_turns(300, 600), with_turns(3000, 6000))[0] is Judgement.NO_WORSE
    assert judge(with_turns(300, 600), Figures())[0] is Judgement.WORSE


def test_an_outage_of_a_provider_is_no_fault_of_the_canary() -> None:
    canary = Figures(calls_ended=300, provider_requests=6000, provider_errors=3000)
    stable = Figures(calls_ended=3000, provider_requests=60_000, provider_errors=30_000)

    assert judge(canary, stable)[0] is Judgement.NO_WORSE
    assert judge(canary, Figures(calls_ended=3000, provider_requests=60_000))[0] is Judgement.WORSE


def test_a_bad_hour_while_the_canary_has_a_larger_share_is_not_held_against_it() -> None:
    """Pooled, 5.5 % of the canary's calls failed and 1.4 % of the others; in each hour both fared alike."""
    known = look(figures(100, failed=0), figures(9900, failed=99))
    known = look(figures(900, failed=54), figures(900, failed=54), known, max_failed_fraction=0.1)

    assert compare(known, Analysis(max_failed_fraction=0.1)).judgement is Judgement.NO_WORSE


def test_turns_of_one_call_are_one_witness() -> None:
    """A tenth of the turns is slow: for 1,000 callers that would be sure, for ten slow lines it may be chance."""
    assert judge(with_turns(100, 100), with_turns(900, 0))[0] is Judgement.NO_WORSE
    assert judge(with_turns(1000, 1000), with_turns(9000, 0))[0] is Judgement.WORSE


def test_a_difference_that_no_single_look_shows_is_found_by_all_of_them() -> None:
    known, found = RolloutAnalysis(), []
    for _ in range(10):
        known = look(figures(100, failed=1), figures(900, failed=1), known)
        found.append(known.found_worse)

    assert found[:3] == [False] * 3
    assert found[-1]


def test_a_worker_that_talks_nonsense_costs_no_more_than_any_other() -> None:
    """Without a bound, the comparison of these counts would have more terms than memory has room for."""
    half, huge = 2**52, 2**53
    nonsense = Figures(huge, half, half, huge, half, (half,) * 18)

    known = look(nonsense, nonsense)

    assert RolloutAnalysis.model_validate_json(known.model_dump_json()) == known


def test_a_higher_rate_is_weighed_as_by_hand() -> None:
    """2 hits of 2, none of the other 2: chance 1/6 at equal odds, and w²/(w²+4w+1) at odds w."""
    by_hand = [math.log(odds**2 / (odds**2 + 4 * odds + 1) * 6) for odds in ODDS]

    assert weigh_difference(hits=2, of=2, other_hits=0, other_of=2) == pytest.approx(by_hand)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 24))
def test_a_fair_comparison_gains_nothing_on_average(of: int, other_of: int, total: int) -> None:
    """The mean of the ratio under equal odds is 1: the one property that keeps false alarms rare."""
    total = min(total, of + other_of)
    counts = range(max(0, total - other_of), min(total, of) + 1)
    for number in range(len(ODDS)):
        mean = sum(
            math.comb(of, hits)
            * math.comb(other_of, total - hits)
            * math.exp(weigh_difference(hits=hits, of=of, other_hits=total - hits, other_of=other_of)[number])
            for hits in counts
        ) / math.comb(of + other_of, total)
        assert mean == pytest.approx(1)


@given(st.integers(0, 15), st.floats(0.001, 0.999))
def test_a_rate_at_its_limit_gains_nothing_on_average(of: int, limit: float) -> None:
    for number in range(len(ODDS)):
        mean = sum(
            math.comb(of, hits)
            * limit**hits
            * (1 - limit) ** (of - hits)
            * math.exp(weigh_excess(hits=hits, of=of, limit=limit)[number])
            for hits in range(of + 1)
        )
        assert mean == pytest.approx(1)


@given(st.integers(1, 40), st.integers(1, 100), st.integers(0, 100))
def test_more_failures_of_the_canary_never_speak_for_it(of: int, other_of: int, other_hits: int) -> None:
    other_hits = min(other_hits, other_of)
    differences = [
        strength(weigh_difference(hits=hits, of=of, other_hits=other_hits, other_of=other_of)) for hits in range(of + 1)
    ]
    excesses = [strength(weigh_excess(hits=hits, of=of, limit=0.1)) for hits in range(of + 1)]

    for weights in (differences, excesses):
        assert all(late >= early - 1e-9 for early, late in pairwise(weights))


def test_limits_of_nothing_and_of_all_are_taken_at_their_word() -> None:
    assert strength(weigh_excess(hits=1, of=1000, limit=0)) > 100
    assert strength(weigh_excess(hits=0, of=1000, limit=0)) == 0
    assert strength(weigh_excess(hits=1000, of=1000, limit=1)) == 0


def test_an_upper_bound_is_above_the_rate_and_comes_down_to_it() -> None:
    assert upper_bound(0, 0) == 1
    assert upper_bound(0, 100) == pytest.approx(0.0263, abs=1e-4)
    assert upper_bound(10, 100) == pytest.approx(0.1604, abs=1e-4)
    assert upper_bound(1000, 10_000) < 0.106


def drawn(chance: random.Random, calls: int, *, failed: float, early: float = 0.08, errors: float = 0.03) -> Figures:
    """Return figures of calls in which all requests of a call fail, or none."""

    def hits(rate: float) -> int:
        return sum(chance.random() < rate for _ in range(calls))

    return Figures(calls, hits(failed), hits(early), 5 * calls, 5 * hits(errors))


def roll_out(chance: random.Random, canary: float, stable: float, *, looks: int, rules: Analysis) -> int | None:
    """Return the canary's calls when it was found worse, in a step with looks at 10 % of new calls each."""
    known = RolloutAnalysis()
    for _ in range(looks):
        known = gather(known, drawn(chance, 5, failed=canary), drawn(chance, 45, failed=stable), rules=rules, now=NOW)
        if known.found_worse:
            return known.canary.calls_ended
    return None


def test_equal_revisions_are_rolled_back_no_more_often_than_allowed_over_a_step_of_many_looks() -> None:
    """150 steps of 40 looks each at 95 %: at most 7 may be wrong; a test repeated at each look would err in most."""
    chance = random.Random(4)  # noqa: S311

    found = [roll_out(chance, 0.015, 0.015, looks=40, rules=Analysis()) for _ in range(150)]

    assert sum(calls is not None for calls in found) <= 7


def test_three_times_the_failures_are_found_within_a_thousand_calls() -> None:
    """Stable 2 %, canary 6 %: at the median after 200 of the canary's calls, nine times in ten after 500."""
    chance = random.Random(4)  # noqa: S311

    found = sorted(roll_out(chance, 0.06, 0.02, looks=200, rules=Analysis()) or math.inf for _ in range(60))

    assert found[30] <= 300
    assert found[53] <= 600
    assert found[-1] <= 1000
