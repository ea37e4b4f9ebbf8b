"""Records that wait to be sent, as files in the order in which they were written; a restart loses none."""

import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from voicefleet.records.record import CallRecord

logger = logging.getLogger("voicefleet.worker")

_SUFFIX = ".json"
_REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a look into an outbox finds."""

    oldest: list[tuple[Path, CallRecord]]
    """The first of those that wait."""
    count: int
    """How many wait."""


class Outbox:
    """A folder that one process at a time writes to and sends from. Its calls block: threads are for them."""

    def __init__(self, directory: Path, *, clock_nanoseconds: Callable[[], int] = time.time_ns) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._clock_nanoseconds = clock_nanoseconds
        names = [path.name for path in (*self._waiting(), *self._refused())]
        self._last = max((int(name.removesuffix(_SUFFIX)) for name in names), default=0)

    def put(self, record: CallRecord) -> None:
        """Keep a record until it is sent; when this returns, a crash does not lose it."""
        # Behind all others, whatever the clock says.
        self._last = max(self._last + 1, self._clock_nanoseconds())
        path = self._directory / f"{self._last:020d}{_SUFFIX}"
        draft = path.with_suffix(".tmp")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(record.model_dump_json(by_alias=True))
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        except OSError:
            # What a full disk has no room for need not fill it any further.
            draft.unlink(missing_ok=True)
            raise

    def look(self, most: int) -> Waiting:
        """Return the records that have waited longest, the longest first; raise OSError if none can be read now."""
        paths = self._waiting()
        count = len(paths)
        oldest: list[tuple[Path, CallRecord]] = []
        for path in paths[:most]:
            try:
                oldest.append((path, CallRecord.model_validate_json(path.read_bytes())))
            except ValidationError as error:
                # Nobody can ever read it, and it must not hold up all others.
                path.rename(path.with_suffix(".unreadable"))
                count -= 1
                problem = f"{error.error_count()} errors"
                logger.error(  # noqa: TRY400 - where it was read is no news
                    "a waiting call record is no record, and is put aside",
                    extra={"file": path.name, "problem": problem},
                )
            except OSError:
                # Not now. Those behind it wait for their turn.
                if not oldest:
                    raise
                break
        return Waiting(oldest, count)

    def remove(self, paths: Iterable[Path]) -> None:
        """Forget what was sent."""
        for path in paths:
            path.unlink(missing_ok=True)

    def put_aside(self, paths: Iterable[Path]) -> None:
        """Keep what was refused where it holds up nobody."""
        (self._directory / _REFUSED).mkdir(mode=0o700, exist_ok=True)
        for path in paths:
            path.rename(self._directory / _REFUSED / path.name)

    def take_back(self) -> None:
        """Let what was refused wait again, each in its old place."""
        for path in self._refused():
            path.rename(self._directory / path.name)

    def count_waiting(self) -> int:
        """Return how many records wait."""
        return len(self._waiting())

    def count_refused(self) -> int:
        """Return how many records were put aside as refused."""
        return len(self._refused())

    def _waiting(self) -> list[Path]:
        return sorted(self._directory.glob(f"*{_SUFFIX}"))

    def _refused(self) -> list[Path]:
        return sorted((self._directory / _REFUSED).glob(f"*{_SUFFIX}"))
