"""`voicefleet chat`: talk to an agent in a terminal, in text. What runs the agent comes with the worker."""

import argparse
import contextlib
import re
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

_GROUP = "voicefleet.commands"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_EPILOG = """\
keys:
  Outside of a cluster a key is an environment variable, named after its Secret and its key there: OPENAI_API_KEY for
  key api-key of Secret openai. Or give a folder with a folder per Secret, and in it a file per key: --secrets DIR.
  LLM_MODEL chooses another model. Without a pool, OpenAI answers, or what OPENAI_BASE_URL points to.

examples:
  voicefleet chat agent.yaml
  voicefleet chat agent.yaml --pool pool.yaml --variable name=Ada
  echo "When are you open?" | voicefleet chat agent.yaml

Ctrl-D ends the conversation. Exit code 0: it came to its end; 1: an answer failed; 2: it could not begin;
130: Ctrl-C.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "chat",
        help="talk to an agent in the terminal",
        description="Talk to an agent in the terminal, in text: its instructions, tools and language models as in a\n"
        "call, and neither speech nor LiveKit. Lines come from the keyboard or from a pipe.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("agent", metavar="AGENT", type=Path, help="the VoiceAgent, YAML or JSON")
    parser.add_argument("--pool", metavar="POOL", type=Path, help="its ProviderPool, YAML or JSON")
    parser.add_argument(
        "--variable", metavar="NAME=VALUE", type=_variable, action="append", default=[], dest="variables",
        help="a variable of the call; may be repeated",
    )  # fmt: skip
    parser.add_argument("--secrets", metavar="DIR", type=Path, help="a folder per Secret, in it a file per key")
    parser.add_argument(
        "--texts", metavar="DIR", type=Path,
        help="a folder per ConfigMap with instructions, in it a file per key",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Hand the conversation to the worker; return the exit code."""
    try:
        (command,) = entry_points(group=_GROUP, name="chat")
        with _ended_by_ctrl_c():
            chat = cast("Callable[[argparse.Namespace], int]", command.load())
    except (ImportError, ValueError):
        needed = "needs what runs an agent: pip install 'voicefleet[worker]'"
        print(f"voicefleet chat: {needed}", file=sys.stderr)
        return 2
    return chat(arguments)


@contextlib.contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Have the system end us: whoever is loaded may take the exception of Python for a failure of its own."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _VARIABLE.match(name):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not NAME=VALUE")
    return name, value
