"""An Event, named by what it says, so that the same thing told twice is one object that counts."""

import hashlib
from datetime import datetime

from voicefleet.api.types import timestamp
from voicefleet.manifests import Manifest
from voicefleet.names import MANAGED_BY
from voicefleet.report.events import Note


def build_event(note: Note, about: Manifest, *, since: datetime, now: datetime, count: int) -> Manifest:
    """Return the Event that tells a note about an object."""
    metadata = about["metadata"]
    digest = hashlib.sha256(f"{metadata['uid']}/{note.key}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{digest}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            **{key: metadata[key] for key in ("name", "namespace", "uid")},
        },
        "type": note.kind,
        "reason": note.reason,
        "message": note.message,
        "source": {"component": MANAGED_BY},
        "reportingComponent": MANAGED_BY,
        "firstTimestamp": timestamp(since),
        "lastTimestamp": timestamp(now),
        "count": count,
    }
