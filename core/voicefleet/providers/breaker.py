"""The breaker: a provider that fails is left alone for a while, and comes back by one request that goes well.

| state | what happened | next |
|---|---|---|
| Closed | a success | Closed |
| Closed | a failure, too few or too small a share of the window | Closed |
| Closed | a failure that fills the window | Open, for `openSeconds` |
| Closed, HalfOpen | it wants less (429) | Open, for as long as it says |
| Closed, HalfOpen | it refuses the key (401, 403) | Open at once, for `maxOpenSeconds` |
| Open | anything of a request that began before | Open; only a longer wish for rest counts |
| Open, its time is over | somebody asks for it | HalfOpen: that request is the probe |
| HalfOpen | somebody else asks for it | refused, until the probe is answered or overdue |
| HalfOpen | the probe went well | Closed, as if nothing had been |
| HalfOpen | the probe failed | Open, for twice as long as before, at most `maxOpenSeconds` |
| HalfOpen | the probe was called off: the caller spoke on, or hung up | Open, and the next who asks is the probe |
| Open, HalfOpen | the key that it refused is not the key that there is now | Closed: of this one nothing is known |

Times are seconds since the epoch, since all workers of a fleet share what is known.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from voicefleet.api.providerpool.providers import Breaker as Policy

# Who probes and says nothing for so long has gone away with its call.
PROBE_SECONDS = 30.0
# Nobody is left alone for longer because of one wish of its own.
LONGEST_REST_SECONDS = 3600.0
# Clocks of a fleet are told apart as exactly as this; what lies further ahead was said before a clock was set back.
_CLOCK_ERROR_SECONDS = 5.0


class State(StrEnum):
    """How a provider is; the same words that the status of a pool has."""

    CLOSED = "Closed"
    OPEN = "Open"
    HALF_OPEN = "HalfOpen"


class Cause(StrEnum):
    """Why a breaker is open."""

    FAILURES = "Failures"
    THROTTLED = "Throttled"
    CREDENTIALS = "CredentialsRefused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended."""

    began_at: float
    failed: Cause | None = None
    """Why it failed, if it did."""
    rest_seconds: float | None = None
    """How long the provider asked to be left alone."""
    key: int = 0
    """Fingerprint of the key that was refused; 0 where there is none, or it is not known."""


@dataclass(frozen=True, slots=True)
class Window:
    """Requests of the last while, in two halves: this one, and the one before."""

    began_at: float = 0.0
    successes: int = 0
    failures: int = 0
    earlier_successes: int = 0
    earlier_failures: int = 0

    def at(self, now: float, length_seconds: float) -> "Window":
        """Let go of what is older than one window."""
        half, age = length_seconds / 2, now - self.began_at
        if 0 <= age < half:
            return self
        if 0 <= age < length_seconds:
            return Window(self.began_at + half, 0, 0, self.successes, self.failures)
        return Window(now)

    def counting(self, *, failed: bool) -> "Window":
        """Count one more request."""
        return replace(self, successes=self.successes + (not failed), failures=self.failures + failed)

    def joined(self, other: "Window") -> "Window":
        """Count also what others have seen in the same while."""
        return replace(
            self,
            earlier_successes=self.earlier_successes + other.successes + other.earlier_successes,
            earlier_failures=self.earlier_failures + other.all_failures,
        )

    @property
    def all_failures(self) -> int:
        """Failures of the last while."""
        return self.failures + self.earlier_failures

    @property
    def failure_fraction(self) -> float:
        """Share of failures among all requests of the last while."""
        requests = self.all_failures + self.successes + self.earlier_successes
        return self.all_failures / requests if requests else 0.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is known of a provider's health."""

    state: State = State.CLOSED
    since: float = 0.0
    until: float = 0.0
    """When an open breaker lets a probe through; when a probe counts as lost."""
    cause: Cause | None = None
    openings: int = 0
    """Times that it opened without having been closed in between."""
    window: Window = Window()
    refused_key: int = 0
    """Fingerprint of the key for whose sake it is open."""

    def admits(self, now: float) -> bool:
        """Tell whether a request may be made now."""
        is_over = now >= self.until or now < self.since - _CLOCK_ERROR_SECONDS
        return self.state is State.CLOSED or is_over


def admit(breaker: Breaker, now: float) -> Breaker:
    """Return the breaker once a request that it admits has begun: of one that was open, that is the probe."""
    if breaker.state is State.CLOSED or not breaker.admits(now):
        return breaker
    return replace(breaker, state=State.HALF_OPEN, since=now, until=now + PROBE_SECONDS)


def learn(breaker: Breaker, outcome: Outcome, policy: Policy, now: float, elsewhere: Window = Window()) -> Breaker:
    """Return the breaker that knows how a request ended; what was seen elsewhere adds to what fills its window."""
    if breaker.state is State.OPEN or (breaker.state is State.HALF_OPEN and outcome.began_at < breaker.since):
        return _learn_late(breaker, outcome, now)
    if outcome.failed in (Cause.THROTTLED, Cause.CREDENTIALS):
        return _open(breaker, outcome, policy, now)
    if breaker.state is State.HALF_OPEN:
        return _open(breaker, outcome, policy, now) if outcome.failed else Breaker(since=now)
    window = breaker.window.at(now, policy.window_seconds).counting(failed=outcome.failed is not None)
    counted = replace(breaker, window=window)
    everywhere = window.joined(elsewhere)
    is_full = everywhere.all_failures >= policy.failures and everywhere.failure_fraction >= policy.failure_fraction
    return _open(counted, outcome, policy, now) if outcome.failed and is_full else counted


def call_off(breaker: Breaker, began_at: float, now: float) -> Breaker:
    """Return the breaker once a request is over that nobody waited for any more."""
    # Of several requests the one by whose beginning it became half-open is the probe.
    if breaker.state is not State.HALF_OPEN or began_at != breaker.since:
        return breaker
    return replace(breaker, state=State.OPEN, since=now, until=now)


def _learn_late(breaker: Breaker, outcome: Outcome, now: float) -> Breaker:
    """Take from a request that began before only that the provider wants to be left alone for longer."""
    if outcome.failed is not Cause.THROTTLED or outcome.rest_seconds is None:
        return breaker
    return replace(breaker, until=max(breaker.until, now + min(outcome.rest_seconds, LONGEST_REST_SECONDS)))


def _open(breaker: Breaker, outcome: Outcome, policy: Policy, now: float) -> Breaker:
    openings = breaker.openings + 1
    grown = min(policy.open_seconds * 2.0 ** min(openings - 1, 20), policy.max_open_seconds)
    match outcome.failed:
        case Cause.CREDENTIALS:
            rest = float(policy.max_open_seconds)
        case Cause.THROTTLED if outcome.rest_seconds is not None:
            rest = min(outcome.rest_seconds, LONGEST_REST_SECONDS)
        case _:
            rest = grown
    return Breaker(State.OPEN, now, now + rest, outcome.failed, openings, refused_key=outcome.key)


def concerns(breaker: Breaker, key: int) -> bool:
    """Tell whether a breaker stands in the way of whoever has this key: that another one is refused is no matter."""
    return breaker.cause is not Cause.CREDENTIALS or breaker.refused_key == key


def forgive(breaker: Breaker, key: int, now: float) -> Breaker:
    """Let a provider be asked that refused another key than there is now.

    Closed and not half-open: where it has no standby, calls would fail while they wait for who probes.
    """
    return breaker if concerns(breaker, key) else Breaker(since=now)
