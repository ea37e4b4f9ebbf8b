"""Who may do one job of an agent's calls: the providers of its pool, as this agent uses them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.providerpool.providers import Provider
from voicefleet.api.providerpool.spec import RoutingPolicy
from voicefleet.api.references import SecretKeyRef
from voicefleet.api.voiceagent.voice import ModelChoice, Realtime, SpeechToText, TextToSpeech
from voicefleet.providers.needs import AgentNeeds
from voicefleet.providers.routing import Candidate, Choice, Need, NoChoice, Role, choose, policy_for

OptionValue = str | int | float | bool


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """One provider as one call uses it."""

    provider: Provider
    role: Role
    model: str | None
    voice: str | None
    options: tuple[tuple[str, OptionValue], ...]
    language: str
    timeout_seconds: float
    stall_seconds: float
    retries: int

    @property
    def name(self) -> str:
        """Name of the provider in its pool."""
        return self.provider.name

    @property
    def plugin(self) -> str:
        """Plugin that speaks its protocol."""
        return self.provider.plugin

    @property
    def base_url(self) -> str | None:
        """Address in place of the provider's own."""
        return self.provider.base_url

    @property
    def api_key(self) -> SecretKeyRef | None:
        """Where its key lives."""
        return self.provider.api_key


@dataclass(frozen=True, slots=True)
class Lineup:
    """All who may do one job, in the pool's order, and how one of them is chosen."""

    need: Need
    policy: RoutingPolicy
    plans: tuple[ProviderPlan, ...]
    first_name: str
    silence_seconds: float = 0.0
    """Time without a word, while the caller speaks, after which who hears counts as failed."""

    @property
    def first(self) -> ProviderPlan:
        """Whom a call begins with while all are well."""
        return self.plan_of(self.first_name)

    def plan_of(self, name: str) -> ProviderPlan:
        """Return the plan of one of them."""
        return next(plan for plan in self.plans if plan.name == name)


def with_wishes(lineup: Lineup, *, model: str | None, voice: str | None = None) -> Lineup:
    """Return a line-up in which the make that a call begins with has another model or voice."""
    make = lineup.first.plugin
    plans = tuple(
        replace(plan, model=model or plan.model, voice=voice or plan.voice) if plan.plugin == make else plan
        for plan in lineup.plans
    )
    return replace(lineup, plans=plans)


@dataclass(frozen=True, slots=True)
class Nobody:
    """Why there is nobody for a job, and whether it is the agent's list that leaves nobody."""

    message: str
    is_listed: bool


def line_up(pool: ProviderPool, role: Role, choice: ModelChoice, needs: AgentNeeds) -> Lineup | Nobody:
    """Return who may do a job of an agent's calls."""
    usable = [p for p in pool.spec.providers if p.role == role and p.enabled]
    if choice.providers:
        usable = [p for p in usable if p.name in choice.providers]
        if not usable:
            listed = ", ".join(choice.providers)
            return Nobody(f"the pool has no enabled provider of role {role} named {listed}", is_listed=True)
    if not usable:
        return Nobody(f"no enabled provider has role {role}", is_listed=False)
    names = {provider.name for provider in usable}
    need = Need(
        role=role,
        language=needs.language,
        capabilities=needs.of(role, usable),
        region=needs.region,
        wanted=tuple(name for name in choice.providers if name in names),
        may_fall_back=choice.fallback,
    )
    policy = policy_for(pool.spec.routing, role)
    first = _first_of(usable, need, policy)
    if isinstance(first, NoChoice):
        message = f"no provider of role {role} can do what agent {needs.agent} needs: {first}"
        return Nobody(message, is_listed=bool(choice.providers))
    silence = choice.silence_timeout_milliseconds / 1000 if isinstance(choice, SpeechToText) else 0.0
    make = first.provider.plugin
    plans = tuple(_plan(provider, choice, needs.language, is_meant=provider.plugin == make) for provider in usable)
    return Lineup(need, policy, plans, first.provider.name, silence)


def read_option(text: str) -> OptionValue:
    """Read an option's text as the number or truth value that it looks like."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        return int(text)
    if re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", text):
        return float(text)
    return text


def _first_of(providers: Sequence[Provider], need: Need, policy: RoutingPolicy) -> Choice | NoChoice:
    """Decide whom a call begins with while all are well."""
    return choose(map(Candidate, providers), need, policy, now=0.0)


def _plan(provider: Provider, choice: ModelChoice, language: str, *, is_meant: bool) -> ProviderPlan:
    """Return a provider as an agent uses it.

    What the agent says of a model or a voice is meant for the make that it begins with: a standby of another make knows
    neither.
    """
    voice = choice.voice if isinstance(choice, (TextToSpeech, Realtime)) and is_meant else None
    attempt = provider.attempt
    return ProviderPlan(
        provider=provider,
        role=provider.role,
        model=(choice.model if is_meant else None) or provider.model,
        voice=voice or provider.voice,
        options=tuple((name, read_option(text)) for name, text in sorted((provider.options or {}).items())),
        language=language,
        timeout_seconds=(choice.attempt_timeout_milliseconds or attempt.timeout_milliseconds) / 1000,
        stall_seconds=attempt.stall_milliseconds / 1000,
        retries=attempt.retries,
    )
