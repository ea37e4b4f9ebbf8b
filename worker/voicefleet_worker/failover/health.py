"""What one call knows of its providers: what it has seen itself, and what hangs on the board."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from voicefleet.providers.breaker import Breaker, Outcome, State, admit, call_off, learn
from voicefleet.providers.lineup import Lineup, ProviderPlan
from voicefleet.providers.routing import Candidate, Refusal
from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.failover.board import BoardReader, Entry, latest
from voicefleet_worker.failover.leases import TakenLeases
from voicefleet_worker.records.notebook import Notebook


class CallHealth:
    """Health of the providers of one call. Not for threads: one event loop owns it."""

    def __init__(  # noqa: PLR0913 - whom it asks, and whom it tells
        self,
        plans: Iterable[ProviderPlan],
        reporter: Reporter,
        notebook: Notebook,
        board: BoardReader,
        leases: TakenLeases | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policies = {plan.name: plan.provider.breaker for plan in plans}
        self._reporter = reporter
        self._notebook = notebook
        self._board = board
        self._leases = leases or TakenLeases()
        self._clock = clock
        self._seen: dict[str, Breaker] = {}
        self._in_use: Counter[str] = Counter()

    def candidates(self, lineup: Lineup) -> Iterable[Candidate]:
        """Return those of a line-up as they are at this moment."""
        entries = self._board.entries()
        for plan in lineup.plans:
            entry = entries.get(plan.name) or Entry()
            yield Candidate(
                plan.provider,
                breaker=latest(self._breaker(plan.name), entry.breaker()),
                # Where a lease or a permit decides, what was in use a moment ago does not.
                in_use=0 if self._leases.guards(plan.name) else max(entry.in_use, self._in_use[plan.name]),
                begun_last_minute=0 if self._leases.guards_minute(plan.name) else entry.begun_last_minute,
                tokens_last_minute=entry.tokens_last_minute,
                typical_seconds=entry.typical_seconds,
            )

    def take(self, name: str, *, is_last_resort: bool = False) -> Refusal | None:
        """Take what a request needs that begins now, or say what is not to be had."""
        self._adopt(name)
        probing = self._breaker(name).state is not State.CLOSED and not is_last_resort
        refusal = self._leases.take(name, probing=probing)
        if refusal is not None:
            self._reporter.tell_of(name, in_use=self._in_use[name], refusal=refusal)
        return refusal

    def begin(self, name: str, began_at: float, *, stands_in: bool = False) -> None:
        """Note that a provider is asked; by the same moment its outcome is known as that of this request."""
        self._in_use[name] += 1
        self._adopt(name)
        self._seen[name] = admit(self._breaker(name), began_at)
        self._notebook.asked(name)
        self._reporter.tell_of(name, in_use=self._in_use[name], begun=True, began_at=began_at, stands_in=stands_in)

    def use_tokens(self, name: str, tokens: int) -> None:
        """Note what a language model has read and written."""
        self._reporter.tell_of(name, in_use=self._in_use[name], tokens=tokens)

    def learn(self, name: str, outcome: Outcome, first_seconds: float | None = None) -> None:
        """Note how a request went, and how long its first answer took."""
        self._adopt(name)
        self._seen[name] = learn(self._breaker(name), outcome, self._policies[name], self._clock())
        self._reporter.count_request(failed=outcome.failed is not None)
        self._reporter.tell_of(
            name,
            in_use=self._in_use[name],
            began_at=outcome.began_at,
            outcome=outcome.failed.value if outcome.failed else "Well",
            rest_seconds=outcome.rest_seconds,
            key=outcome.key,
            first_seconds=first_seconds,
        )
        self._end_probe(name)

    def note_latency(self, name: str, seconds: float) -> None:
        """Note how long somebody took over whom a request does not tell it: one stream serves many turns."""
        self._reporter.tell_of(name, in_use=self._in_use[name], first_seconds=seconds)

    def call_off(self, name: str, began_at: float) -> None:
        """Note that nobody waits any more for a request of which nothing was learned."""
        self._seen[name] = call_off(self._breaker(name), began_at, self._clock())
        self._end_probe(name)
        self._reporter.tell_of(name, in_use=self._in_use[name], began_at=began_at, outcome="CalledOff")

    def release(self, name: str) -> None:
        """Note that a request or a stream is over."""
        self._in_use[name] -= 1
        self._leases.give_back(name)
        if not self._in_use[name]:
            self._leases.end_probe(name)
        self._reporter.tell_of(name, in_use=self._in_use[name])

    def measure(self, name: str, metrics: object) -> None:
        """Note what a request was measured to have used."""
        self._notebook.measured(name, metrics)

    def note_problem(self, name: str, problem: str) -> None:
        """Note in words how a provider let the call down; what is more than a kind of error stays in the call."""
        self._notebook.provider_failed(name, problem)
        self._reporter.tell_of(name, in_use=self._in_use[name], problem=problem)

    def _breaker(self, name: str) -> Breaker:
        return self._seen.get(name) or Breaker()

    def _end_probe(self, name: str) -> None:
        """Let another probe, once this one's end is known."""
        if self._breaker(name).state is not State.HALF_OPEN:
            self._leases.end_probe(name)

    def _adopt(self, name: str) -> None:
        """Go by what others have seen, if that is newer."""
        entry = self._board.entries().get(name)
        if entry is not None:
            self._seen[name] = latest(self._breaker(name), entry.breaker())
