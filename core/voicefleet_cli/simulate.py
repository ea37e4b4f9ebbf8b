"""`voicefleet simulate`: what a day of calls would cost and lose, under our policy and under others."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from voicefleet_simulator.catalogue import CONTENDERS, Contender, frontier, pick
from voicefleet_simulator.compare import Figures, bound, describe
from voicefleet_simulator.csv_trace import MAX_TRACE_BYTES, BadTraceError, read_trace
from voicefleet_simulator.play import play_all
from voicefleet_simulator.plot import CannotPlotError, check_plot, write_plot
from voicefleet_simulator.scenarios import NORMAL_PEAK, SCENARIOS
from voicefleet_simulator.table import render_table
from voicefleet_simulator.trace import Trace
from voicefleet_simulator.world import NO_LIMIT, World

STANDARD_INPUT = "-"
MAX_PEAK = 20_000.0


class _UsageError(Exception):
    """Something on the command line, or the file that it names, makes no sense."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "simulate",
        help="what a day of calls would cost and lose, under this operator's policy and others",
        description="Simulate a day of calls under this operator's policy and under what others run, beside the least "
        "that anybody could pay who knew the day ahead. Exit code 0: simulated; 2: bad usage or a bad trace.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_epilog(),
    )
    calls = parser.add_mutually_exclusive_group(required=True)
    calls.add_argument("--trace", metavar="FILE", help="CSV of start,duration in seconds, or - for standard input")
    calls.add_argument("--scenario", choices=tuple(SCENARIOS), metavar="NAME", help="a synthetic day; see below")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same figures (default: 1)")
    parser.add_argument(
        "--peak",
        type=_number(above=0, most=MAX_PEAK),
        default=NORMAL_PEAK,
        help=f"calls at once that a scenario expects at its busiest time (default: {NORMAL_PEAK:.0f})",
    )
    _add_world(parser)
    _add_output(parser)
    parser.set_defaults(run=run)


def _add_world(parser: argparse.ArgumentParser) -> None:
    default = World()
    parser.add_argument(
        "--slots",
        type=_whole(least=1, most=1000),
        default=default.slots,
        help="calls that a worker holds (default: 12)",
    )
    parser.add_argument(
        "--startup-seconds",
        type=_number(above=0, most=3600),
        default=default.startup_seconds,
        help="mean time from a worker's creation to its first call (default: 45)",
    )
    parser.add_argument(
        "--expected-call-seconds",
        type=_number(above=0, most=86_400),
        default=default.expected_call_seconds,
        help="first guess at the length of a call, until some were measured (default: 180)",
    )
    parser.add_argument(
        "--hold-seconds",
        type=_number(least=0, most=120),
        default=default.hold_seconds,
        help="how long a call that finds no slot waits for one, whatever the policy; 0: not at all (default: 15)",
    )
    parser.add_argument(
        "--target-blocked",
        type=_number(least=0.000001, most=0.2),
        default=default.target_blocked,
        help="share of calls that may find no slot (default: 0.001)",
    )
    parser.add_argument(
        "--max-workers",
        type=_whole(least=1, most=NO_LIMIT),
        default=default.max_workers,
        help="workers that no policy may exceed (default: no limit)",
    )
    _add_campaigns(parser)


def _add_campaigns(parser: argparse.ArgumentParser) -> None:
    campaigns = parser.add_mutually_exclusive_group()
    campaigns.add_argument(
        "--campaigns-known",
        dest="campaigns_known",
        action="store_true",
        default=True,
        help="our policy knows a scenario's campaigns ahead (default)",
    )
    campaigns.add_argument("--campaigns-unknown", dest="campaigns_known", action="store_false", help="it does not")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="NAME",
        help="play this one only, or a pattern such as 'hpa-*'; can be repeated",
    )
    parser.add_argument(
        "--jobs",
        type=_whole(least=1, most=256),
        default=os.cpu_count() or 1,
        help="policies played at once (default: one for each core)",
    )
    parser.add_argument(
        "--output", choices=("text", "json"), default="text", help="form of the figures (default: text)"
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="draw cost against loss, as .svg or .png; plays our policy at several headrooms too",
    )


