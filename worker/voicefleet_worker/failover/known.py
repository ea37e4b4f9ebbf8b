"""What a worker knows of one provider: what its own calls have told, and what the rest of the fleet has."""

from collections import Counter
from dataclasses import dataclass, field, replace

from voicefleet.api.providerpool.providers import Provider
from voicefleet.providers.breaker import Breaker, Cause, Outcome, admit, call_off, forgive, learn
from voicefleet.providers.latency import Sketch
from voicefleet.providers.leases import LACKING_SECONDS, PROBE_WANTED_SECONDS
from voicefleet.providers.permits import Minute
from voicefleet.providers.rates import Rate
from voicefleet.providers.routing import Refusal
from voicefleet.providers.sharing import Counts, Figures
from voicefleet.wire import LATENCY_BOUNDS_MILLISECONDS, ProviderWord, latency_class
from voicefleet_worker.desk.reports import ProviderNews

_CLASSES = len(LATENCY_BOUNDS_MILLISECONDS) + 1


@dataclass(slots=True)
class Totals:
    """What a worker counts of one provider since it began; nothing in it falls."""

    attempts: int = 0
    answers: int = 0
    errors: int = 0
    failovers: int = 0
    """Attempts that took over from a provider which had failed at the same."""
    tokens: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * _CLASSES)


@dataclass(slots=True)
class Known:
    """One provider. Not for threads: one event loop owns it."""

    provider: Provider
    breaker: Breaker = field(default_factory=Breaker)
    elsewhere: Figures = field(default_factory=Figures)
    """What all other workers have; nothing where nobody shares."""
    minute: Minute = field(default_factory=Minute)
    """How its quota of a minute stood at the last exchange."""
    totals: Totals = field(default_factory=Totals)
    key: int = 0
    """Fingerprint of its key; 0 where it has none."""
    problem: str = ""
    """What the last request that failed came to."""
    problem_at: float = 0.0
    _latency: Sketch = field(default_factory=Sketch)
    _requests: Rate = field(default_factory=Rate)
    _tokens: Rate = field(default_factory=Rate)
    _in_use: Counter[str] = field(default_factory=Counter)
    """Requests and streams by job."""
    _lacking_until: float = 0.0
    _permits_lacking_until: float = 0.0
    _probe_wanted_until: float = 0.0

    def learn(self, news: ProviderNews, now: float) -> bool:
        """Take in what a call has learned, and tell whether others should hear of it at once."""
        before = replace(self.breaker, window=Breaker().window)
        self._in_use[news.job_id] = news.in_use
        self._count(news, now)
        if news.problem:
            self.problem, self.problem_at = news.problem, now
        if news.begun:
            self.breaker = admit(self.breaker, news.began_at)
        if news.outcome == "CalledOff":
            self.breaker = call_off(self.breaker, news.began_at, now)
        elif news.outcome:
            failed = None if news.outcome == "Well" else Cause(news.outcome)
            outcome = Outcome(news.began_at, failed, news.rest_seconds, news.key)
            self.breaker = learn(self.breaker, outcome, self.provider.breaker, now, self.elsewhere.window())
        if news.refusal is Refusal.FULL:
            self._lacking_until = now + LACKING_SECONDS
        if news.refusal is Refusal.PROBED:
            self._probe_wanted_until = now + PROBE_WANTED_SECONDS
        # Of a minute that is used up each request would be refused, and that is news but once.
        is_news = news.refusal is not None and not (news.refusal is Refusal.USED_UP and self.lacks_permits(now))
        if news.refusal is Refusal.USED_UP:
            self._permits_lacking_until = now + LACKING_SECONDS
        return is_news or replace(self.breaker, window=Breaker().window) != before

    def take_key(self, key: int, now: float) -> bool:
        """Go by this key, and tell whether that puts an end to the refusal of another one."""
        before, self.key = self.breaker, key
        self.breaker = forgive(before, key, now)
        return self.breaker is not before

    def end(self, job_id: str) -> None:
        """Forget what a call had in use."""
        self._in_use.pop(job_id, None)

    def wants_probe(self, now: float) -> bool:
        """Tell whether a call would probe it now, if it may."""
        is_due = self.breaker.admits(now) and admit(self.breaker, now) != self.breaker
        return is_due and now < self._probe_wanted_until

    def lacks_permits(self, now: float) -> bool:
        """Tell whether a call has just been refused for want of a permit."""
        return now < self._permits_lacking_until

    def own(self, now: float, *, held: int = 0) -> Figures:
        """Return what this worker alone has."""
        sketch, window = self._latency.at(now), self.breaker.window.at(now, self.provider.breaker.window_seconds)
        counts = Counts(
            held=held,
            in_use=self._in_use.total(),
            lacking=int(now < self._lacking_until),
            requests=self._requests.last_minute(now),
            tokens=self._tokens.last_minute(now),
            failures=window.all_failures,
            successes=window.successes + window.earlier_successes,
        )
        return Figures(counts, tuple(a + b for a, b in zip(sketch.counts, sketch.earlier, strict=True)))

    def typical_seconds(self, now: float) -> float | None:
        """Return what half of the fleet's requests were answered faster than."""
        sketch = self._latency.at(now)
        return replace(sketch, earlier=_sums(sketch.earlier, self.elsewhere.latency)).quantile(0.5)

    def word(self) -> ProviderWord:
        """Return what the operator is told."""
        return ProviderWord(
            name=self.provider.name,
            state=self.breaker.state,
            since=self.breaker.since,
            cause=self.breaker.cause,
            in_use=self._in_use.total(),
            requests=self.totals.answers + self.totals.errors,
            errors=self.totals.errors,
            latency=tuple(self.totals.latency),
            problem=self.problem,
            problem_at=self.problem_at,
        )

    def _count(self, news: ProviderNews, now: float) -> None:
        totals = self.totals
        totals.attempts += news.begun
        totals.failovers += news.begun and news.stands_in
        totals.answers += news.outcome == "Well"
        totals.errors += news.outcome not in ("", "Well", "CalledOff")
        totals.tokens += news.tokens
        if news.begun:
            self._requests = self._requests.counting(now)
        if news.tokens:
            self._tokens = self._tokens.counting(now, by=news.tokens)
        if news.first_seconds is not None:
            self._latency = self._latency.adding(news.first_seconds, now)
            totals.latency[latency_class(news.first_seconds)] += 1


def _sums(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, two, strict=True))
