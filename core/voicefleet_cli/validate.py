"""`voicefleet validate`: the apiserver's verdict on files, offline."""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from voicefleet.api.references import looks_like_a_secret
from voicefleet.api.voiceagent import VoiceAgentSpec
from voicefleet.conversation.contradictions import contradictions
from voicefleet.validation import Problem, check_manifest, is_ours
from voicefleet_cli.documents import Document, read_documents
from voicefleet_cli.yaml_text import Unreadable

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
STANDARD_INPUT = "-"
# No name that a server takes is longer.
_LONGEST_NAME = 253
_PART = re.compile(r"\[[^]]+\]|[^.\[\]]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to change, with the place where it stands."""

    file: str
    line: int
    kind: str
    name: str
    field: str
    message: str

    def __str__(self) -> str:
        subject = "/".join(part for part in (self.kind, self.name) if part)
        subject = f"{subject}: " if subject else ""
        place = f"{self.field}: " if self.field else ""
        return _printable(f"{self.file}:{self.line}: {subject}{place}{self.message}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one file held."""

    checked: int = 0
    skipped: int = 0
    findings: tuple[Finding, ...] = ()


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "validate",
        help="check manifests as the apiserver would, without one",
        description="Check VoiceAgent, ProviderPool and CallCampaign manifests as the apiserver would, without one, "
        "and for what no pool could mend: the apiserver takes it, and no worker starts with it. "
        "Manifests of other kinds are passed over. "
        "Exit code 0: all would be accepted; 1: some would not, or would not start; 2: bad usage.",
    )
    parser.add_argument(
        "paths", nargs="+", metavar="FILE|DIR", help="a manifest, a folder of them, or - for standard input"
    )
    parser.add_argument(
        "--output", choices=("text", "json"), default="text", help="form of the findings (default: text)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check everything that was named; return the exit code."""
    unusable = [f"{path}: {problem}" for path in arguments.paths if (problem := _problem_of(path))]
    if unusable:
        print(f"voicefleet validate: {unusable[0]}", file=sys.stderr)
        return 2
    outcomes = [_check_file(name, named=name in arguments.paths) for name in _files(arguments.paths)]
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    checked, skipped = sum(o.checked for o in outcomes), sum(o.skipped for o in outcomes)
    if arguments.output == "json":
        report = {"checked": checked, "skipped": skipped, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(report, indent=2, ensure_ascii=True))
    else:
        _print_text(findings, checked=checked, skipped=skipped)
    return 1 if findings else 0


def _problem_of(path: str) -> str | None:
    """Say why nothing could be checked; a pipeline whose folder has moved must not take that for all right."""
    if path == STANDARD_INPUT:
        return None
    if not Path(path).exists():
        return "no such file or folder"
    return None if any(_files([path])) else f"no file in it that ends in {', '.join(sorted(SUFFIXES))}"


def _print_text(findings: Iterable[Finding], *, checked: int, skipped: int) -> None:
    found = list(findings)
    for finding in found:
        print(finding)
    passed_over = f", {_counted(skipped, 'manifest')} of other kinds passed over" if skipped else ""
    verdict = _counted(len(found), "error") if found else "all would be accepted"
    print(f"{_counted(checked, 'manifest')} checked{passed_over}: {verdict}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _files(paths: Iterable[str]) -> Iterator[str]:
    for name in paths:
        path = Path(name)
        if name != STANDARD_INPUT and path.is_dir():
            yield from (str(file) for file in sorted(path.rglob("*")) if file.suffix in SUFFIXES and file.is_file())
        else:
            yield name


def _check_file(name: str, *, named: bool) -> Outcome:
    shown = "standard input" if name == STANDARD_INPUT else name
    outcome = Outcome()
    try:
        for document in read_documents(_read(name)):
            outcome = _with(outcome, shown, document)
    except Unreadable as error:
        return _failed(outcome, shown, error.line, error.message)
    except UnicodeDecodeError as error:
        return _failed(outcome, shown, 1, f"not UTF-8: byte {error.start} is {error.object[error.start]:#04x}")
    except OSError as error:
        return _failed(outcome, shown, 1, f"cannot be read: {error.strerror}")
    if named and outcome == Outcome():
        return _failed(outcome, shown, 1, "holds no manifest")
    return outcome


def _read(name: str) -> str:
    raw = sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).read_bytes()
    return raw.decode("utf-8-sig")


def _with(outcome: Outcome, file: str, document: Document) -> Outcome:
    value = document.value
    if isinstance(value, dict) and not is_ours(value) and value.get("apiVersion") and value.get("kind"):
        return Outcome(outcome.checked, outcome.skipped + 1, outcome.findings)
    kind, name = _identity(value)
    refused = [
        Finding(file, _line_of(problem, document), kind, name, problem.field, problem.message)
        for problem in check_manifest(value)
    ]
    found = refused or [
        Finding(file, document.line_of(_path_to(field, value)), kind, name, field, f"{message}; no worker would start")
        for field, message in _stalled(value)
    ]
    return Outcome(outcome.checked + 1, outcome.skipped, (*outcome.findings, *found))


def _stalled(value: object) -> Iterator[tuple[str, str]]:
    """Yield what an agent gets wrong that the apiserver takes."""
    if isinstance(value, dict) and value["kind"] == "VoiceAgent":
        spec = VoiceAgentSpec.model_validate(value["spec"], by_alias=True, by_name=False)
        yield from ((problem.field, problem.message) for problem in contradictions(spec))


def _path_to(field: str, value: object) -> tuple[str | int, ...]:
    """Return where a field stands, such as spec.tools[hours].parameters; a list's items go by number or by name."""
    path: list[str | int] = []
    for part in (part.strip("[]") for part in _PART.findall(field)):
        key = _index_of(part, value) if isinstance(value, list) else part
        try:
            value = value[key]  # type: ignore[index] # what holds no such thing says so
        except (TypeError, LookupError):
            break
        path.append(key)
    return tuple(path)


def _index_of(part: str, items: list[object]) -> int:
    named = (index for index, item in enumerate(items) if isinstance(item, dict) and item.get("name") == part)
    return int(part) if part.isdecimal() else next(named, len(items))


def _line_of(problem: Problem, document: Document) -> int:
    """Point at the field that a rule begins by naming, since the rule itself is about what is around it."""
    named = problem.message.partition(" ")[0].split(".")
    return document.line_of((*problem.path, *named))


def _failed(outcome: Outcome, file: str, line: int, message: str) -> Outcome:
    finding = Finding(file, line, "", "", "", message)
    return Outcome(outcome.checked, outcome.skipped, (*outcome.findings, finding))


def _identity(value: object) -> tuple[str, str]:
    if not isinstance(value, dict):
        return "", ""
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return _shown(value.get("kind")), _shown(name)


def _shown(value: object) -> str:
    """Show a name as ASCII, and nothing of a key that stands where a name belongs."""
    if not isinstance(value, str) or looks_like_a_secret(value):
        return ""
    return ascii(value[:_LONGEST_NAME])[1:-1]


def _printable(text: str) -> str:
    """Keep from a terminal what it would obey."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
