"""The journal as a file: one line for each thing that happened, written by a thread, so that no call waits for a disk.

Each line is handed to the system at once and whole: a process that is killed loses at most what it was writing.
"""

import asyncio
import errno
import logging
import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote

from voicefleet.records.journal import Entry

logger = logging.getLogger("voicefleet.call")

SUFFIX = ".journal"
# What a call writes in some minutes; a disk that is full for longer costs lines.
_MOST_OWED = 500
_OPEN = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


def journal_path(directory: Path, job_id: str) -> Path:
    """Return where the journal of a call lies; an id is LiveKit's to choose, and no path."""
    return directory / f"{quote(job_id, safe='')[:200]}{SUFFIX}"


def job_of_journal(path: Path) -> str:
    """Return whose journal it is."""
    return unquote(path.name.removesuffix(SUFFIX))


def add_to_journal(path: Path, entries: Iterable[Entry]) -> None:
    """Write below a journal whose process is gone; when this returns, a crash does not lose it. Blocks."""
    with os.fdopen(os.open(path, _OPEN, 0o600), "ab") as file:
        # The last line of a process that was killed may be torn.
        file.write(b"".join(b"\n" + _line(entry) for entry in entries) + b"\n")
        file.flush()
        os.fsync(file.fileno())


class Journal:
    """The journal of one call; without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: int | None = None
        self._pen = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._owed: deque[bytes] = deque()
        """Lines that the disk has not taken yet."""
        self._is_torn = False
        """Whether the last line may lack its end."""
        self._has_warned = False

    def write(self, entry: Entry) -> None:
        """Have one line written, after all that came before it."""
        if self._path is not None:
            self._pen.submit(self._write, _line(entry))

    async def aclose(self) -> None:
        """Return when everything is written."""
        await asyncio.to_thread(self._close)

    def _write(self, line: bytes) -> None:
        if len(self._owed) < _MOST_OWED:
            self._owed.append(line)
        self._write_owed()

    def _write_owed(self) -> None:
        try:
            if self._file is None:
                self._file = os.open(str(self._path), _OPEN, 0o600)
            while self._owed:
                self._put(self._file, self._owed[0])
                self._owed.popleft()
        except OSError as error:
            # A full disk ends no call, and holds up its journal only while it is full.
            if not self._has_warned:
                self._has_warned = True
                logger.warning("a call's journal cannot be written", extra={"problem": error.strerror})

    def _put(self, file: int, line: bytes) -> None:
        """Write one line; the rest of one that was torn is left behind."""
        whole = (b"\n" if self._is_torn else b"") + line + b"\n"
        self._is_torn = True
        if os.write(file, whole) < len(whole):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._is_torn = False

    def _close(self) -> None:
        self._pen.shutdown()
        if self._owed:
            self._write_owed()
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _line(entry: Entry) -> bytes:
    return entry.model_dump_json(by_alias=True, exclude_none=True).encode()
