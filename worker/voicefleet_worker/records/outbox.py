"""Records that wait to be sent, as files in the order in which they were written; a restart loses none."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from voicefleet.records.record import CallRecord

_SUFFIX = ".json"


class Outbox:
    """A folder that one process at a time writes to and sends from. Its calls block: threads are for them."""

    def __init__(self, directory: Path, *, clock_nanoseconds: Callable[[], int] = time.time_ns) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._clock_nanoseconds = clock_nanoseconds
        waiting = self._names()
        self._last = int(waiting[-1].removesuffix(_SUFFIX)) if waiting else 0

    def put(self, record: CallRecord) -> None:
        """Keep a record until it is sent; when this returns, a crash does not lose it."""
        # Behind all others, whatever the clock says.
        self._last = max(self._last + 1, self._clock_nanoseconds())
        path = self._directory / f"{self._last:020d}{_SUFFIX}"
        draft = path.with_suffix(".tmp")
        with draft.open("w", encoding="utf-8") as file:
            file.write(record.model_dump_json(by_alias=True))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)

    def oldest(self, most: int) -> list[tuple[Path, CallRecord]]:
        """Return the records that have waited longest, the longest first."""
        return [(path, record) for path in self._paths(most) if (record := _read(path)) is not None]

    def remove(self, paths: list[Path]) -> None:
        """Forget what was sent."""
        for path in paths:
            path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._names())

    def _paths(self, most: int) -> Iterator[Path]:
        for name in self._names()[:most]:
            yield self._directory / name

    def _names(self) -> list[str]:
        return sorted(path.name for path in self._directory.glob(f"*{_SUFFIX}"))


def _read(path: Path) -> CallRecord | None:
    """Read a record; one that nobody can read is put aside, lest it hold up all others."""
    try:
        return CallRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        path.rename(path.with_suffix(".unreadable"))
        return None
