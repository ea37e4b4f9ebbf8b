"""What the workers of a pool's agents say of its providers, as figures of the last minutes.

Counts on the wire never fall within one process, and a restarted one begins at zero. What was counted before a worker
was first heard is of no known time, and is no part of any figure.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from voicefleet.names import SILENT_AFTER_SECONDS
from voicefleet.wire import LATENCY_BOUNDS_MILLISECONDS, ProviderWord, WorkerState

_NO_LATENCY = (0,) * (len(LATENCY_BOUNDS_MILLISECONDS) + 1)
# Figures are of this slice of time and the one before.
SLICE_SECONDS = 150.0


@dataclass(frozen=True, slots=True)
class Growth:
    """How much was counted within some time."""

    requests: int = 0
    errors: int = 0
    latency: tuple[int, ...] = _NO_LATENCY

    @classmethod
    def since(cls, before: ProviderWord | None, word: ProviderWord) -> "Growth":
        """Return what one process counted between two words; before its first one, nothing."""
        if before is None:
            return cls(word.requests, word.errors, word.latency)
        return cls(
            word.requests - before.requests,
            word.errors - before.errors,
            tuple(late - early for late, early in zip(word.latency, before.latency, strict=True)),
        )

    def __add__(self, other: "Growth") -> "Growth":
        return Growth(
            self.requests + other.requests,
            self.errors + other.errors,
            tuple(map(int.__add__, self.latency, other.latency)),
        )

    @property
    def fell(self) -> bool:
        """Tell whether some count is lower than it was, as only another process can make it."""
        return min(self.requests, self.errors, *self.latency) < 0

    @property
    def answers(self) -> int:
        """Count the requests that went well; a worker may claim more errors than requests."""
        return max(0, self.requests - self.errors)

    @property
    def error_fraction(self) -> float | None:
        """Return the share of requests that failed, if there were any."""
        return min(1.0, self.errors / self.requests) if self.requests else None


@dataclass(frozen=True, slots=True)
class Recent:
    """What was counted in this slice of time, and in the one before."""

    slice_number: int = 0
    current: Growth = Growth()
    earlier: Growth = Growth()

    def at(self, now: float) -> "Recent":
        """Let go of what is older than two slices."""
        number = int(now // SLICE_SECONDS)
        if number == self.slice_number:
            return self
        return Recent(number, Growth(), self.current if number == self.slice_number + 1 else Growth())

    def adding(self, growth: Growth, now: float) -> "Recent":
        """Count what has come to be known now."""
        fresh = self.at(now)
        return replace(fresh, current=fresh.current + growth)

    @property
    def whole(self) -> Growth:
        """Return both slices as one."""
        return self.current + self.earlier


@dataclass(frozen=True, slots=True)
class Said:
    """What one worker said of the providers last."""

    namespace: str
    instance: str
    at: float
    words: Mapping[str, ProviderWord]

    def is_fresh(self, now: float) -> bool:
        """Tell whether it still counts."""
        return now - self.at <= SILENT_AFTER_SECONDS


@dataclass(slots=True)
class ProviderLedger:
    """The last word of each worker, and what all of them counted lately: as large as the fleets of a pool."""

    _said: dict[str, Said] = field(default_factory=dict)
    _recent: dict[str, Recent] = field(default_factory=dict)
    _answered: dict[tuple[str, str], float] = field(default_factory=dict)

    def note(self, uid: str, namespace: str, state: WorkerState, at: float) -> None:
        """Take down what a worker says, if it speaks of providers."""
        if state.providers is None:
            return
        before = self._said.get(uid)
        said = Said(namespace, state.instance, at, {word.name: word for word in state.providers})
        self._said[uid] = said
        if before is not None:
            for name, growth in _growths(before, said):
                self._add(name, namespace, growth, at)

    def retain(self, uids: Collection[str]) -> None:
        """Forget the words of workers that are gone; what they counted stays counted."""
        self._said = {uid: said for uid, said in self._said.items() if uid in uids}

    def words_of(self, provider: str, now: float) -> list[tuple[Said, ProviderWord]]:
        """Return what workers say of a provider that were heard just now."""
        return [
            (said, said.words[provider])
            for said in self._said.values()
            if said.is_fresh(now) and provider in said.words
        ]

    def recent(self, provider: str, now: float) -> Growth:
        """Return what was counted of a provider in the last minutes."""
        return self._recent.get(provider, Recent()).at(now).whole

    def answered_at(self, provider: str, namespace: str | None = None) -> float:
        """Return when workers, of one namespace or of any, last came to have answers of a provider; 0 is never."""
        moments = [
            at for (name, where), at in self._answered.items() if name == provider and namespace in (None, where)
        ]
        return max(moments, default=0.0)

    def _add(self, name: str, namespace: str, growth: Growth, at: float) -> None:
        if growth.requests or growth.errors:
            self._recent[name] = self._recent.get(name, Recent()).adding(growth, at)
        if growth.answers:
            self._answered[name, namespace] = at


def _growths(before: Said, after: Said) -> Iterator[tuple[str, Growth]]:
    """Yield what was counted of each provider between two words of a worker."""
    same_process = before.instance == after.instance
    for name, word in after.words.items():
        known = before.words.get(name) if same_process else None
        growth = Growth.since(known, word)
        yield name, Growth.since(None, word) if growth.fell else growth
