"""The promises about cost and loss, measured: `python -m tools.gates` takes hours, and exits 1 if one does not hold.

It plays whole days over many seeds, prints mean and worst of each, and looks for a baseline that is below ours on both
axes. `--seeds 2 --only smooth` gives a first impression in a minute.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

from voicefleet_simulator.catalogue import CONTENDERS, OURS
from voicefleet_simulator.compare import play
from voicefleet_simulator.dispatch import Dispatch
from voicefleet_simulator.scenarios import NORMAL_PEAK, SCENARIOS
from voicefleet_simulator.trace import Trace
from voicefleet_simulator.world import World

TARGET = 0.001
PEAKS = (30.0, 120.0, 600.0)
STARTUPS = (20.0, 45.0, 120.0)
MOST_PROCESSES = 2
MOST_CPU_SECONDS = 20.0
"""For one policy and one day; the busiest has 60,000 calls."""
PACKED = (OURS, Dispatch.PACKED)

Key = tuple[str, Dispatch]


@dataclass(frozen=True, slots=True)
class Day:
    """A kind of day, and how much may be paid and lost on it."""

    scenario: str
    peak: float = NORMAL_PEAK
    startup_seconds: float = 45.0
    most_ratio: float | None = None
    most_blocked: float = 2 * TARGET

    def __str__(self) -> str:
        return f"{self.scenario} peak {self.peak:.0f} start-up {self.startup_seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one policy made of one day."""

    ratio: float
    blocked: float
    cut: int
    waited: float = 0.0
    cpu_seconds: float = 0.0


DAYS = (
    Day("smooth", most_ratio=1.10, most_blocked=0.0002),
    Day("bursts", most_ratio=1.11, most_blocked=0.0002),
    *(
        Day(name, peak, startup)
        for name in ("step", "dialler", "call-centre")
        for peak in PEAKS
        for startup in STARTUPS
    ),
)
Task = tuple[Day, int, Key]


@lru_cache(maxsize=4)
def _trace(scenario: str, peak: float, seed: int) -> Trace:
    return SCENARIOS[scenario].trace(peak=peak, seed=seed)


def see(task: Task) -> Seen:
    """Play one policy over one day."""
    day, seed, key = task
    world = World(startup_seconds=day.startup_seconds, target_blocked=TARGET, seed=seed)
    contender = next(c for c in CONTENDERS if (c.name, c.dispatch) == key)
    trace, began = _trace(day.scenario, day.peak, seed), time.process_time()
    figures = play(contender, trace, world)
    outcome, took = figures.outcome, time.process_time() - began
    return Seen(figures.ratio or 0.0, outcome.blocked_fraction, outcome.cut, outcome.waited_fraction, took)


def judge(day: Day, seen: Sequence[Seen]) -> list[str]:
    """Return the gates of a day that do not hold, the mean and the worst of all seeds being held to the same limit."""
    broken = []
    if max(one.cut for one in seen) > 0:
        broken.append("calls cut")
    if max(one.blocked for one in seen) > day.most_blocked:
        broken.append(f"blocked above {day.most_blocked:.2%}")
    if day.most_ratio is not None and max(one.ratio for one in seen) > day.most_ratio:
        broken.append(f"ratio above {day.most_ratio}")
    if max(one.cpu_seconds for one in seen) > MOST_CPU_SECONDS:
        broken.append(f"took more than {MOST_CPU_SECONDS:.0f} CPU s")
    return broken


def is_below(baseline: Sequence[Seen], ours: Sequence[Seen]) -> bool:
    """Tell whether a baseline pays less and loses less, in the mean."""
    cheaper = fmean(one.ratio for one in baseline) < fmean(one.ratio for one in ours)
    return cheaper and fmean(one.blocked for one in baseline) < fmean(one.blocked for one in ours)


def _line(label: str, seen: Sequence[Seen], verdict: str) -> str:
    ratios, blocked = [one.ratio for one in seen], [one.blocked for one in seen]
    return (
        f"{label:<44}{fmean(ratios):8.4f}{max(ratios):8.4f}{fmean(blocked):11.4%}{max(blocked):11.4%}"
        f"{fmean(one.waited for one in seen):9.3%}{sum(one.cut for one in seen):7}"
        f"{max(one.cpu_seconds for one in seen):7.1f}  {verdict}"
    )


def _play(
    pool: ProcessPoolExecutor, days: Sequence[Day], seeds: int, keys: Sequence[Key]
) -> Iterator[tuple[Day, dict[Key, list[Seen]]]]:
    """Yield what each policy made of all seeds of a day, one day after the other."""
    # All policies of a seed in a row: they share its calls.
    tasks = [(day, seed, key) for day in days for seed in range(1, seeds + 1) for key in keys]
    seen = pool.map(see, tasks)
    for day in days:
        rounds = [[next(seen) for _ in keys] for _ in range(seeds)]
        yield day, dict(zip(keys, map(list, zip(*rounds, strict=True)), strict=True))


def main() -> int:
    """Measure, print, and say by the exit code whether every gate holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="seeds for ours (default: 20)")
    parser.add_argument("--baseline-seeds", type=int, default=20, help="seeds beside baselines; 0 leaves them out")
    parser.add_argument(
        "--every-day", action="store_true", help="baselines on every day, not on the five that tell most"
    )
    parser.add_argument("--only", default="", help="only days whose description contains this")
    parser.add_argument("--jobs", type=int, choices=range(1, MOST_PROCESSES + 1), default=MOST_PROCESSES)
    arguments = parser.parse_args()
    days = [day for day in DAYS if arguments.only in str(day)]
    with ProcessPoolExecutor(arguments.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        print(f"{'':44}{'ratio':>16}{'blocked':>22}{'waited':>9}{'cut':>7}{'CPU s':>7}")
        print(f"{'':44}{'mean':>8}{'worst':>8}{'mean':>11}{'worst':>11}{'mean':>9}{'':7}{'worst':>7}")
        failed = _gate_ours(pool, days, arguments.seeds)
        if arguments.baseline_seeds:
            with_baselines = [day for day in days if arguments.every_day or _has_baselines(day)]
            failed += _gate_baselines(pool, with_baselines, arguments.baseline_seeds)
    print(f"{failed} gates do not hold" if failed else "every gate holds")
    return 1 if failed else 0


def _has_baselines(day: Day) -> bool:
    return day.startup_seconds == 45.0 and day.peak > PEAKS[1]


def _gate_ours(pool: ProcessPoolExecutor, days: Sequence[Day], seeds: int) -> int:
    failed = 0
    for day, played in _play(pool, days, seeds, [PACKED]):
        broken = judge(day, played[PACKED])
        failed += len(broken)
        print(_line(str(day), played[PACKED], ", ".join(broken) or "holds"), flush=True)
    return failed


def _gate_baselines(pool: ProcessPoolExecutor, days: Sequence[Day], seeds: int) -> int:
    keys = [PACKED, *((c.name, c.dispatch) for c in CONTENDERS if c.name != OURS)]
    failed = 0
    for day, played in _play(pool, days, seeds, keys):
        ours = played.pop(PACKED)
        print("\n" + _line(f"{day}: {OURS}", ours, ""))
        for (name, dispatch), seen in played.items():
            below = is_below(seen, ours)
            failed += below
            print(_line(f"  {name} ({dispatch.value})", seen, "below ours on both" if below else ""), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
