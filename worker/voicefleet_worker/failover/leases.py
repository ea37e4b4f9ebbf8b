"""Leases and probes as the calls of a worker take them: each is a byte of a file that one call at a time can lock.

The worker itself locks those that it does not hold in the fleet's name, so a call that finds a byte free may begin. The
kernel decides between two that want the same one, nobody waits, and what a call held when its process died is free.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

from voicefleet.api.providerpool.providers import Provider
from voicefleet.providers.leases import MOST_LEASES
from voicefleet.providers.routing import Refusal
from voicefleet_worker.failover.locks import lock, unlock
from voicefleet_worker.failover.permits import HeldPermits, TakenPermits

# A byte for the probe, and one for each lease.
_BYTES_EACH = 1 + MOST_LEASES


class _Locks:
    """Where the probe and the leases of each provider are in one open file."""

    def __init__(self, file: int, providers: Iterable[Provider]) -> None:
        self._file = file
        self.quotas = {p.name: _capacity(p) for p in providers}
        self._first = {name: place * _BYTES_EACH for place, name in enumerate(sorted(self.quotas))}

    def probe(self, name: str) -> int:
        return self._first[name]

    def leases(self, name: str) -> range:
        first = self._first[name] + 1
        return range(first, first + self.quotas[name])

    def lock(self, byte: int) -> bool:
        return lock(self._file, byte)

    def unlock(self, byte: int) -> None:
        unlock(self._file, byte)

    def close(self) -> None:
        os.close(self._file)


def _permits_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}-permits")


def _capacity(provider: Provider) -> int:
    quota = provider.quota
    return min(quota.concurrent or 0, MOST_LEASES) if quota else 0


class HeldLeases:
    """The worker's side: what its calls may take. At first that is nothing."""

    def __init__(self, path: Path, providers: Collection[Provider]) -> None:
        self.path = path
        self.permits = HeldPermits(_permits_beside(path), providers)
        self._locks = _Locks(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), providers)
        self._free: dict[str, set[int]] = {name: set() for name in self._locks.quotas}
        self._probes: set[str] = set()
        for name in self._locks.quotas:
            for byte in (self._locks.probe(name), *self._locks.leases(name)):
                self._locks.lock(byte)

    def held(self, name: str) -> int:
        """Return how many leases of a provider this worker has, in use or not."""
        return len(self._free[name])

    def hold(self, name: str, count: int) -> int:
        """Have so many leases, or as near to that as those allow that are in use; return how many."""
        mine, locks = self._free[name], self._locks
        for byte in sorted(mine, reverse=True):
            if len(mine) > count and locks.lock(byte):
                mine.discard(byte)
        for byte in locks.leases(name):
            if len(mine) < count and byte not in mine:
                mine.add(byte)
                locks.unlock(byte)
        return len(mine)

    def hold_all(self) -> None:
        """Decide alone: each quota is this worker's, and so is each probe."""
        for name, quota in self._locks.quotas.items():
            self.hold(name, quota)
            self.allow_probe(name)
        self.permits.decide_alone()

    def allow_probe(self, name: str) -> None:
        """Let one call probe a provider whose breaker wants that."""
        if name not in self._probes:
            self._probes.add(name)
            self._locks.unlock(self._locks.probe(name))

    def forbid_probe(self, name: str) -> bool:
        """Let no call probe a provider; return False if one does."""
        if name in self._probes and not self._locks.lock(self._locks.probe(name)):
            return False
        self._probes.discard(name)
        return True

    def close(self) -> None:
        """Let go of the files."""
        self._locks.close()
        self.permits.close()


class TakenLeases:
    """A call's side; a call that has no worker may do as it likes."""

    def __init__(self, locks: _Locks | None = None, permits: TakenPermits | None = None) -> None:
        self._locks = locks
        self._permits = permits or TakenPermits()
        self._taken: dict[str, list[int]] = {}
        self._probing: set[str] = set()

    @classmethod
    def open(
        cls, path: Path | None, providers: Collection[Provider], *, monotonic: Callable[[], float] = time.monotonic
    ) -> Self:
        """Find a worker's leases; without a file there are none to be asked for."""
        if path is None:
            return cls()
        try:
            locks = _Locks(os.open(path, os.O_RDWR), providers)
        except OSError:
            return cls()
        return cls(locks, TakenPermits.open(_permits_beside(path), providers, monotonic=monotonic))

    def guards(self, name: str) -> bool:
        """Tell whether a provider is asked by lease only."""
        return self._locks is not None and bool(self._locks.quotas.get(name))

    def guards_minute(self, name: str) -> bool:
        """Tell whether a provider is asked by permit only."""
        return self._permits.guards(name)

    def take(self, name: str, *, probing: bool) -> Refusal | None:
        """Take what a request needs, or say what is not to be had; on a file that cannot lock, a call goes on."""
        if self._locks is None or name not in self._locks.quotas:
            return None
        with suppress(OSError):
            if probing and not self._take_probe(name, self._locks):
                return Refusal.PROBED
            if not self._take_lease(name, self._locks):
                self.end_probe(name)
                return Refusal.FULL
            if not self._permits.take(name):
                self.give_back(name)
                self.end_probe(name)
                return Refusal.USED_UP
        return None

    def give_back(self, name: str) -> None:
        """Give one lease back."""
        if self._locks is not None and self._taken.get(name):
            self._locks.unlock(self._taken[name].pop())

    def end_probe(self, name: str) -> None:
        """Let somebody else probe."""
        if self._locks is not None and name in self._probing:
            self._probing.discard(name)
            self._locks.unlock(self._locks.probe(name))

    def close(self) -> None:
        """Let go of the files, and of all that was taken but permits."""
        self._permits.close()
        if self._locks is not None:
            self._locks.close()
            self._locks = None

    def _take_probe(self, name: str, locks: _Locks) -> bool:
        # Locks do not stand in the way of whoever has them.
        if name in self._probing or not locks.lock(locks.probe(name)):
            return False
        self._probing.add(name)
        return True

    def _take_lease(self, name: str, locks: _Locks) -> bool:
        if not locks.quotas[name]:
            return True
        mine = self._taken.setdefault(name, [])
        byte = next((each for each in locks.leases(name) if each not in mine and locks.lock(each)), None)
        if byte is not None:
            mine.append(byte)
        return byte is not None
