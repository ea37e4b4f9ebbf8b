"""Choosing a provider for one request of a call: who could do it, in which order, and why nobody else.

The same table for hearing, thinking, speaking and the models that do it all:

- Who cannot do the job is left out: disabled, another language, a capability missing, another region.
- Who should not do it now is left out: breaker open, quota used up, tried for this very request already.
- The agent's own list decides the order; without one the pool's policy does, and ties go by priority, then by place.
- A call stays with whom it is, if that is wished and possible.
- If all that is left are open breakers, the one that opens next is asked all the same: a caller in silence has nothing
  to lose. Who asked to be left alone, or refuses the key, is not.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from voicefleet.api.providerpool.providers import PriceBook, Provider
from voicefleet.api.providerpool.spec import Routing, RoutingPolicy
from voicefleet.providers.breaker import Breaker, Cause, State

Role = Literal["Stt", "Llm", "Tts", "Realtime"]

# Providers that differ by less than this are equally fast: nobody hears it, and calls would swing between them.
_EQUALLY_FAST_SECONDS = 0.05
# What a turn is made of, as far as prices are compared: seconds heard or spoken, characters, tokens read and written.
_TURN_MINUTES = 5 / 60
_TURN_CHARACTERS = 120
_TURN_TOKENS_READ = 1200
_TURN_TOKENS_WRITTEN = 60
_CAUSES = {
    Cause.FAILURES: "it failed too often",
    Cause.THROTTLED: "it is throttled",
    Cause.CREDENTIALS: "it refuses the key",
    None: "it is resting",
}
_PROBED = "somebody else finds out whether it is well"


class Refusal(StrEnum):
    """Why a request may not begin, although what was known a moment ago spoke for it."""

    FULL = "Full"
    """No lease of its quota is free here."""
    USED_UP = "UsedUp"
    """No permit of its quota of a minute is left here."""
    PROBED = "Probed"
    """Its breaker wants one probe, and that is another's."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider of the pool, and what is known of it at this moment."""

    provider: Provider
    breaker: Breaker = field(default_factory=Breaker)
    in_use: int = 0
    begun_last_minute: int = 0
    tokens_last_minute: int = 0
    typical_seconds: float | None = None
    """Half of all requests were answered faster; None if nobody knows yet."""
    refusal: Refusal | None = None
    """What stood in the way when this very request was about to begin."""

    @property
    def name(self) -> str:
        """Name of the provider."""
        return self.provider.name


@dataclass(frozen=True, slots=True)
class Need:
    """What one request of a call asks for."""

    role: Role
    language: str
    capabilities: frozenset[str] = frozenset()
    region: str | None = None
    wanted: tuple[str, ...] = ()
    """The agent's own list, in order; nobody else is asked."""
    may_fall_back: bool = True
    current: str | None = None
    """With whom the call is."""
    tried: frozenset[str] = frozenset()
    """Who has failed at this very request."""
    draw: float = 0.0
    """A number from 0 to below 1 that decides by weight."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is asked, and why."""

    provider: Provider
    reason: str
    is_last_resort: bool = False
    """Nobody else is left: it is asked whether or not its breaker wants a probe."""


@dataclass(frozen=True, slots=True)
class NoChoice:
    """Why nobody can be asked, by provider."""

    reasons: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        listed = "; ".join(f"{name}: {reason}" for name, reason in self.reasons)
        return listed or "the pool has no provider for this"


def choose(candidates: Iterable[Candidate], need: Need, policy: RoutingPolicy, now: float) -> Choice | NoChoice:
    """Decide whom to ask."""
    listed = _listed(candidates, need)
    reasons = {c.name: why_never(c.provider, need) or _why_not_now(c, need, now) for c in listed}
    free = [candidate for candidate in listed if not reasons[candidate.name]]
    passed_over = tuple((name, reason) for name, reason in reasons.items() if reason)
    if free:
        first, why = _first(free, need, policy)
        return Choice(first.provider, _in_words(why, passed_over))
    last = min((c for c in listed if _is_last_resort(c, need)), key=lambda c: c.breaker.until, default=None)
    if last is None:
        return NoChoice(passed_over)
    return Choice(last.provider, _in_words("nobody else is left", passed_over), is_last_resort=True)


def policy_for(routing: Routing, role: Role) -> RoutingPolicy:
    """Return the policy of a pool for one role."""
    roles = routing.roles
    if roles is None:
        return routing
    return {"Stt": roles.stt, "Llm": roles.llm, "Tts": roles.tts, "Realtime": roles.realtime}[role] or routing


def typical_price(book: PriceBook, role: Role) -> float:
    """Return what an ordinary turn costs at a provider, so that prices of different kinds can be compared."""
    reading, writing = book.per_million_input_tokens, book.per_million_output_tokens
    if role == "Realtime":
        # Most of what it reads and writes is sound.
        heard, said = book.per_million_input_audio_tokens, book.per_million_output_audio_tokens
        reading, writing = reading if heard is None else heard, writing if said is None else said
    read = (reading or 0) * _TURN_TOKENS_READ / 1e6 if role in ("Llm", "Realtime") else 0.0
    written = (writing or 0) * _TURN_TOKENS_WRITTEN / 1e6 if role in ("Llm", "Realtime") else 0.0
    spoken = (book.per_million_characters or 0) * _TURN_CHARACTERS / 1e6
    return read + written + spoken + (book.per_audio_minute or 0) * _TURN_MINUTES + (book.per_request or 0)


