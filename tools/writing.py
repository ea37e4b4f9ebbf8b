"""How generated files look, and how they are written or checked."""

from collections.abc import Iterable
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Generated from core/voicefleet/api by `make gen`. Do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """Plain YAML without anchors, strings folded by nobody."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def to_yaml(document: object) -> str:
    """Return a document as the repository keeps it."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1_000_000, allow_unicode=True)


def settle(files: Iterable[tuple[Path, str]], *, check: bool) -> int:
    """Write what is out of date, or only say so; return the exit code."""
    stale = [(path, text) for path, text in files if not path.exists() or path.read_text() != text]
    for path, text in stale:
        print(f"{'out of date' if check else 'wrote'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if check and stale:
        print("run `make gen` and commit the result")
    return 1 if check and stale else 0
