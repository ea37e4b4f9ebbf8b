"""Whether a canary is worse than the stable revision, by what became of the calls of both.

Five statements can speak against it, and each gets a fifth of the allowed chance of a false alarm:
its calls fail more often than allowed; more often than the stable revision's; its callers hang up early more often by
more than the margin; its turns, or its requests to providers, are beyond their limit and also worse than the stable
revision's. What both revisions suffer, such as a provider's outage, is no fault of the canary.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from voicefleet.api.types import timestamp
from voicefleet.api.voiceagent.rollout import Analysis
from voicefleet.api.voiceagent.status import RevisionFigures, RolloutAnalysis
from voicefleet.rollout.evidence import LogRatios, strength, upper_bound, weigh_difference, weigh_excess
from voicefleet.rollout.figures import Figures

STATEMENTS = 5
# A look needs some calls of both, or it has nothing to compare; at a share of nearly all, the stable one has few.
_LEAST_CALLS = 10
_LEAST_STABLE_CALLS = 5
_CALLS_WITHOUT_STABLE = 50
_SLOW_TURNS_ALLOWED = 0.05
_LARGEST_COUNT = 10**12
_LARGEST_EVIDENCE = 1_000_000


class Judgement(StrEnum):
    """What a comparison comes to."""

    UNDECIDED = "Undecided"
    NO_WORSE = "NoWorse"
    WORSE = "Worse"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement, and the figures that it rests on in words."""

    judgement: Judgement
    words: str


def has_enough(canary: Figures, stable: Figures, rules: Analysis) -> bool:
    """Tell whether a look would compare anything; it depends on how many calls ended, never on how they ended."""
    if canary.calls_ended < min(_LEAST_CALLS, rules.min_calls):
        return False
    return stable.calls_ended >= _LEAST_STABLE_CALLS or canary.calls_ended >= _CALLS_WITHOUT_STABLE


def gather(
    before: RolloutAnalysis, canary: Figures, stable: Figures, *, rules: Analysis, now: datetime
) -> RolloutAnalysis:
    """Return what is known after one more look at the figures since the last."""
    limit = rules.max_turn_latency_milliseconds
    new, old = _counted(canary, limit), _counted(stable, limit)
    failed = weigh_difference(
        hits=new.calls_failed, of=new.calls_ended, other_hits=old.calls_failed, other_of=old.calls_ended
    )
    slow = weigh_difference(hits=new.slow_turns, of=new.turns, other_hits=old.slow_turns, other_of=old.turns)
    errors = weigh_difference(
        hits=new.provider_errors,
        of=new.provider_requests,
        other_hits=old.provider_errors,
        other_of=old.provider_requests,
    )
    gathered = before.model_copy(
        update={
            "canary": _sum(before.canary, new),
            "stable": _sum(before.stable, old),
            "failed_calls_evidence": _more(before.failed_calls_evidence, failed),
            "slow_turns_evidence": _more(before.slow_turns_evidence, slow),
            "provider_errors_evidence": _more(before.provider_errors_evidence, errors),
            "looked_at": timestamp(now),
        }
    )
    worse = before.found_worse or compare(gathered, rules).judgement is Judgement.WORSE
    return gathered.model_copy(update={"found_worse": worse})


def compare(known: RolloutAnalysis, rules: Analysis) -> Verdict:
    """Return what the figures so far say about the canary."""
    calls = known.canary.calls_ended
    if calls < rules.min_calls:
        return Verdict(Judgement.UNDECIDED, f"{calls} of the {rules.min_calls} calls after which it is judged")
    # At a confidence of 95 %, each of the five may err in 1 % of all rollouts: 4.6 = log(100).
    needed = math.log(STATEMENTS / (1 - rules.confidence))
    found = list(_faults(known, rules, needed))
    if found:
        return Verdict(Judgement.WORSE, "worse: " + "; ".join(found))
    return Verdict(Judgement.NO_WORSE, f"no worse after {calls} calls: {_failures(known)}")


