"""Write every file that follows from the models, or with --check say which ones are out of date."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from tools.chart import generated_chart_files
from tools.reference import build_reference
from tools.writing import HEADER, ROOT, settle, to_yaml
from voicefleet.api.crd import build_crd
from voicefleet.api.kinds import KINDS
from voicefleet.records import record, transcript


def generated_files() -> Iterator[tuple[Path, str]]:
    """Yield each generated file with its content."""
    for kind in KINDS.values():
        yield ROOT / "crds" / f"voicefleet.dev_{kind.INFO.plural}.yaml", HEADER + to_yaml(build_crd(kind))
        yield ROOT / "docs" / "crds" / f"{kind.__name__.lower()}-fields.md", build_reference(kind)
    yield ROOT / "docs" / "call-record.schema.json", build_schema(record.SCHEMA, record.CallRecord)
    yield ROOT / "docs" / "transcript.schema.json", build_schema(transcript.SCHEMA, transcript.Transcript)
    yield from generated_chart_files()


def build_schema(name: str, model: type[BaseModel]) -> str:
    """Return what a reader of a kept document may rely on."""
    schema = {"$id": name, **model.model_json_schema(by_alias=True, mode="serialization")}
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(settle(generated_files(), check="--check" in sys.argv))