def _listed(candidates: Iterable[Candidate], need: Need) -> list[Candidate]:
    """Return those of the role, in the order of the agent's own list if it has one."""
    mine = [candidate for candidate in candidates if candidate.provider.role == need.role]
    if not need.wanted:
        return mine
    by_name = {candidate.name: candidate for candidate in mine}
    wanted = [by_name[name] for name in need.wanted if name in by_name]
    return wanted if need.may_fall_back else wanted[:1]


def why_never(provider: Provider, need: Need) -> str | None:
    """Say why a provider cannot do a job, however well it is."""
    if not provider.enabled:
        return "disabled"
    if provider.languages and not any(_speaks(known, need.language) for known in provider.languages):
        return f"does not know {need.language}"
    if lacking := lacks(provider, need.capabilities):
        return f"lacks {', '.join(sorted(lacking))}"
    if need.region is not None and provider.region != need.region:
        return f"not in region {need.region}"
    return None


def lacks(provider: Provider, capabilities: Collection[str]) -> frozenset[str]:
    """Return what a provider cannot do by its own list; one that has none says nothing, and is asked."""
    return frozenset(capabilities).difference(provider.capabilities) if provider.capabilities else frozenset()


def _speaks(known: str, language: str) -> bool:
    """Tell whether two languages are one as far as they are named: `en` and `en-GB` are, `en-US` and `en-GB` not."""
    one, two = sorted((known.lower(), language.lower()), key=len)
    return two == one or two.startswith(f"{one}-")


def _why_not_now(candidate: Candidate, need: Need, now: float) -> str | None:
    if candidate.name in need.tried:
        return "has just failed at this"
    if candidate.refusal is Refusal.PROBED:
        return _PROBED
    return _why_broken(candidate.breaker, now) or _why_full(candidate, need)


def _why_broken(breaker: Breaker, now: float) -> str | None:
    if breaker.admits(now):
        return None
    if breaker.state is State.HALF_OPEN:
        return _PROBED
    return f"{_CAUSES[breaker.cause]}, left alone for another {breaker.until - now:.0f} s"


def _why_full(candidate: Candidate, need: Need) -> str | None:
    quota = candidate.provider.quota
    if quota is None:
        return None
    if candidate.refusal is Refusal.FULL:
        return f"all {quota.concurrent} of its quota are in use"
    if candidate.refusal is Refusal.USED_UP:
        return f"no more of its {quota.requests_per_minute} requests a minute are to be had"
    # Whoever holds a stream asks for no other one.
    if quota.concurrent is not None and candidate.in_use >= quota.concurrent and candidate.name != need.current:
        return f"all {quota.concurrent} of its quota are in use"
    if quota.requests_per_minute is not None and candidate.begun_last_minute >= quota.requests_per_minute:
        return f"{quota.requests_per_minute} requests were made within a minute"
    if quota.tokens_per_minute is not None and candidate.tokens_last_minute >= quota.tokens_per_minute:
        return f"{quota.tokens_per_minute} tokens were used within a minute"
    return None


def _is_last_resort(candidate: Candidate, need: Need) -> bool:
    return (
        why_never(candidate.provider, need) is None
        and candidate.name not in need.tried
        # Whoever asked to be left alone was, once somebody finds out whether it is well.
        and (candidate.breaker.cause is Cause.FAILURES or candidate.breaker.state is State.HALF_OPEN)
        and _why_full(candidate, need) is None
    )


def _first(free: Sequence[Candidate], need: Need, policy: RoutingPolicy) -> tuple[Candidate, str]:
    """Return who comes first among those that are free, and by what."""
    current = next((candidate for candidate in free if candidate.name == need.current), None)
    if current is not None and policy.sticky:
        return current, "the call is with it"
    if need.wanted:
        return free[0], "first of the agent's list"
    if policy.by == "Weight":
        return _drawn(free, need.draw), "drawn by weight"
    return min(free, key=lambda candidate: _rank(candidate, need, policy)), f"first by {policy.by.lower()}"


def _rank(candidate: Candidate, need: Need, policy: RoutingPolicy) -> tuple[float, int]:
    """Return what decides, the lowest first; of equals, min() takes the first of the pool."""
    provider = candidate.provider
    match policy.by:
        case "Latency":
            # Nobody has measured it: it is asked, so that somebody has.
            key: float = round((candidate.typical_seconds or 0.0) / _EQUALLY_FAST_SECONDS)
        case "Cost":
            key = typical_price(provider.price, need.role)
        case "Quality":
            key = -provider.quality
        case _:
            key = 0
    return key, provider.priority


def _drawn(free: Sequence[Candidate], draw: float) -> Candidate:
    """Draw one by weight among those of the best priority."""
    best = min(candidate.provider.priority for candidate in free)
    equals = [candidate for candidate in free if candidate.provider.priority == best]
    left = draw * sum(candidate.provider.weight for candidate in equals)
    for candidate in equals:
        left -= candidate.provider.weight
        if left < 0:
            return candidate
    return equals[-1]


def _in_words(why: str, passed_over: Sequence[tuple[str, str]]) -> str:
    return "; ".join([why, *(f"not {name}: {reason}" for name, reason in passed_over)])
