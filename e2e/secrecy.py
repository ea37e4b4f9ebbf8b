"""Looking for secrets where none may be: whole, in part, and in the spellings in which one travels."""

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from e2e.processes import descendants_of

# Masks leave a few characters at either end; so many in a row are a part that somebody could use.
PART = 12


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that nobody but its owner and whom it is for may read."""

    name: str
    value: str

    def traces(self) -> set[bytes]:
        """Return what it would be found by."""
        plain = self.value.encode()
        spellings = {plain, plain.hex().encode(), json.dumps(self.value)[1:-1].encode(), quote(self.value).encode()}
        spellings |= set(_base64s(plain))
        return {spelling[at : at + PART] for spelling in spellings for at in range(len(spelling) - PART + 1)}


def _base64s(plain: bytes) -> Iterator[bytes]:
    """Yield what it looks like within something longer: that hangs on where its bytes fall among threes."""
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + plain).rstrip(b"=")
        # What shares a character with the bytes before or behind says nothing.
        inner = text[(0, 2, 3)[shift] : -1]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


def in_memory_of(pid: int, secrets: Iterable[Secret]) -> list[str]:
    """Name the secrets that a process holds, as they are or as the apiserver hands them out."""
    memory = b"".join(_memory_of(pid))
    spellings = {each.name: (each.value.encode(), base64.b64encode(each.value.encode())) for each in secrets}
    return [name for name, spelled in spellings.items() if any(spelling in memory for spelling in spelled)]


def _memory_of(pid: int) -> Iterator[bytes]:
    """Yield what a process has written to its memory, and still has."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            begin, end = (int(address, 16) for address in where.split("-"))
            memory.seek(begin)
            # Some of it is a device's.
            with suppress(OSError):
                yield memory.read(end - begin)


@dataclass
class Places:
    """Everything that somebody without a right to the secrets may come to read."""

    texts: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, text: str | bytes) -> None:
        self.texts[name] = text.encode() if isinstance(text, str) else text

    def add_files(self, folder: Path, *, but: Iterable[str]) -> None:
        """Add what lies below a folder, but for what is mounted from Secrets."""
        for path in folder.rglob("*"):
            within = f"/{path.relative_to(folder)}"
            if not any(within.startswith(f"{mounted}/") for mounted in but):
                # Processes that end take their files with them.
                with suppress(OSError):
                    self.add(f"{folder.name}{within}", path.read_bytes() if path.is_file() else b"")

    def add_process(self, pid: int) -> None:
        """Add what any user of its machine sees of a process, and of those that it began."""
        for each in (pid, *descendants_of(pid)):
            with suppress(OSError):
                self.add(f"arguments of {each}", Path(f"/proc/{each}/cmdline").read_bytes())
                self.add(f"environment of {each}", Path(f"/proc/{each}/environ").read_bytes())

    def holding(self, secrets: list[Secret]) -> list[str]:
        """Name the secrets that stand somewhere, and where."""
        found = []
        for secret in secrets:
            traces = secret.traces()
            found += [
                f"{secret.name} in {name}"
                for name, text in self.texts.items()
                if any(trace in text for trace in traces)
            ]
        return found
