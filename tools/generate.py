"""Write every generated file, or with --check say which ones are out of date."""

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from tools.reference import build_reference
from voicefleet.api import KINDS
from voicefleet.api.crd import build_crd

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Generated from core/voicefleet/api by `make gen`. Do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """Plain YAML without anchors, strings folded by nobody."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def to_yaml(document: object) -> str:
    """Return a document as the repository keeps it."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1_000_000, allow_unicode=True)


def generated_files() -> Iterator[tuple[Path, str]]:
    """Yield each generated file with its content."""
    for kind in KINDS.values():
        crd = HEADER + to_yaml(build_crd(kind))
        name = f"voicefleet.dev_{kind.INFO.plural}.yaml"
        yield ROOT / "crds" / name, crd
        yield ROOT / "docs" / "crds" / f"{kind.__name__.lower()}-fields.md", build_reference(kind)


def main() -> int:
    """Write or check; return the exit code."""
    check = "--check" in sys.argv[1:]
    stale = [(path, text) for path, text in generated_files() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        print(f"{'out of date' if check else 'wrote'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if check and stale:
        print("run `make gen` and commit the result")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