def _faults(known: RolloutAnalysis, rules: Analysis, needed: float) -> Iterator[str]:
    canary, stable = known.canary, known.stable
    limit = rules.max_failed_fraction
    if strength(weigh_excess(hits=canary.calls_failed, of=canary.calls_ended, limit=limit)) >= needed:
        yield f"{_failures(known)}, allowed {_percent(limit)}"
    elif strength(_logs(known.failed_calls_evidence)) >= needed:
        yield _failures(known)
    if _hang_ups(known, rules) >= needed:
        shares = _shares(canary.hung_up_early, canary.calls_ended, stable.hung_up_early, stable.calls_ended)
        yield f"callers who hang up within ten seconds {shares}"
    # Turns and requests of one call fare alike, so no more of them count than there were calls.
    counts = (canary.slow_turns, canary.turns, stable.slow_turns, stable.turns)
    weight = _weight(known, canary.turns + stable.turns)
    if _exceeds(counts, known.slow_turns_evidence, weight, _SLOW_TURNS_ALLOWED) >= needed:
        limit_words = f"turns slower than {rules.max_turn_latency_milliseconds} ms"
        yield f"{limit_words} {_shares(*counts)}, allowed {_percent(_SLOW_TURNS_ALLOWED)}"
    counts = (canary.provider_errors, canary.provider_requests, stable.provider_errors, stable.provider_requests)
    weight = _weight(known, canary.provider_requests + stable.provider_requests)
    limit = rules.max_provider_error_fraction
    if _exceeds(counts, known.provider_errors_evidence, weight, limit) >= needed:
        yield f"failed requests to providers {_shares(*counts)}, allowed {_percent(limit)}"


def _hang_ups(known: RolloutAnalysis, rules: Analysis) -> float:
    """Weigh early hang-ups against the most that the stable revision's rate can be, and the margin on top."""
    most = upper_bound(known.stable.hung_up_early, known.stable.calls_ended) + rules.max_early_hang_up_increase
    return strength(weigh_excess(hits=known.canary.hung_up_early, of=known.canary.calls_ended, limit=most))


def _exceeds(counts: tuple[int, int, int, int], evidence: tuple[int, ...], weight: float, limit: float) -> float:
    """Return the weaker of two statements: beyond the limit, and worse than the stable revision if that is known."""
    hits, of, _, other_of = counts
    beyond = strength(weigh_excess(hits=hits, of=of, limit=limit), weight=weight)
    return min(beyond, strength(_logs(evidence), weight=weight)) if other_of else beyond


def _weight(known: RolloutAnalysis, parts: int) -> float:
    calls = known.canary.calls_ended + known.stable.calls_ended
    return min(1.0, calls / parts) if parts else 1.0


def _counted(figures: Figures, limit_milliseconds: int) -> RevisionFigures:
    """Return figures as a status holds them; what workers say may contradict itself, and no part exceeds its whole."""
    calls, requests = figures.calls_ended, figures.provider_requests
    return RevisionFigures.model_construct(
        calls_ended=calls,
        calls_failed=min(figures.calls_failed, calls),
        hung_up_early=min(figures.hung_up_early, calls),
        turns=figures.turns,
        slow_turns=figures.slower_than(limit_milliseconds),
        provider_requests=requests,
        provider_errors=min(figures.provider_errors, requests),
        turn_latency_p95_milliseconds=figures.turn_latency_quantile(0.95),
    )


def _sum(before: RevisionFigures, new: RevisionFigures) -> RevisionFigures:
    latest = new.turn_latency_p95_milliseconds
    sums = {
        name: min(_LARGEST_COUNT, getattr(before, name) + getattr(new, name))
        for name in type(before).model_fields
        if name != "turn_latency_p95_milliseconds"
    }
    kept = before.turn_latency_p95_milliseconds if latest is None else latest
    return RevisionFigures(**sums, turn_latency_p95_milliseconds=kept)


def _more(before: tuple[int, ...], ratios: LogRatios) -> tuple[int, ...]:
    known = before if len(before) == len(ratios) else (0,) * len(ratios)
    return tuple(
        max(-_LARGEST_EVIDENCE, min(_LARGEST_EVIDENCE, old + round(1000 * ratio)))
        for old, ratio in zip(known, ratios, strict=True)
    )


def _logs(evidence: tuple[int, ...]) -> list[float]:
    return [thousandths / 1000 for thousandths in evidence]


def _failures(known: RolloutAnalysis) -> str:
    canary, stable = known.canary, known.stable
    return "failed calls " + _shares(canary.calls_failed, canary.calls_ended, stable.calls_failed, stable.calls_ended)


def _shares(hits: int, of: int, other_hits: int, other_of: int) -> str:
    stable = f"{_percent(other_hits / other_of)} of {other_of}" if other_of else "unknown"
    return f"{_percent(hits / of if of else 0)} of {of}, stable {stable}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2g} %" if 0 < fraction < 0.1 else f"{100 * fraction:.0f} %"
