"""Under which name a file of a call is kept. No name holds anything of the caller: rooms may be named after them."""

import re
from datetime import datetime

from voicefleet.api.voiceagent.records import Store

_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_STRANGE = re.compile(r"[^A-Za-z0-9._-]")
DEFAULT_PREFIX = "{{agent}}/{{date}}/"


def object_name(prefix: str, *, agent: str, call: str, began: datetime, suffix: str) -> str:
    """Return the name of one file of a call: the prefix with its places filled, and the call's id.

    The id is always the last part: a prefix that forgets it would have each call overwrite the one before.
    """
    values = {"date": began.strftime("%Y-%m-%d"), "agent": agent, "call": call}

    def fill(place: re.Match[str]) -> str:
        return _plain(values[place[1]]) if place[1] in values else ""

    filled = _PLACE.sub(fill, prefix or DEFAULT_PREFIX)
    return _walk(f"{filled}{_plain(call)}{suffix}")


def prefix_of(store: Store | None) -> str:
    """Return how the names in a store begin; only buckets are asked for it."""
    return store.object_store.prefix if store is not None and store.object_store is not None else ""


def call_of(name: str) -> str:
    """Return the id of the call that a file belongs to, as it stands in names."""
    *_, last = name.rsplit("/", 1)
    return last.partition(".")[0]


def plain_call(call: str) -> str:
    """Return a call's id as it stands in names."""
    return _plain(call)


def _plain(text: str) -> str:
    return _STRANGE.sub("-", text)


def _walk(name: str) -> str:
    """Leave out what would lead elsewhere in a file system: the same names serve buckets and directories."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))
