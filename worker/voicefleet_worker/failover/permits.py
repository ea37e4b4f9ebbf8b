"""Permits as the calls of a worker take them: each is a byte of memory that they share, and is there or used up.

A call locks the byte for as long as it takes to use it up: the kernel decides between two that want the same one, and
nobody waits. The worker puts there what it holds in the fleet's name, sees what is used up, and takes the rest away
again. Until when they may be used stands before them, so that a worker that stands still gives nothing away.
"""

import math
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from voicefleet.api.providerpool.providers import Provider
from voicefleet.providers.permits import MOST_PERMITS
from voicefleet_worker.failover.locks import lock, unlock

_THERE = 1
_USED = 0
# One store of eight bytes; all processes of a machine have the same monotonic clock.
_UNTIL = struct.Struct("@d")


class _Memory:
    """A file that two or more share: its bytes, and the locks on them."""

    def __init__(self, path: Path, providers: Iterable[Provider], *, make: bool) -> None:
        self.quotas = {p.name: requests_per_minute(p) for p in providers}
        self._first = {name: _UNTIL.size + place * MOST_PERMITS for place, name in enumerate(sorted(self.quotas))}
        size = _UNTIL.size + len(self.quotas) * MOST_PERMITS
        self._file = os.open(path, os.O_RDWR | (os.O_CREAT if make else 0), 0o600)
        try:
            if make:
                # With room on the disk for all of it: who writes to a page that has none is killed.
                os.posix_fallocate(self._file, 0, size)
            self.bytes = mmap.mmap(self._file, size)
        except (OSError, ValueError):
            os.close(self._file)
            raise

    @property
    def until(self) -> float:
        moment: float = _UNTIL.unpack_from(self.bytes)[0]
        return moment

    @until.setter
    def until(self, moment: float) -> None:
        _UNTIL.pack_into(self.bytes, 0, moment)

    def places(self, name: str) -> range:
        first = self._first[name]
        return range(first, first + MOST_PERMITS)

    def use_up(self, place: int) -> bool:
        """Use a permit up; return False if somebody else does, or has."""
        if not lock(self._file, place):
            return False
        was_there = self.bytes[place] == _THERE
        if was_there:
            self.bytes[place] = _USED
        unlock(self._file, place)
        return was_there

    def close(self) -> None:
        self.bytes.close()
        os.close(self._file)


class HeldPermits:
    """The worker's side. At first there is nothing to be used. Not for threads: one event loop owns it."""

    def __init__(self, path: Path, providers: Iterable[Provider]) -> None:
        self._memory = _Memory(path, providers, make=True)
        self._held: dict[str, set[int]] = {name: set() for name in self._memory.quotas}
        self._used = dict.fromkeys(self._held, 0)

    def keep(self, name: str, most: int) -> int:
        """Give up what is above a count; return how many are left of those that nobody has used."""
        held, memory = self._held[name], self._memory
        for place in sorted(held):
            if not memory.bytes[place]:
                held.discard(place)
                self._used[name] += 1
        for place in sorted(held, reverse=True)[: max(0, len(held) - most)]:
            # What a call takes at this moment is counted as used next time.
            if memory.use_up(place):
                held.discard(place)
        return len(held)

    def used(self, name: str) -> int:
        """Return how many permits were used up by the time of the last look at what is kept; it never falls."""
        return self._used[name]

    def add(self, name: str, count: int) -> None:
        """Let calls use so many more."""
        held = self._held[name]
        for place in [each for each in self._memory.places(name) if each not in held][:count]:
            held.add(place)
            self._memory.bytes[place] = _THERE

    def trust_until(self, moment: float) -> None:
        """Let permits be used until then, by the monotonic clock, and no request begin without."""
        self._memory.until = moment

    def decide_alone(self) -> None:
        """Let requests begin without permits."""
        for name in self._held:
            self.keep(name, 0)
        self._memory.until = math.inf

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()


class TakenPermits:
    """A call's side; a call that has no worker may do as it likes."""

    def __init__(self, memory: _Memory | None = None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self._monotonic = monotonic

    @classmethod
    def open(cls, path: Path, providers: Iterable[Provider], *, monotonic: Callable[[], float]) -> Self:
        """Find a worker's permits; without a file there are none to be asked for."""
        try:
            return cls(_Memory(path, providers, make=False), monotonic=monotonic)
        except (OSError, ValueError):
            return cls()

    def guards(self, name: str) -> bool:
        """Tell whether a provider is asked by permit only."""
        memory = self._memory
        return memory is not None and bool(memory.quotas.get(name)) and memory.until != math.inf

    def take(self, name: str) -> bool:
        """Use up a permit, where one is needed; return False if there is none."""
        memory = self._memory
        if memory is None or not self.guards(name):
            return True
        if self._monotonic() > memory.until:
            return False
        places = memory.places(name)
        place = places.start - 1
        while (place := memory.bytes.find(_THERE.to_bytes(), place + 1, places.stop)) >= 0:
            if memory.use_up(place):
                return True
        return False

    def close(self) -> None:
        """Let go of the memory; what was used up is not given back."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None


def requests_per_minute(provider: Provider) -> int:
    """Return a provider's quota of a minute; 0 for one without."""
    return (provider.quota.requests_per_minute or 0) if provider.quota else 0
