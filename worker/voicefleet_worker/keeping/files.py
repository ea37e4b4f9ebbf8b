"""Where files of calls lie on a worker's own disk, which outlives its container. Everything here blocks.

Below `live` a call writes; what it leaves there, however it ended, is moved to `outbox` by the worker. The path below
either is the name under which the file will be kept, so nothing else has to be remembered.
"""

import contextlib
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from voicefleet.keeping.choosing import has_room
from voicefleet.keeping.naming import call_of, plain_call


@dataclass(frozen=True, slots=True)
class CallFiles:
    """The directory, and how much it may hold."""

    directory: Path
    limit_bytes: int

    @property
    def live(self) -> Path:
        """Where calls write."""
        return self.directory / "live"

    @property
    def outbox(self) -> Path:
        """Where files wait until they are kept."""
        return self.directory / "outbox"

    @property
    def kept(self) -> Path:
        """Where files stay that nobody wants elsewhere."""
        return self.directory / "kept"

    def make(self) -> None:
        """Make the directories, which only this worker's own processes may enter."""
        for directory in (self.live, self.outbox, self.kept):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def has_room(self) -> bool:
        """Tell whether one more file may be begun; a disk that cannot be asked has none."""
        try:
            disk = shutil.disk_usage(self.directory)
            files_bytes = sum(path.stat().st_size for path in _files(self.directory))
        except OSError:
            return False
        return has_room(
            files_bytes=files_bytes, limit_bytes=self.limit_bytes, disk_used_bytes=disk.used, disk_bytes=disk.total
        )

    def new(self, name: str) -> str:
        """Return the name, or one like it, under which nothing lies here yet: a call may be begun anew."""
        stem, dot, suffix = name.rpartition(".")
        for number in range(1, 100):
            candidate = name if number == 1 else f"{stem}.{number}{dot}{suffix}"
            if not (self.live / candidate).exists() and not (self.outbox / candidate).exists():
                return candidate
        raise FileExistsError(name)

    def collect(self, running: Collection[str]) -> None:
        """Move what calls have left that run no more."""
        still = {plain_call(call) for call in running}
        for path in list(_files(self.live)):
            name = path.relative_to(self.live)
            if call_of(str(name)) in still:
                continue
            if path.stat().st_size:
                (self.outbox / name).parent.mkdir(parents=True, exist_ok=True)
                path.replace(self.outbox / name)
            else:
                path.unlink()
            _remove_empty(path.parent, self.live)

    def waiting(self) -> dict[str, int]:
        """Return the files that wait to be kept, by name, and their sizes."""
        return {str(path.relative_to(self.outbox)): path.stat().st_size for path in _files(self.outbox)}

    def remove(self, name: str) -> None:
        """Forget a file that is kept elsewhere."""
        path = self.outbox / name
        path.unlink(missing_ok=True)
        _remove_empty(path.parent, self.outbox)


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


def _remove_empty(directory: Path, root: Path) -> None:
    """Take away a folder in which nothing lies any more; one in which something does refuses."""
    with contextlib.suppress(OSError):
        while directory != root:
            directory.rmdir()
            directory = directory.parent
