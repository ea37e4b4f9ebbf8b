"""Probes: which addresses are asked whether anybody is there, how often, and what an answer means.

A probe carries no key, since the operator reads none: it finds out that a provider is reached, and not that it would
do its job. Whatever pools share an address share its probes, so that none is asked more often for being used by many.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from voicefleet.api import ProviderPool
from voicefleet.providers.addresses import probe_address

_BROKEN = 500
# One probe that fails amid others that don't is no news.
_FAILURES_IN_ROW = 2


@dataclass(frozen=True, slots=True)
class ProbeRule:
    """How one address is to be asked."""

    address: str
    interval_seconds: float
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probes of one address have found."""

    problem: str | None = None
    """What was wrong with the last one, if anything."""
    failures: int = 0
    """How many failed in a row."""
    was_reached: bool = False
    """Some probe went well."""

    def after(self, problem: str | None) -> "Probed":
        """Return the same after one more probe."""
        if problem is None:
            return Probed(was_reached=True)
        return replace(self, problem=problem, failures=self.failures + 1)

    @property
    def why_unreachable(self) -> str | None:
        """Say why the address counts as out of reach, if it does."""
        is_sure = not self.was_reached or self.failures >= _FAILURES_IN_ROW
        return self.problem if is_sure else None


def probe_rules(pool: ProviderPool) -> tuple[ProbeRule, ...]:
    """Return what a pool wants to be probed, once for each address."""
    rules = [
        ProbeRule(address, provider.probe.interval_seconds, provider.probe.timeout_milliseconds / 1000)
        for provider in pool.spec.providers
        if provider.enabled and provider.probe.enabled and (address := probe_address(provider)) is not None
    ]
    return merge_rules(rules)


def merge_rules(rules: Iterable[ProbeRule]) -> tuple[ProbeRule, ...]:
    """Return one rule for each address: as often as the most eager wants it, and as patient as the most patient."""
    merged: dict[str, ProbeRule] = {}
    for rule in rules:
        known = merged.get(rule.address, rule)
        merged[rule.address] = ProbeRule(
            rule.address,
            min(known.interval_seconds, rule.interval_seconds),
            max(known.timeout_seconds, rule.timeout_seconds),
        )
    return tuple(merged[address] for address in sorted(merged))


def problem_of_answer(status: int) -> str | None:
    """Say what is wrong with an answer; to be refused without a key is as good as to be let in."""
    return f"it answers {status}" if status >= _BROKEN else None