def _epilog() -> str:
    scenarios = [f"  {scenario.name:<14}{scenario.about}" for scenario in SCENARIOS.values()]
    policies = [f"  {c.name:<32}{c.dispatch.value:<10}{c.about}" for c in CONTENDERS if not c.on_request]
    more = sum(c.on_request for c in CONTENDERS)
    graces = f"  and {more} more with other graces: hpa-sessions-80-grace-1260, hpa-sessions-80-cost-grace-3600, ..."
    head = "policies, with the dispatch of calls that each is played with:"
    return "\n".join(["scenarios:", *scenarios, "", head, *policies, graces])


def run(arguments: argparse.Namespace) -> int:
    """Simulate what was asked for; return the exit code."""
    try:
        if arguments.plot:
            check_plot(arguments.plot)
        contenders = _contenders(arguments.policy)
        trace = _trace(arguments)
        world = _world(arguments)
        played = _play(contenders, trace, world, arguments.jobs)
        curve = _play(frontier(), trace, world, arguments.jobs) if arguments.plot else []
        _print(arguments, trace, bound(trace, world), played, curve)
        if arguments.plot:
            write_plot(arguments.plot, played, curve, f"{trace.name}: {len(trace.starts):,} calls")
    except (_UsageError, CannotPlotError) as error:
        print(f"voicefleet simulate: {error}", file=sys.stderr)
        return 2
    return 0


def _print(
    arguments: argparse.Namespace, trace: Trace, least: float, played: Sequence[Figures], curve: Sequence[Figures]
) -> None:
    if arguments.output == "json":
        report: dict[str, object] = {"bound_pod_hours": round(least, 3), "policies": [describe(f) for f in played]}
        if curve:
            report["frontier"] = [describe(f) for f in curve]
        print(json.dumps(report, indent=2))
    else:
        print(render_table(trace, least, [*played, *curve]))


def _contenders(patterns: list[str]) -> tuple[Contender, ...]:
    for pattern in patterns:
        if not pick([pattern]):
            raise _UsageError(f"there is no policy called {pattern!a}; --help lists them")
    return pick(patterns)


def _world(arguments: argparse.Namespace) -> World:
    return World(
        slots=arguments.slots,
        startup_seconds=arguments.startup_seconds,
        hold_seconds=arguments.hold_seconds,
        target_blocked=arguments.target_blocked,
        max_workers=arguments.max_workers,
        expected_call_seconds=arguments.expected_call_seconds,
        campaigns_known=arguments.campaigns_known,
        seed=arguments.seed,
    )


def _trace(arguments: argparse.Namespace) -> Trace:
    if arguments.scenario:
        return SCENARIOS[arguments.scenario].trace(peak=arguments.peak, seed=arguments.seed)
    name = "standard input" if arguments.trace == STANDARD_INPUT else arguments.trace
    try:
        if arguments.trace == STANDARD_INPUT:
            return read_trace(sys.stdin, name)
        if Path(arguments.trace).stat().st_size > MAX_TRACE_BYTES:
            raise _UsageError(f"{name}: larger than {MAX_TRACE_BYTES // 1_048_576} MiB: simulate a part of it")
        with Path(arguments.trace).open(encoding="utf-8", newline="") as file:
            return read_trace(file, name)
    except BadTraceError as error:
        raise _UsageError(f"{name}:{error.line}: {error.message}") from error
    except UnicodeDecodeError as error:
        raise _UsageError(f"{name}: not UTF-8 text") from error
    except OSError as error:
        raise _UsageError(f"{name}: cannot be read: {error.strerror}") from error


def _play(contenders: Sequence[Contender], trace: Trace, world: World, jobs: int) -> list[Figures]:
    played = []
    for figures in play_all(contenders, trace, world, jobs=jobs):
        played.append(figures)
        if sys.stderr.isatty():
            print(f"\r{len(played)} of {len(contenders)} policies", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return played


def _number(*, most: float, above: float = -math.inf, least: float = -math.inf) -> Callable[[str], float]:
    bound = f"at least {least:g}" if math.isfinite(least) else f"above {above:g}"

    def number(text: str) -> float:
        value = float(text)
        if not (math.isfinite(value) and value > above and least <= value <= most):
            raise argparse.ArgumentTypeError(f"{text}: must be {bound} and at most {most:g}")
        return value

    return number


def _whole(*, least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text}: must be at least {least} and at most {most}")
        return value

    return whole
