"""The command line: build the parts once, then bring benches up and down by name."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from e2e.bench.bench import Bench
from e2e.bench.build import build_parts, find_binary, find_part
from e2e.bench.needs import STAND_IN_PROGRAMS, needed_programs
from e2e.bench.options import BenchError, BenchOptions
from e2e.bench.packages import ensure_programs, find_program
from e2e.bench.parts import DEBIAN_PROGRAMS, PARTS, Part
from e2e.bench.registry import bench_name, find_alive, list_alive, sweep_dead

_DEFAULT_NAME = "default"
_EPILOG = """\
examples:
  python -m e2e.bench build                  build what is missing (15 minutes the first time)
  python -m e2e.bench up                     a control plane, LiveKit and Redis, until `down`
  python -m e2e.bench kubectl -- get nodes   talk to it
  python -m e2e.bench up --name big --node   a second one, with a real node (root)
  python -m e2e.bench down --all
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a failure is one clear message, never a traceback."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # somebody's `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.bench",
        description="Real parts for end-to-end tests: etcd, Kubernetes, kwok, LiveKit, Redis and more.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = commands.add_parser("build", help="build or install what is missing")
    build.add_argument("--only", nargs="+", metavar="PART", help="only these; see --list")
    build.add_argument("--list", action="store_true", help="say what there is and what is missing, and stop")
    build.set_defaults(run=_build)

    up = commands.add_parser("up", help="bring a bench up that lives until `down`")
    _add_name(up)
    up.add_argument("--node", action="store_true", help="with one real node (containerd, kubelet); needs root")
    up.add_argument("--postgres", action="store_true", help="with Postgres")
    up.add_argument("--no-livekit", action="store_true", help="without livekit-server")
    up.add_argument("--kwok-nodes", type=int, default=1, metavar="N", help="simulated nodes (default: 1)")
    up.add_argument("--foreground", action="store_true", help="stay, and take it down on Ctrl-C")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="take a bench down")
    _add_name(down)
    down.add_argument("--all", action="store_true", help="every bench, and what killed ones left")
    down.set_defaults(run=_down)

    commands.add_parser("status", help="list the benches that are up").set_defaults(run=_status)

    _add_talking_commands(commands)
    return parser


def _add_talking_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    logs = commands.add_parser("logs", help="print a part's log, or list the parts")
    logs.add_argument("part", nargs="?", metavar="PART")
    _add_name(logs)
    logs.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    logs.set_defaults(run=_logs)

    for tool in ("kubectl", "helm"):
        command = commands.add_parser(tool, help=f"run {tool} against a bench: {tool} -- ARGUMENTS")
        _add_name(command)
        command.add_argument("arguments", nargs="*", metavar="ARGUMENTS")
        command.set_defaults(run=_tool, tool=tool)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default=_DEFAULT_NAME, help=f"which bench (default: {_DEFAULT_NAME})")


def _build(options: argparse.Namespace) -> int:
    parts = [find_part(name) for name in options.only] if options.only else list(PARTS)
    if options.list:
        for part in parts:
            print(f"{part.name:<26}{_describe_state(part)}")
        for program in DEBIAN_PROGRAMS:
            found = find_program(program.name)
            print(f"{program.name:<26}{found or f'missing: Debian package {program.package}'}")
        return 0
    build_parts(parts)
    if not options.only:
        # What is only there on request is only worth a complaint when it is asked for.
        root = os.geteuid() == 0
        ensure_programs([*needed_programs(BenchOptions(postgres=root, node=root)), *STAND_IN_PROGRAMS])
    return 0


def _describe_state(part: Part) -> str:
    if not part.exists_in_repository:
        return "not in this repository"
    return f"{part.version:<14}{part.binary if part.binary.is_file() else 'to be built'}"


def _up(options: argparse.Namespace) -> int:
    started = time.monotonic()
    wanted = BenchOptions(
        name=options.name,
        node=options.node,
        postgres=options.postgres,
        livekit=not options.no_livekit,
        kwok_nodes=options.kwok_nodes,
    )
    bench = Bench.start(wanted, tell=lambda text: print(f"starting {text}", flush=True))
    try:
        print(f"{bench.name} is up after {time.monotonic() - started:.1f} s")
        _describe(bench)
        if options.foreground:
            _stay(bench)
        else:
            bench.detach()
    finally:
        if options.foreground:
            bench.down()
    return 0


def _stay(bench: Bench) -> None:
    """Wait for Ctrl-C or a SIGTERM, or for a part to die."""
    print("Ctrl-C takes it down", flush=True)
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    while not bench.deaths() and signal.sigtimedwait(signals, 1.0) is None:
        pass


def _down(options: argparse.Namespace) -> int:
    swept = sweep_dead()
    for left in swept:
        print(f"swept what was left of {left}")
    names = [bench_name(layout) for layout in list_alive()] if options.all else [options.name]
    if any(left.startswith(f"{options.name}-") for left in swept) and not options.all:
        return 0  # that was the one: killed, and now gone
    for name in names:
        Bench.attach(name).down()
        print(f"{name} is down")
    return 0


def _status(_: argparse.Namespace) -> int:
    for left in sweep_dead():
        print(f"swept what was left of {left}")
    layouts = list_alive()
    if not layouts:
        print("no bench is up")
    for layout in layouts:
        if not layout.facts.is_file():
            print(f"{bench_name(layout)} is coming up in {layout.directory}")
            continue
        bench = Bench(layout)
        print(f"{bench.name} is up")
        _describe(bench)
        for death in bench.deaths().values():
            print(f"  DIED       {death}")
    return 0


def _describe(bench: Bench) -> None:
    rows = [("kubeconfig", str(bench.kubeconfig)), ("API server", bench.api_url), ("logs", str(bench.logs_dir))]
    if bench.options.livekit:
        livekit = bench.livekit
        rows.append(("LiveKit", f"{livekit.ws_url}  key {livekit.api_key}  secret {livekit.api_secret}"))
    if bench.options.redis:
        rows.append(("Redis", bench.redis_url))
    if bench.options.postgres:
        rows.append(("Postgres", bench.postgres_url))
    if bench.node is not None:
        rows.append(("real node", f"{bench.node.name}, pods reach the host at {bench.node.host_address}"))
    for title, value in rows:
        print(f"  {title:<11}{value}")
    sys.stdout.flush()


def _logs(options: argparse.Namespace) -> int:
    directory = find_alive(options.name).logs
    if options.part is None:
        for path in sorted(directory.glob("*.log")):
            print(f"{path.stem:<26}{path.stat().st_size:>10} bytes")
        return 0
    path = directory / f"{options.part}.log"
    if not path.is_file():
        raise BenchError(f"{options.part} has no log here; there are {', '.join(sorted(_stems(directory)))}")
    with path.open(errors="replace") as log:
        while True:
            for line in log:
                print(line, end="")
            if not options.follow:
                return 0
            sys.stdout.flush()
            time.sleep(0.2)


def _stems(directory: Path) -> list[str]:
    return [path.stem for path in directory.glob("*.log")]


def _tool(options: argparse.Namespace) -> int:
    bench = Bench.attach(options.name)
    program = find_binary(options.tool)
    # Become it, so that `exec -it` and `logs -f` have the terminal and the signals.
    os.execve(program, [options.tool, *options.arguments], bench.environment())  # noqa: S606
