"""Measurement 2: how long a caller waits for the answer."""

import asyncio
from collections.abc import Sequence

from e2e.caller import Caller, Turn
from e2e.scale.figures import Figure, Outcome, quantile
from e2e.voice_bench.pairs import added, median_or_nothing
from e2e.voice_bench.sides import AGAIN, CLEANING, OURS, PLAIN, Sides, call_all
from e2e.voice_bench.stage import Stage
from e2e.voice_bench.talk import ask

MEDIAN_LIMIT_MS = 10.0
TAIL_LIMIT_MS = 25.0
# So that the beginnings of two answers do not fall together.
_APART_SECONDS = 0.7


async def measure_latency(stage: Stage, sides: Sides, *, calls_each: int, rounds: int) -> Outcome:
    """Say the same sentence to all workers, a moment apart, each time in another order."""
    turns: list[dict[str, Turn]] = []
    for number in range(calls_each):
        turns += await _one_call_each(stage, sides, rounds)
        stage.tell(f"latency: call {number + 1} of {calls_each} with each worker, {rounds} turns in each")
    answered = [turn for turn in turns if all(each.response_ms is not None for each in turn.values())]
    waits = {name: [turn[name].response_ms or 0.0 for turn in answered] for name in sides.names}
    figures = [
        Figure(f"{name}: p{share * 100:.0f}", quantile(waits[name], share), "ms")
        for name in sides.names
        for share in (0.5, 0.95)
    ]
    figures += [
        Figure("added at p50", added(waits[OURS], waits[PLAIN], 0.5), "ms", MEDIAN_LIMIT_MS),
        Figure("added at p95", added(waits[OURS], waits[PLAIN], 0.95), "ms", TAIL_LIMIT_MS),
        Figure("difference in a pair, p50", *_difference(waits, OURS, 0.5), MEDIAN_LIMIT_MS),
        Figure("difference in a pair, p95", *_difference(waits, OURS, 0.95)),
        Figure("cleaning: added at p50", added(waits[CLEANING], waits[PLAIN], 0.5), "ms"),
        Figure("cleaning: added at p95", added(waits[CLEANING], waits[PLAIN], 0.95), "ms"),
        Figure("plain to itself: added at p50", added(waits[AGAIN], waits[PLAIN], 0.5), "ms"),
        Figure("plain to itself: added at p95", added(waits[AGAIN], waits[PLAIN], 0.95), "ms"),
        Figure("plain to itself: difference in a pair, p95", *_difference(waits, AGAIN, 0.95)),
        Figure("rounds with a turn unanswered", len(turns) - len(answered), "", at_most=0),
    ]
    notes = ("from the end of what the caller says to the first sound of the answer, as the caller hears it",)
    sizes: dict[str, float] = {"calls each": calls_each, "turns in each": rounds}
    return Outcome("latency", "Wait for an answer", tuple(figures), notes, sizes)


async def _one_call_each(stage: Stage, sides: Sides, rounds: int) -> list[dict[str, Turn]]:
    """Hold one call with each worker.

    Sound comes in pieces of 20 ms, so all waits of a call lie on a grid of its own: one call would be wrong by up to
    10 ms, and by the same in each turn. Many calls are not.
    """
    async with call_all(stage, sides, 1) as callers:
        alone = {name: callers[name][0] for name in sides.names}
        # The first turn pays for what is loaded once.
        return [await _ask_all(alone, sides.in_turn(number)) for number in range(rounds + 1)][1:]


async def _ask_all(callers: dict[str, Caller], order: Sequence[str]) -> dict[str, Turn]:
    asked = {}
    for name in order:
        asked[name] = asyncio.create_task(ask(callers[name]))
        await asyncio.sleep(_APART_SECONDS)
    return {name: await task for name, task in asked.items()}


def _difference(waits: dict[str, list[float]], name: str, share: float) -> tuple[float, str]:
    differences = [mine - other for mine, other in zip(waits[name], waits[PLAIN], strict=True)]
    return (median_or_nothing(differences) if share == 0.5 else quantile(differences, share)), "ms"
