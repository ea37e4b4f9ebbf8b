"""`voicefleet explain`: a VoiceAgent's status in sentences, from what `kubectl get -o yaml` prints."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.report.explanation import explain_agent
from voicefleet_cli.documents import read_documents
from voicefleet_cli.yaml_text import Unreadable

STANDARD_INPUT = "-"


class _NothingToExplainError(Exception):
    """What was given holds no status that could be told."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "explain",
        help="say what a VoiceAgent is doing and why, from its status",
        description="Say what a VoiceAgent is doing and why: its conditions, its room, the steps from the load to the "
        "number of workers, its rollout. Exit code 0: told; 2: nothing to tell.",
        epilog="example:\n  kubectl get va receptionist -o yaml | voicefleet explain -",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="VoiceAgents as kubectl prints them, or - for standard input")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tell every VoiceAgent of the file; return the exit code."""
    try:
        stories = _tell_all(_read(arguments.file))
    except (_NothingToExplainError, Unreadable) as error:
        where = f"{arguments.file}:{error.line}" if isinstance(error, Unreadable) else arguments.file
        words = error.message if isinstance(error, Unreadable) else error
        print(f"voicefleet explain: {where}: {words}", file=sys.stderr)
        return 2
    print("\n\n".join("\n".join(story) for story in stories))
    return 0


def _tell_all(text: str) -> list[tuple[str, ...]]:
    stories = list(_stories(text))
    if not stories:
        raise _NothingToExplainError("no VoiceAgent in it: try `kubectl get va NAME -o yaml`")
    return stories


def _read(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).read_bytes()
        return data.decode()
    except OSError as error:
        raise _NothingToExplainError(error.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise _NothingToExplainError("not UTF-8") from None


def _stories(text: str) -> Iterator[tuple[str, ...]]:
    for document in read_documents(text):
        value = document.value
        if isinstance(value, Mapping) and value.get("kind") == "VoiceAgent":
            yield explain_agent(_name(value), _status(value, document.line))


def _name(agent: Mapping[str, object]) -> str:
    metadata = agent.get("metadata")
    known = metadata if isinstance(metadata, Mapping) else {}
    return "/".join(str(known[key]) for key in ("namespace", "name") if known.get(key)) or "VoiceAgent"


def _status(agent: Mapping[str, object], line: int) -> VoiceAgentStatus:
    try:
        return VoiceAgentStatus.model_validate(agent.get("status") or {})
    except ValidationError as error:
        raise Unreadable(line, f"its status is of another version ({error.error_count()} fields differ)") from None
