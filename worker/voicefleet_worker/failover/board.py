"""What all calls of a worker know of its providers: told by each of them, written where each of them reads it.

A call that has just found a provider broken spares the next one the time that it took. What is read may be a moment
old; a call trusts what it has seen itself until somebody has seen something newer.

The board is a piece of memory that they share, so that nobody waits for a disk in the middle of a sentence. Its
checksum tells a reader that comes while it is written: that one goes by what it read before.
"""

import mmap
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError

from voicefleet.api.providerpool.providers import Provider
from voicefleet.providers.breaker import Breaker, Cause, State
from voicefleet.wire import ProviderWord, WireModel
from voicefleet_worker.desk.reports import ProviderNews
from voicefleet_worker.failover.known import Known

_Moment = Annotated[float, Field(ge=0, le=1e11)]
# A pool has 64 providers at most, each of which takes some 200 bytes.
_BOARD_BYTES = 65_536
_MOST_WORDS = 64
_WHOLE_SECONDS = 0.2
_NEVER = float("-inf")
_HEAD = struct.Struct("<II")
"""Length and checksum of what follows."""


class Entry(WireModel):
    """One provider on the board."""

    state: State = State.CLOSED
    since: _Moment = 0.0
    until: _Moment = 0.0
    cause: Cause | None = None
    openings: int = 0
    in_use: int = 0
    begun_last_minute: int = 0
    tokens_last_minute: int = 0
    typical_seconds: float | None = None

    def breaker(self) -> Breaker:
        """Return its breaker, without the window that only the worker keeps."""
        return Breaker(self.state, self.since, self.until, self.cause, self.openings)


class Notice(WireModel):
    """All that hangs on the board."""

    providers: Mapping[str, Entry] = {}
    leaving: bool = False
    """The worker is out of time: calls say goodbye."""


class HealthBoard:
    """The worker's side. Not for threads: one event loop owns it."""

    def __init__(
        self,
        path: Path,
        providers: Iterable[Provider],
        *,
        missing: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._missing = tuple(ProviderWord(name=name, is_missing=True) for name in sorted(missing))
        """What there is to say of those that this image has no plugin for."""
        self._memory = _share(path)
        self._clock = clock
        self.known = {provider.name: Known(provider) for provider in providers}
        self.urgent: Callable[[], None] = lambda: None
        """Called when something was learned that the rest of the fleet should know at once."""
        self._entries: dict[str, Entry] = {}
        self._whole_at = _NEVER
        """When all entries were last reckoned."""
        self._written: Notice | None = None
        self._leaving = False

    def learn(self, news: ProviderNews) -> None:
        """Take in what a call has learned; of a provider that nobody asked for, nothing."""
        known = self.known.get(news.provider)
        if known is None:
            return
        now = self._clock()
        if known.learn(news, now):
            self.urgent()
        self._entries[news.provider] = _entry(known, now)
        self._post(now)

    def end(self, job_ids: Iterable[str]) -> None:
        """Forget what calls had in use that are over, however they ended."""
        now = self._clock()
        for job_id in job_ids:
            for known in self.known.values():
                known.end(job_id)
            self._whole_at = _NEVER
        self._post(now)

    def take_keys(self, keys: Mapping[str, int]) -> tuple[str, ...]:
        """Go by these fingerprints of the providers' keys, and return who is forgiven that it refused another one."""
        now = self._clock()
        forgiven = tuple(name for name, key in keys.items() if self.known[name].take_key(key, now))
        if forgiven:
            self.urgent()
            self.write()
        return forgiven

    def say_goodbye(self) -> None:
        """Have all calls say goodbye."""
        self._leaving = True
        self.write()

    def entries(self) -> Mapping[str, Entry]:
        """Return what is known at this moment."""
        now = self._clock()
        return {name: _entry(known, now) for name, known in self.known.items()}

    def words(self) -> tuple[ProviderWord, ...]:
        """Return what the operator is told."""
        return (*(known.word() for known in self.known.values()), *self._missing)[:_MOST_WORDS]

    def write(self) -> None:
        """Write it all down where calls read it, if it has changed."""
        self._whole_at = _NEVER
        self._post(self._clock())

    def _post(self, now: float) -> None:
        # News are of one provider; what is a minute old by now is of all, and need not be reckoned at each of them.
        if not 0 <= now - self._whole_at < _WHOLE_SECONDS:
            self._entries, self._whole_at = dict(self.entries()), now
        notice = Notice(providers=dict(self._entries), leaving=self._leaving)
        if notice == self._written:
            return
        self._written = notice
        text = notice.model_dump_json(by_alias=True, exclude_defaults=True).encode()
        if len(text) <= _BOARD_BYTES - _HEAD.size:
            self._memory[: _HEAD.size + len(text)] = _HEAD.pack(len(text), zlib.crc32(text)) + text

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()


def _entry(known: Known, now: float) -> Entry:
    breaker, own, elsewhere = known.breaker, known.own(now).counts, known.elsewhere.counts
    return Entry(
        state=breaker.state,
        since=breaker.since,
        until=breaker.until,
        cause=breaker.cause,
        openings=breaker.openings,
        in_use=own.in_use + elsewhere.in_use,
        begun_last_minute=own.requests + elsewhere.requests,
        tokens_last_minute=own.tokens + elsewhere.tokens,
        typical_seconds=known.typical_seconds(now),
    )


def _share(path: Path) -> mmap.mmap:
    """Make a piece of memory that other processes find by its path."""
    with path.open("wb+") as file:
        # With room on the disk for all of it: who writes to a page that a full disk has no room for is killed.
        os.posix_fallocate(file.fileno(), 0, _BOARD_BYTES)
        return mmap.mmap(file.fileno(), _BOARD_BYTES)


class BoardReader:
    """A call's side; a call that has no worker reads nothing."""

    def __init__(self, memory: mmap.mmap | bytes = b"") -> None:
        self._memory = memory
        self._head = b""
        self._notice = Notice()

    @classmethod
    def open(cls, path: Path | None) -> Self:
        """Find a worker's board; without one, or with one that is none, there is nothing to read."""
        if path is None:
            return cls()
        try:
            with path.open("rb") as file:
                return cls(mmap.mmap(file.fileno(), _BOARD_BYTES, access=mmap.ACCESS_READ))
        except (OSError, ValueError):
            return cls()

    @property
    def leaving(self) -> bool:
        """Whether calls are to say goodbye."""
        return self._look().leaving

    def entries(self) -> Mapping[str, Entry]:
        """Return what is known of the providers."""
        return self._look().providers

    def _look(self) -> Notice:
        """Return what hangs on the board, or what hung there when it could last be read."""
        head = bytes(self._memory[: _HEAD.size])
        if head != self._head and len(head) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            text = bytes(self._memory[_HEAD.size : _HEAD.size + length])
            if length and zlib.crc32(text) == checksum:
                self._head = head
                self._read(text)
        return self._notice

    def _read(self, text: bytes) -> None:
        # Another version of the worker cannot have written it; if it cannot be read all the same, a call goes on.
        with suppress(ValidationError):
            self._notice = Notice.model_validate_json(text)


def latest(mine: Breaker, theirs: Breaker) -> Breaker:
    """Return the breaker whose state is the newer one; my own knows its window."""
    return theirs if theirs.since > mine.since else mine
