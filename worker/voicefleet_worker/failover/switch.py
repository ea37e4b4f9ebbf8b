"""One job of one call: who is asked next, and what was learned from who was asked before."""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Literal, Protocol, TypeVar

from livekit.agents import APIConnectionError, APIConnectOptions

from voicefleet.providers.breaker import Cause, Outcome
from voicefleet.providers.lineup import Lineup, ProviderPlan
from voicefleet.providers.routing import Candidate, Choice, NoChoice, Refusal, choose
from voicefleet_worker.failover.errors import Finding, Overheard

logger = logging.getLogger("voicefleet.call")


class Emitter(Protocol):
    """What all kinds of the SDK's models have in common."""

    def on(self, event: Literal["error", "metrics_collected"], callback: Callable[..., None], /) -> object:
        """Have something called when a request fails, or was measured."""


Model = TypeVar("Model", bound=Emitter)

# Whoever is asked has its own tries; the SDK's would multiply with them.
ONCE = APIConnectOptions(max_retry=0)


class Health(Protocol):
    """What is known of the providers, by this call and by others."""

    def candidates(self, lineup: Lineup) -> Iterable[Candidate]:
        """Return those of a line-up as they are at this moment."""

    def take(self, name: str, *, is_last_resort: bool = False) -> Refusal | None:
        """Take what a request needs that begins now, or say what is not to be had."""

    def begin(self, name: str, began_at: float, *, stands_in: bool = False) -> None:
        """Note that a provider is asked; by the same moment its outcome is known as that of this request."""

    def use_tokens(self, name: str, tokens: int) -> None:
        """Note what a language model has read and written."""

    def learn(self, name: str, outcome: Outcome, first_seconds: float | None = None) -> None:
        """Note how a request went, and how long its first answer took."""

    def note_latency(self, name: str, seconds: float) -> None:
        """Note how long somebody took over whom a request does not tell it: one stream serves many turns."""

    def call_off(self, name: str, began_at: float) -> None:
        """Note that nobody waits any more for a request of which nothing was learned."""

    def release(self, name: str) -> None:
        """Note that a request or a stream is over."""

    def measure(self, name: str, metrics: object) -> None:
        """Note what a request was measured to have used."""

    def note_problem(self, name: str, problem: str) -> None:
        """Note in words how a provider let the call down."""


@dataclass(slots=True)
class Attempt(Generic[Model]):
    """One request, or one stream, at one provider."""

    plan: ProviderPlan
    model: Model
    began_at: float
    key: int = 0
    """Fingerprint of the key with which it is made."""
    is_answered: bool = False
    """Whether it is known how it went."""

    @property
    def name(self) -> str:
        """Name of the provider."""
        return self.plan.name


class Tries:
    """Who has used up its tries at something."""

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self._failures: Counter[str] = Counter()

    def note_failure(self, plan: ProviderPlan) -> None:
        """Note that one failed; it may try again as often as the pool says."""
        self._failures[plan.name] += 1
        if self._failures[plan.name] > plan.retries:
            self.tried.add(plan.name)

    def begin_anew(self) -> None:
        """Let everybody try once more."""
        self.tried.clear()
        self._failures.clear()


