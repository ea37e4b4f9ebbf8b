"""What the workers of a pool's agents say of its providers, as figures of the last minutes.

Counts on the wire never fall within one process, and a restarted one begins at zero. What was counted before a worker
was first heard is of no known time, and is no part of any figure.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from operator import add, lt, sub

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

    def __add__(self, other: "Growth") -> "Growth":
        return Growth(
            self.requests + other.requests,
            self.errors + other.errors,
            tuple(map(int.__add__, self.latency, other.latency)),
        )

    @property
    def error_fraction(self) -> float | None:
        """Return the share of requests that failed, if there were any; a worker may claim more errors than requests."""
        return min(1.0, self.errors / self.requests) if self.requests else None


@dataclass(slots=True)
class _Slices:
    """What was counted in this slice of time and in the one before; added to in place, since thousands add to it."""

    number: int = 0
    requests: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=lambda: list(_NO_LATENCY))
    earlier: Growth = field(default_factory=Growth)

    def move_on(self, now: float) -> None:
        """Let go of what is older than two slices."""
        number = int(now // SLICE_SECONDS)
        if number != self.number:
            self.earlier = self._current() if number == self.number + 1 else Growth()
            self.number, self.requests, self.errors, self.latency = number, 0, 0, list(_NO_LATENCY)

    def add(self, before: ProviderWord, word: ProviderWord) -> None:
        """Count what came between two words."""
        self.requests += word.requests - before.requests
        self.errors += word.errors - before.errors
        if word.latency != before.latency:
            self.latency = list(map(sub, map(add, self.latency, word.latency), before.latency))

    def whole(self) -> Growth:
        """Return both slices as one."""
        return self._current() + self.earlier

    def _current(self) -> Growth:
        return Growth(self.requests, self.errors, tuple(self.latency))


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
    _recent: dict[str, _Slices] = field(default_factory=dict)
    _answered: dict[tuple[str, str], float] = field(default_factory=dict)

    def note(self, uid: str, namespace: str, state: WorkerState, at: float) -> None:
        """Take down what a worker says, if it speaks of providers."""
        if state.providers is None:
            return
        before = self._said.get(uid)
        said = Said(namespace, state.instance, at, {word.name: word for word in state.providers})
        self._said[uid] = said
        if before is not None:
            for name, word in said.words.items():
                self._add(namespace, _known_of(name, before, said), word, at)

    def retain(self, uids: Collection[str], providers: Collection[str]) -> None:
        """Forget the words of workers that are gone, and providers of whom only workers know.

        What workers that are gone have counted stays counted.
        """
        self._said = {uid: said for uid, said in self._said.items() if uid in uids}
        self._recent = {name: slices for name, slices in self._recent.items() if name in providers}
        self._answered = {key: at for key, at in self._answered.items() if key[0] in providers}

    def words_of(self, provider: str, now: float) -> list[tuple[Said, ProviderWord]]:
        """Return what workers say of a provider that were heard just now."""
        fresh = (said for said in self._said.values() if said.is_fresh(now))
        return [(said, said.words[provider]) for said in fresh if provider in said.words]

    def recent(self, provider: str, now: float) -> Growth:
        """Return what was counted of a provider in the last minutes."""
        slices = self._recent.get(provider)
        if slices is None:
            return Growth()
        slices.move_on(now)
        return slices.whole()

    def answered_at(self, provider: str, namespace: str | None = None) -> float:
        """Return when workers, of one namespace or of any, last came to have answers of a provider; 0 is never."""
        answered = self._answered.items()
        moments = [at for (name, where), at in answered if name == provider and namespace in (None, where)]
        return max(moments, default=0.0)

    def _add(self, namespace: str, before: ProviderWord, word: ProviderWord, at: float) -> None:
        if word.requests == before.requests and word.errors == before.errors:
            return
        slices = self._recent.setdefault(word.name, _Slices())
        slices.move_on(at)
        slices.add(before, word)
        if word.requests - word.errors > before.requests - before.errors:
            self._answered[word.name, namespace] = at


def _known_of(name: str, before: Said, after: Said) -> ProviderWord:
    """Return from where on a worker counted; another process of it began at nothing, and only there do counts fall."""
    known, word = before.words.get(name), after.words[name]
    if known is None or before.instance != after.instance or _fell(known, word):
        return ProviderWord(name=name)
    return known


def _fell(before: ProviderWord, word: ProviderWord) -> bool:
    if word.requests < before.requests or word.errors < before.errors:
        return True
    return word.latency != before.latency and any(map(lt, word.latency, before.latency))
