"""Measurement 6: as many calls as the machine holds, for ten minutes."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from e2e.caller import Caller, Turn
from e2e.caller.report import CutKind
from e2e.scale.figures import Figure, Outcome, quantile
from e2e.voice_bench.pairs import grown_share, median_or_nothing
from e2e.voice_bench.series import PARTS, Sample
from e2e.voice_bench.sides import ATTEMPT
from e2e.voice_bench.stage import Stage
from e2e.voice_bench.talk import ask_every, calls
from e2e.voice_bench.usage import cpu_seconds, machine_seconds, megabytes
from e2e.voice_bench.workers import Worker, agent_manifest, pool_manifest, run_ours

LEAST_CALLS = 8
_MOST_CALLS = 60
# With more of the machine taken, callers of this very process would be late, and seem to wait.
_FULL = 0.80
_LOOK_SECONDS = 12.0
_ASK_SECONDS = 20.0
_WARM_SECONDS = 60.0
_PER_SECONDS = 600.0
GROWTH_LIMIT = 0.02


@dataclass(slots=True)
class Soak:
    """What was found, and the series that it was found in."""

    outcome: Outcome
    samples: list[Sample]


@dataclass(slots=True)
class Crowd:
    """All callers of one worker, each asking from time to time."""

    stage: Stage
    worker: Worker
    stack: AsyncExitStack
    until_seconds: float
    callers: list[Caller] = field(default_factory=list)
    talks: list["asyncio.Task[list[Turn]]"] = field(default_factory=list)

    async def add(self, count: int) -> None:
        """Let so many more call."""
        for caller in await self.stack.enter_async_context(calls(self.stage.line, self.worker, count)):
            after = len(self.callers) * 7 % _ASK_SECONDS
            talk = ask_every(caller, seconds=_ASK_SECONDS, after_seconds=after, until_seconds=self.until_seconds)
            self.callers.append(caller)
            self.talks.append(asyncio.create_task(talk))


class Meter:
    """Reads what everybody used since it was last read."""

    def __init__(self, stage: Stage, worker: Worker) -> None:
        self._pids = (worker.pid, stage.livekit_pid, stage.providers_pid)
        self._last = self._read()

    def read(self) -> tuple[float, dict[str, float]]:
        """Return the share of the machine that is busy, and the cores that each part keeps busy."""
        before, self._last = self._last, self._read()
        (began, busy, idle, *used), (ended, busy_now, idle_now, *used_now) = before, self._last
        took = max(ended - began, 1e-6)
        cores = [(now - then) / took for then, now in zip(used, used_now, strict=True)]
        spent = busy_now - busy + idle_now - idle
        return (busy_now - busy) / max(spent, 1e-6), dict(zip(PARTS, cores, strict=True))

    def _read(self) -> tuple[float, ...]:
        return (time.monotonic(), *machine_seconds(), *cpu_seconds(self._pids), time.process_time())


async def measure_soak(stage: Stage, *, seconds: float, calls_at_once: int | None) -> Soak:
    """Hold as many calls as there is room for, or as many as was asked, and look for what grows or ends."""
    pool = pool_manifest(stage.livekit, stage.providers, attempt=ATTEMPT)
    with run_ours(stage.folder, stage.livekit, pool, agent_manifest("soak", slots=_MOST_CALLS)) as worker:
        until = asyncio.get_running_loop().time() + 10 * (seconds + _PER_SECONDS)
        async with AsyncExitStack() as stack:
            crowd = Crowd(stage, worker, stack, until)
            await _fill(crowd, calls_at_once)
            samples = await _watch(crowd, seconds)
            cuts = [cut for caller in crowd.callers for cut in caller.cuts]
            lost = sum(caller.over or any(c.kind is not CutKind.GAP for c in caller.cuts) for caller in crowd.callers)
            turns = [turn for caller in crowd.callers for turn in caller.report().turns if turn.said]
            for talk in crowd.talks:
                talk.cancel()
            await asyncio.gather(*crowd.talks, return_exceptions=True)
    gaps = sum(cut.kind is CutKind.GAP for cut in cuts)
    figures = _figures(samples, turns, calls_count=len(crowd.callers), lost=lost, gaps=gaps)
    sizes: dict[str, float] = {"calls": len(crowd.callers), "seconds": seconds}
    return Soak(Outcome("soak", "Many calls for many minutes", figures, _notes(samples), sizes), samples)


async def _fill(crowd: Crowd, wanted: int | None) -> None:
    """Add calls until the machine is full, or until there are as many as wanted."""
    await crowd.add(wanted or LEAST_CALLS)
    while wanted is None and len(crowd.callers) < _MOST_CALLS:
        meter = Meter(crowd.stage, crowd.worker)
        await asyncio.sleep(_LOOK_SECONDS)
        busy, _ = meter.read()
        crowd.stage.tell(f"soak: {len(crowd.callers)} calls keep {busy:.0%} of the machine busy")
        if busy >= _FULL:
            return
        await crowd.add(1)


async def _watch(crowd: Crowd, seconds: float) -> list[Sample]:
    every = min(10.0, seconds / 6)
    meter, began = Meter(crowd.stage, crowd.worker), time.monotonic()
    samples: list[Sample] = []
    while (now := time.monotonic() - began) < seconds:
        await asyncio.sleep(min(every, seconds - now))
        held = await asyncio.to_thread(megabytes, crowd.worker.pid)
        busy, cores = meter.read()
        samples.append(Sample(round(time.monotonic() - began, 1), held, busy, cores))
        if len(samples) % 6 == 0:
            live = sum(not caller.over for caller in crowd.callers)
            crowd.stage.tell(f"soak: {samples[-1].seconds:.0f} s, {live} calls, {held:.0f} MB, {busy:.0%} busy")
    return samples


def _figures(
    samples: Sequence[Sample], turns: Sequence[Turn], *, calls_count: int, lost: int, gaps: int
) -> tuple[Figure, ...]:
    warm = min(_WARM_SECONDS, samples[-1].seconds / 3)
    later = [sample for sample in samples if sample.seconds > warm]
    growth = grown_share([each.seconds for each in later], [each.megabytes for each in later], within=_PER_SECONDS)
    cores = {part: median_or_nothing([sample.cores[part] for sample in samples]) for part in PARTS}
    busy = median_or_nothing([sample.busy for sample in samples])
    waits = [turn.response_ms for turn in turns if turn.response_ms is not None]
    return (
        Figure("calls at once", calls_count, ""),
        Figure("calls that were dropped", lost, "", at_most=0),
        Figure("gaps within answers", gaps, ""),
        Figure("turns", len(turns), ""),
        Figure("turns without an answer", len(turns) - len(waits), ""),
        Figure("wait for an answer, p50", quantile(waits, 0.5), "ms"),
        Figure("wait for an answer, p95", quantile(waits, 0.95), "ms"),
        Figure("memory", median_or_nothing([each.megabytes for each in later]), "MB"),
        Figure("memory: growth in ten minutes", growth * 100, "%", GROWTH_LIMIT * 100),
        Figure("machine busy", busy * 100, "%"),
        *(Figure(f"{part}: cores", cores[part], "cores") for part in PARTS),
        Figure("worker: share of the bench's cores", 100 * cores["worker"] / sum(cores.values()), "%"),
        Figure("worker: per call", 100 * cores["worker"] / calls_count, "% core"),
    )


def _notes(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Say which part of the machine's limit is the worker's."""
    cores = {part: median_or_nothing([sample.cores[part] for sample in samples]) for part in PARTS}
    total = sum(cores.values())
    ours, rest = cores["worker"] / total, 1 - cores["worker"] / total
    largest = max(PARTS[1:], key=lambda part: cores[part])
    return (
        f"of what these calls take of the machine, {ours:.0%} is the worker and {rest:.0%} the bench, {largest} most",
        "the bench's part is no limit of a worker that has its machine to itself",
    )