class Switch(Generic[Model]):
    """Decides for one job of one call, and remembers with whom the call is."""

    def __init__(
        self,
        lineup: Lineup,
        health: Health,
        build: Callable[[ProviderPlan], Model],
        *,
        key_of: Callable[[ProviderPlan], int] = lambda _: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lineup = lineup
        self._health = health
        self._build = build
        self._key_of = key_of
        self._clock = clock
        self._models: dict[str, Model] = {}
        self._keys: dict[str, int] = {}
        self._set_aside: list[Model] = []
        """Those whose key was refused; what they have begun goes on."""
        self._overheard: dict[str, Overheard] = {}
        self.hand_on: Callable[[object], None] = lambda _: None
        """What becomes of what a model has measured; each request once, however many are under way."""
        self._current: str | None = None

    @property
    def current(self) -> ProviderPlan:
        """With whom the call is, or would begin."""
        return self.lineup.plan_of(self._current) if self._current else self.lineup.first

    def models(self) -> Iterable[Model]:
        """Return what was built so far."""
        return (*self._models.values(), *self._set_aside)

    def built(self) -> tuple[Model, ...]:
        """Build all whom this call may be with, and return those that could be."""
        for plan in self.lineup.plans:
            try:
                self._model_of(plan)
            except Exception as error:  # noqa: BLE001 - a plugin may refuse what it was given, with whatever it likes
                self._learn_failure(plan, error, self._clock())
        return tuple(self._models.values())

    def first_model(self) -> Model:
        """Return whom the call is with, or would begin with."""
        return self._model_of(self.current)

    def begin(self, tried: Iterable[str]) -> Attempt[Model]:
        """Choose whom to ask, and note that it is asked, until it is released; raise if there is nobody."""
        failed, refused = set(tried), dict[str, Refusal]()
        while True:
            choice = self._choose(failed, refused)
            plan, began_at = self.lineup.plan_of(choice.provider.name), self._clock()
            try:
                model = self._model_of(plan)
            except Exception as error:  # noqa: BLE001 - a plugin may refuse what it was given, with whatever it likes
                self._learn_failure(plan, error, began_at)
                failed.add(plan.name)
                continue
            refusal = self._health.take(plan.name, is_last_resort=choice.is_last_resort)
            if refusal is not None:
                refused[plan.name] = refusal
                continue
            self._note_choice(choice)
            self._health.begin(plan.name, began_at, stands_in=bool(failed))
            return Attempt(plan, model, began_at, self._keys[plan.name])

    def succeed(self, attempt: Attempt[Model], first_seconds: float | None = None) -> None:
        """Note that a request goes well."""
        self._current, attempt.is_answered = attempt.name, True
        self._health.learn(attempt.name, Outcome(attempt.began_at), first_seconds)

    def fail(self, attempt: Attempt[Model], error: BaseException) -> bool:
        """Note that a request failed; return True if it should be made again, since there is another key by now."""
        finding = self._find_out(attempt.plan, error)
        outcome = finding.outcome(attempt.began_at, attempt.key)
        if outcome is not None and outcome.failed is Cause.CREDENTIALS:
            self._put_aside(attempt)
            if self._key_of(attempt.plan) != attempt.key:
                # Of the provider nothing was learned: the call is of longer standing than the key.
                logger.info("provider has another key and is asked again", extra={"provider": attempt.name})
                return True
        if outcome is not None:
            attempt.is_answered = True
            self._health.learn(attempt.name, outcome)
        return False

    def note_latency(self, seconds: float) -> None:
        """Note how long the one took with whom the call is."""
        self._health.note_latency(self.current.name, seconds)

    def use_tokens(self, attempt: Attempt[Model], tokens: int) -> None:
        """Note what a language model has read and written."""
        self._health.use_tokens(attempt.name, tokens)

    def release(self, attempt: Attempt[Model]) -> None:
        """Note that a request or a stream is over, however it went."""
        if not attempt.is_answered:
            self._health.call_off(attempt.name, attempt.began_at)
        self._health.release(attempt.name)

    def measure(self, attempt: Attempt[Model], metrics: object) -> None:
        """Note what a request was measured to have used."""
        self._health.measure(attempt.name, metrics)

    def _learn_failure(self, plan: ProviderPlan, error: BaseException, began_at: float) -> None:
        """Note that somebody cannot even be built."""
        outcome = self._find_out(plan, error).outcome(began_at, self._keys.get(plan.name, 0))
        if outcome is not None:
            self._health.learn(plan.name, outcome)

    def _find_out(self, plan: ProviderPlan, error: BaseException) -> Finding:
        finding = self._overheard.get(plan.name, Overheard()).finding(error)
        extra = {"provider": plan.name, "role": plan.role, "problem": str(finding)}
        logger.warning("provider failed", extra=extra)
        self._health.note_problem(plan.name, str(finding))
        return finding

    def _put_aside(self, attempt: Attempt[Model]) -> None:
        """Have a provider built anew, with the key of that moment, when it is asked again."""
        if self._models.get(attempt.name) is attempt.model:
            self._set_aside.append(self._models.pop(attempt.name))

    def _choose(self, tried: Iterable[str], refused: Mapping[str, Refusal]) -> Choice:
        draw = random.random()  # noqa: S311 - a share of calls, no secret
        need = replace(self.lineup.need, current=self._current, tried=frozenset(tried), draw=draw)
        candidates = (replace(c, refusal=refused.get(c.name)) for c in self._health.candidates(self.lineup))
        choice = choose(candidates, need, self.lineup.policy, self._clock())
        if isinstance(choice, NoChoice):
            # Not to be tried again by the SDK: whoever could be asked was.
            raise APIConnectionError(f"nobody can be asked: {choice}", retryable=False)
        return choice

    def _note_choice(self, choice: Choice) -> None:
        if choice.provider.name != self._current:
            logger.info("provider chosen", extra={"provider": choice.provider.name, "reason": choice.reason})

    def _hand_on(self, name: str, metrics: object) -> None:
        self._health.measure(name, metrics)
        self.hand_on(metrics)

    def _model_of(self, plan: ProviderPlan) -> Model:
        if plan.name not in self._models:
            # Before it is read for the model: a key that is replaced in between is refused as another one.
            self._keys[plan.name] = self._key_of(plan)
            model = self._build(plan)
            model.on("error", self._overheard.setdefault(plan.name, Overheard()).hear)
            model.on("metrics_collected", partial(self._hand_on, plan.name))
            self._models[plan.name] = model
        return self._models[plan.name]
