"""`make bench-scale`: five measurements on a real control plane, as a table and as JSON."""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from e2e.bench import BenchError
from e2e.scale.applying import measure_apply
from e2e.scale.figures import Outcome, table
from e2e.scale.many import Crowd, measure_many
from e2e.scale.one import measure_shrink, measure_stream
from e2e.scale.stage import Stage, bench_for_scale, set_stage
from e2e.scale.takeover import measure_takeover

_EPILOG = """\
measurements:
  many      1,000 agents x 10 pods against 1,000 Deployments x 10; then the operator is killed, stopped, and started
  stream    one agent, 1,000 workers, 200 changes a second
  apply     20 applies a second: how soon each has its first pod
  shrink    500 idle workers of 1,000 leave, 500 hold a call each
  takeover  the leader is killed, then stopped, beside a standby: how soon that one creates a pod
exit code: 0 when every figure kept its limit, 1 when not, 2 when the run could not be made
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a run is; 1.0 is what the product promises."""

    scale: float
    speaking: bool = True

    def of(self, whole: int, *, least: int = 1) -> int:
        """Return a share of a whole."""
        return max(least, round(whole * self.scale))


def measurements(sizes: Sizes) -> dict[str, Callable[[Stage], Awaitable[Outcome]]]:
    """Return all measurements by name."""
    workers = sizes.of(1_000, least=4)
    return {
        "apply": lambda stage: measure_apply(stage, per_second=20, seconds=sizes.of(15)),
        "takeover": lambda stage: measure_takeover(stage, rounds=sizes.of(5)),
        "stream": lambda stage: measure_stream(
            stage, workers=workers, changes_per_second=sizes.of(200, least=10), seconds=max(2, sizes.of(20))
        ),
        "shrink": lambda stage: measure_shrink(stage, workers=workers),
        "many": lambda stage: measure_many(stage, Crowd(sizes.of(1_000), workers=10, speaking=sizes.speaking)),
    }


async def run(stage: Stage, sizes: Sizes, only: list[str]) -> list[Outcome]:
    """Make the measurements, one after another."""
    outcomes = []
    for name, measure in measurements(sizes).items():
        if name in only or not only:
            began, load = time.monotonic(), os.getloadavg()[0]
            outcome = await measure(stage)
            # Times of a machine that others use as well say little; a ratio and processor time say more.
            outcomes.append(replace(outcome, sizes=outcome.sizes | {"load before": round(load, 1)}))
            stage.tell(f"{name}: measured in {time.monotonic() - began:.0f} s")
    return outcomes


def main() -> int:
    """Measure, and say what was found."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes = Sizes(options.scale, not options.silent)
    try:
        outcomes = asyncio.run(_on_a_bench(sizes, options.only))
    except (BenchError, TimeoutError, RuntimeError) as error:
        print(f"bench-scale: {str(error) or repr(error)}", file=sys.stderr)
        return 2
    print(table(outcomes))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        document = {"scale": sizes.scale, "outcomes": [outcome.as_dict() for outcome in outcomes]}
        options.output.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(outcome.kept for outcome in outcomes) else 1


async def _on_a_bench(sizes: Sizes, only: list[str]) -> list[Outcome]:
    with bench_for_scale() as bench:
        async with set_stage(bench, _tell) as stage:
            return await run(stage, sizes, only)


def _tell(text: str) -> None:
    print(f"bench-scale: {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.scale",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scale", type=float, default=1.0, metavar="SHARE", help="of the full size (default: 1)")
    parser.add_argument(
        "--only", action="append", default=[], choices=sorted(measurements(Sizes(1.0))), help="may be repeated"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--silent", action="store_true", help="many: let no worker speak")
    return parser


if __name__ == "__main__":
    sys.exit(main())
