"""The `voicefleet` command."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from voicefleet_cli import chat, explain, simulate, validate


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="voicefleet", description="Tools for fleets of voice agents on Kubernetes.")
    parser.add_argument("--version", action="version", version=f"voicefleet {version('voicefleet')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    validate.add_parser(commands)
    explain.add_parser(commands)
    simulate.add_parser(commands)
    chat.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that does not know a character gets its escape instead of a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
