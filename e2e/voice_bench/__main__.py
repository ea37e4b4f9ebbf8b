"""`make bench-worker`: what our worker costs beside a plain livekit-agents agent, as a table, JSON and a picture."""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from e2e.bench import BenchError
from e2e.scale.figures import Outcome, table
from e2e.voice_bench.cost import measure_cpu, measure_memory
from e2e.voice_bench.delay import measure_latency
from e2e.voice_bench.plot import write_plot
from e2e.voice_bench.series import Sample
from e2e.voice_bench.sides import Sides, run_sides
from e2e.voice_bench.soak import measure_soak
from e2e.voice_bench.stage import Stage, set_stage
from e2e.voice_bench.start import measure_start
from e2e.voice_bench.takeover import measure_failover

MEASUREMENTS = ("cpu", "latency", "memory", "failover", "start", "soak")
# Kernel's niceness.
_AHEAD = 10
_SIDE_BY_SIDE = frozenset({"cpu", "latency", "memory"})
_EPILOG = """\
measurements:
  cpu       processor time of a call, four workers side by side at the same time
  latency   wait for an answer, the same sentence to all four, a moment apart
  memory    what an extra call adds (PSS)
  failover  how soon the second provider is heard when the first one says nothing
  start     how soon a new worker takes calls
  soak      as many calls as the machine holds, for ten minutes
exit code: 0 when every figure kept its limit, 1 when not, 2 when the run could not be made
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long a run takes; the default one some 35 minutes of two quiet cores."""

    # More at the same time, with as many callers, and two cores are full: then the callers' lines break.
    cpu_calls: int = 1
    cpu_rounds: int = 8
    cpu_seconds: float = 30.0
    latency_calls: int = 10
    latency_rounds: int = 6
    memory_calls: int = 3
    memory_rounds: int = 2
    failover_rounds: int = 6
    start_rounds: int = 4
    soak_seconds: float = 600.0
    soak_calls: int | None = None


QUICK = Sizes(
    cpu_rounds=2,
    cpu_seconds=18.0,
    latency_calls=3,
    latency_rounds=4,
    memory_rounds=1,
    failover_rounds=2,
    start_rounds=2,
    soak_seconds=60.0,
)


@dataclass(slots=True)
class Found:
    """What a run has found so far."""

    outcomes: list[Outcome] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "cores": os.cpu_count(),
            "outcomes": [outcome.as_dict() for outcome in self.outcomes],
            "soak": [sample.as_dict() for sample in self.samples],
        }


async def run(stage: Stage, sizes: Sizes, only: frozenset[str]) -> Found:
    """Make the measurements, one after another."""
    found = Found()
    if only & _SIDE_BY_SIDE:
        with run_sides(stage) as sides:
            for name in (name for name in MEASUREMENTS if name in only & _SIDE_BY_SIDE):
                await _note(stage, found, name, sizes, sides)
    for name in (name for name in MEASUREMENTS if name in only - _SIDE_BY_SIDE):
        await _note(stage, found, name, sizes, None)
    return found


async def _note(stage: Stage, found: Found, name: str, sizes: Sizes, sides: Sides | None) -> None:
    began, load = time.monotonic(), os.getloadavg()[0]
    outcome = await _measure(stage, found, name, sizes, sides)
    # Whoever else uses the machine makes every figure less sure.
    found.outcomes.append(replace(outcome, sizes=outcome.sizes | {"load before": round(load, 1)}))
    stage.tell(f"{name}: measured in {time.monotonic() - began:.0f} s")


async def _measure(stage: Stage, found: Found, name: str, sizes: Sizes, sides: Sides | None) -> Outcome:
    match name, sides:
        case "cpu", Sides():
            return await measure_cpu(
                stage, sides, calls_each=sizes.cpu_calls, rounds=sizes.cpu_rounds, seconds=sizes.cpu_seconds
            )
        case "latency", Sides():
            return await measure_latency(stage, sides, calls_each=sizes.latency_calls, rounds=sizes.latency_rounds)
        case "memory", Sides():
            return await measure_memory(stage, sides, calls_each=sizes.memory_calls, rounds=sizes.memory_rounds)
        case "failover", _:
            return await measure_failover(stage, rounds=sizes.failover_rounds)
        case "start", _:
            return await asyncio.to_thread(measure_start, stage, rounds=sizes.start_rounds)
        case _:
            soak = await measure_soak(stage, seconds=sizes.soak_seconds, calls_at_once=sizes.soak_calls)
            found.samples = soak.samples
            return soak.outcome


def main() -> int:
    """Measure, and say what was found."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _go_first()
    sizes = QUICK if options.quick else Sizes()
    sizes = replace(sizes, soak_calls=options.calls, soak_seconds=options.seconds or sizes.soak_seconds)
    try:
        with set_stage(_tell) as stage:
            found = asyncio.run(run(stage, sizes, frozenset(options.only or MEASUREMENTS)))
    except (BenchError, TimeoutError, RuntimeError) as error:
        print(f"bench-worker: {str(error) or repr(error)}", file=sys.stderr)
        return 2
    print(table(found.outcomes))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(found.as_dict(), indent=1) + "\n")
    if options.plot and found.samples:
        calls = next(outcome for outcome in found.outcomes if outcome.measurement == "soak")["calls at once"]
        write_plot(options.plot, found.samples, title=f"{calls:g} calls on one worker", cores=os.cpu_count() or 1)
    return 0 if all(outcome.kept for outcome in found.outcomes) else 1


def _go_first() -> None:
    """Put callers, LiveKit and providers before the workers: on a full machine theirs must not be the calls' end.

    All of them would run elsewhere. Lines of callers who get no time for seconds break, whoever they speak with.
    """
    with suppress(PermissionError):
        os.nice(-_AHEAD)


def _tell(text: str) -> None:
    print(f"bench-worker: {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.voice_bench",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", default=[], choices=MEASUREMENTS, help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="some six minutes; the figures say little")
    parser.add_argument("--calls", type=int, metavar="N", help="soak: at once (default: as many as fit, 8 or more)")
    parser.add_argument("--seconds", type=float, metavar="S", help="soak: for so long (default: 600)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the soak, as .svg or .png")
    return parser


if __name__ == "__main__":
    sys.exit(main())
