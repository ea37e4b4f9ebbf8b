"""How a provider is, for the whole fleet: the words of all workers, and the probe's, as one.

Of several that hold, the first counts:

| state | when |
|---|---|
| Disabled | the pool says so |
| PluginMissing | some worker's image has no plugin for it |
| CredentialsRefused | some worker was refused the key, and no other of its namespace had an answer since |
| Open | some worker leaves it alone, and its rest is not known to be over |
| HalfOpen | some worker tries it again, and that is not known to be over |
| Closed | workers had answers in the last minutes |
| Unreachable | nobody had, and the probe does not reach it |
| Closed | the probe reaches it, or some worker has asked it before |
| Unknown | nobody has asked it |

Only words count that were heard just now. A worker whose breaker is open finds out that its provider is well again only
by its next call: its word is overruled once the longest rest is over (`maxOpenSeconds`) and others had answers since.
Calls go over another way than probes, so that their answers count for more than a probe that fails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from voicefleet.api import ProviderPool
from voicefleet.api.providerpool.providers import Provider
from voicefleet.latency_counts import latency_quantile
from voicefleet.providers.addresses import probe_address
from voicefleet.providers.breaker import Cause, State
from voicefleet.providers.growth import SLICE_SECONDS, Growth, ProviderLedger, Said
from voicefleet.providers.probing import Probed
from voicefleet.wire import ProviderWord

ViewState = Literal[
    "Unknown", "Closed", "Open", "HalfOpen", "Disabled", "PluginMissing", "CredentialsRefused", "Unreachable"
]

_WORDS = {
    None: "requests failed",
    Cause.FAILURES: "requests failed, so workers leave it alone for a while",
    Cause.THROTTLED: "it wants fewer requests (429), so workers leave it alone for a while",
    Cause.CREDENTIALS: "it refuses the key (401 or 403)",
}


@dataclass(frozen=True, slots=True)
class ProviderView:
    """One provider as the fleet has it."""

    provider: Provider
    state: ViewState = "Unknown"
    trouble: str = ""
    """What is wrong with it, in words."""
    began_at: float = 0.0
    """Since when, by the workers' word; 0 if none of them says."""
    in_use: int = 0
    recent: Growth = field(default_factory=Growth)
    refused_in: tuple[str, ...] = ()
    """Namespaces whose key it refuses."""
    has_answered: bool = False
    """Some worker had an answer of it at some time."""
    problem: str = ""
    """What the last request that failed came to, as the workers name it."""
    problem_at: float = 0.0
    """When that was, by the worker's word."""

    @property
    def is_well(self) -> bool:
        """Tell whether calls may rely on it."""
        return self.state == "Closed"

    @property
    def p50_milliseconds(self) -> int | None:
        """Half of the requests were answered within this time."""
        return latency_quantile(self.recent.latency, 0.5)

    @property
    def p95_milliseconds(self) -> int | None:
        """Nineteen in twenty requests were answered within this time."""
        return latency_quantile(self.recent.latency, 0.95)


def view_pool(
    pool: ProviderPool, ledger: ProviderLedger, probed: Mapping[str, Probed], *, now: float
) -> tuple[ProviderView, ...]:
    """Return how each provider of a pool is; probes are told by their address."""
    return tuple(
        view_provider(provider, ledger, probed.get(probe_address(provider) or ""), now=now)
        for provider in pool.spec.providers
    )


def view_provider(provider: Provider, ledger: ProviderLedger, probed: Probed | None, *, now: float) -> ProviderView:
    """Return how one provider is."""
    words = ledger.words_of(provider.name, now)
    answered_at = ledger.answered_at(provider.name)
    evidence = _Evidence(
        words=words,
        bad=[(said, word) for said, word in words if _still_holds(provider, ledger, said, word)],
        has_answered_lately=answered_at > 0 and now - answered_at <= 2 * SLICE_SECONDS,
        probed=probed,
    )
    state, trouble, because = _judge(provider, evidence) if provider.enabled else _DISABLED
    problem_at, problem = max(((word.problem_at, word.problem) for _, word in words if word.problem), default=(0.0, ""))
    return ProviderView(
        provider=provider,
        state=state,
        trouble=trouble,
        began_at=min((word.since for _, word in because), default=0.0),
        in_use=sum(word.in_use for _, word in words),
        recent=ledger.recent(provider.name, now),
        refused_in=tuple(sorted({said.namespace for said, _ in because})) if state == "CredentialsRefused" else (),
        has_answered=answered_at > 0 or any(word.requests > word.errors for _, word in words),
        problem=problem,
        problem_at=problem_at,
    )


_Words = Sequence[tuple[Said, ProviderWord]]
_Verdict = tuple[ViewState, str, _Words]
_DISABLED: _Verdict = ("Disabled", "", ())


@dataclass(frozen=True, slots=True)
class _Evidence:
    """All that is said of one provider."""

    words: _Words
    bad: _Words
    """Those by which a worker leaves it alone, and that still hold."""
    has_answered_lately: bool
    probed: Probed | None


def _judge(provider: Provider, evidence: _Evidence) -> _Verdict:
    """Return the state, what is wrong, and the words that say so."""
    if any(word.is_missing for _, word in evidence.words):
        trouble = f"the workers' image has no plugin {provider.plugin!r}, so no call can be with it"
        return "PluginMissing", trouble, ()
    if refused := [each for each in evidence.bad if each[1].cause is Cause.CREDENTIALS]:
        return "CredentialsRefused", _WORDS[Cause.CREDENTIALS], refused
    if is_open := [each for each in evidence.bad if each[1].state is State.OPEN]:
        return "Open", _WORDS[is_open[0][1].cause], is_open
    if evidence.bad:
        return "HalfOpen", _WORDS[evidence.bad[0][1].cause], evidence.bad
    return _judge_the_unbroken(evidence)


def _judge_the_unbroken(evidence: _Evidence) -> _Verdict:
    """Return the state of a provider whom nobody leaves alone."""
    probed = evidence.probed
    if evidence.has_answered_lately:
        return "Closed", "", ()
    if probed is not None and (problem := probed.why_unreachable) is not None:
        return "Unreachable", f"the operator does not reach it: {problem}", ()
    is_known = (probed is not None and probed.was_reached) or any(word.requests for _, word in evidence.words)
    return ("Closed" if is_known else "Unknown"), "", ()


def _still_holds(provider: Provider, ledger: ProviderLedger, said: Said, word: ProviderWord) -> bool:
    """Tell whether a worker leaves a provider alone for a reason that nobody has disproved."""
    if word.state is State.CLOSED:
        return False
    over_at = word.since + provider.breaker.max_open_seconds
    where = said.namespace if word.cause is Cause.CREDENTIALS else None
    return ledger.answered_at(provider.name, where) <= over_at
