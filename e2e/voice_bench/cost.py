"""Measurements 1 and 3: processor time and memory of a call."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from e2e.scale.figures import Figure, Outcome
from e2e.voice_bench.pairs import median_or_nothing, ratio
from e2e.voice_bench.sides import AGAIN, CLEANING, OURS, PLAIN, Calls, Sides, call_all
from e2e.voice_bench.stage import Stage
from e2e.voice_bench.talk import ask, ask_every, calls
from e2e.voice_bench.usage import cpu_seconds, megabytes

LIMIT = 1.10
_ASK_SECONDS = 6.0
_IDLE_SECONDS = 10.0
_BY_NOISE = "our default cleans the caller's sound of noise, which the peer does not; it has lines of its own"


async def measure_cpu(stage: Stage, sides: Sides, *, calls_each: int, rounds: int, seconds: float) -> Outcome:
    """Let all workers hold as many calls at the same time, and compare what they used in that time."""
    idle = await _used(sides, _IDLE_SECONDS)
    used: dict[str, list[float]] = defaultdict(list)
    turns: dict[str, int] = defaultdict(int)
    for number in range(rounds):
        async with call_all(stage, sides, calls_each) as callers:
            talking = asyncio.create_task(_talk(callers, sides.in_turn(number), seconds))
            # The first sentence wakes up what no later one needs.
            await asyncio.sleep(_ASK_SECONDS)
            cores = await _used(sides, seconds)
            for name, count in (await talking).items():
                turns[name] += count
        for name in sides.names:
            used[name].append(cores[name] / calls_each)
        stage.tell(f"cpu: round {number + 1} of {rounds}: " + _list(cores))
    beside = {name: [value - idle[name] / calls_each for value in used[name]] for name in sides.names}
    figures = [Figure(f"{name}: per call", median_or_nothing(used[name]) * 100, "% core") for name in sides.names]
    figures += [Figure(f"{name}: no call", idle[name] * 100, "% core") for name in sides.names]
    figures += [
        Figure("ours to plain", ratio(used[OURS], used[PLAIN]), "x", LIMIT),
        Figure("ours to plain, idle worker taken off", ratio(beside[OURS], beside[PLAIN]), "x", LIMIT),
        Figure("ours, cleaning, to plain", ratio(used[CLEANING], used[PLAIN]), "x"),
        Figure("cleaning alone, per call", _difference(used[CLEANING], used[OURS]) * 100, "% core"),
        Figure("plain to itself", ratio(used[AGAIN], used[PLAIN]), "x"),
        *(Figure(f"{name}: turns", turns[name], "") for name in sides.names),
    ]
    sizes: dict[str, float] = {"calls each": calls_each, "rounds": rounds, "seconds": seconds}
    return Outcome("cpu", "Processor time of a call", tuple(figures), (_BY_NOISE,), sizes)


async def measure_memory(stage: Stage, sides: Sides, *, calls_each: int, rounds: int) -> Outcome:
    """Compare what each call adds to what a worker holds without one."""
    grown: dict[str, list[float]] = defaultdict(list)
    empty: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for name in sides.in_turn(number):
            before = await asyncio.to_thread(megabytes, sides[name].pid)
            async with calls(stage.line, sides[name], calls_each) as callers:
                await asyncio.gather(*(ask(caller) for caller in callers))
                # As many processes wait for calls as before.
                await asyncio.sleep(3.0)
                during = await asyncio.to_thread(megabytes, sides[name].pid)
            grown[name].append((during - before) / calls_each)
            empty[name].append(before)
        stage.tell(f"memory: round {number + 1} of {rounds}: " + _list({each: grown[each][-1] for each in grown}))
    figures = [Figure(f"{name}: per extra call", median_or_nothing(grown[name]), "MB") for name in sides.names]
    figures += [Figure(f"{name}: no call", median_or_nothing(empty[name]), "MB") for name in sides.names]
    figures += [
        Figure("ours to plain", ratio(grown[OURS], grown[PLAIN]), "x", LIMIT),
        Figure("ours, cleaning, to plain", ratio(grown[CLEANING], grown[PLAIN]), "x"),
        Figure("plain to itself", ratio(grown[AGAIN], grown[PLAIN]), "x"),
    ]
    notes = ("of all processes of a worker, with pages that several share counted in shares (PSS)", _BY_NOISE)
    sizes: dict[str, float] = {"calls each": calls_each, "rounds": rounds}
    return Outcome("memory", "Memory of a call", tuple(figures), notes, sizes)


async def _talk(callers: Calls, order: Sequence[str], seconds: float) -> dict[str, int]:
    """Let everybody ask at the same pace, one after the other; return how many answers each worker gave."""
    until = asyncio.get_running_loop().time() + _ASK_SECONDS + seconds
    # One of each worker, then the next of each.
    ranks = zip(*(callers[name] for name in order), strict=True)
    rows = [row for rank in ranks for row in zip(order, rank, strict=True)]
    step = _ASK_SECONDS / len(rows)
    talks = [
        ask_every(caller, seconds=_ASK_SECONDS, after_seconds=place * step, until_seconds=until)
        for place, (_, caller) in enumerate(rows)
    ]
    answers: dict[str, int] = defaultdict(int)
    for (name, _), turns in zip(rows, await asyncio.gather(*talks), strict=True):
        answers[name] += sum(turn.response_ms is not None for turn in turns)
    return answers


async def _used(sides: Sides, seconds: float) -> dict[str, float]:
    """Return how many cores each worker keeps busy, all over the same time."""
    loop = asyncio.get_running_loop()
    pids = [sides[name].pid for name in sides.names]
    before, began = cpu_seconds(pids), loop.time()
    await asyncio.sleep(seconds)
    after, took = cpu_seconds(pids), loop.time() - began
    return {name: (b - a) / took for name, a, b in zip(sides.names, before, after, strict=True)}


def _difference(more: list[float], less: list[float]) -> float:
    return median_or_nothing([a - b for a, b in zip(more, less, strict=True)])


def _list(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())
