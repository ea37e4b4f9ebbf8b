"""Small things every protocol needs: JSON, ids and chunks."""

import itertools
import json
import uuid
from collections.abc import Iterator
from typing import Any, Literal

Json = dict[str, Any]
HearingMode = Literal["hear", "script"]

_serial = itertools.count(1)


def new_id(prefix: str) -> str:
    """Return an id of the shape the providers use, unique in this process."""
    return f"{prefix}{next(_serial):06d}{uuid.uuid4().hex[:12]}"


def parse_json(text: str | bytes) -> Json:
    """Read a JSON object; anything else is an empty one."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    """Cut bytes into pieces of a size."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def count_tokens(text: str) -> int:
    """Estimate tokens as four letters each, the providers' own rule of thumb."""
    return -(-len(text) // 4)
