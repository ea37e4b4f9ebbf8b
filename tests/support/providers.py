"""What workers say of providers, in words: `word("deepgram", requests=3)`, `refused("deepgram")`."""

import copy
from typing import Any

from tests.support.fleet import NOW, state
from tests.support.manifests import sample
from voicefleet.api import ProviderPool
from voicefleet.api.providerpool.providers import Provider
from voicefleet.providers.breaker import Cause, State
from voicefleet.providers.growth import ProviderLedger
from voicefleet.wire import LATENCY_BOUNDS_MILLISECONDS, ProviderWord, WorkerState, latency_class

MOMENT = NOW.timestamp()
CLASSES = len(LATENCY_BOUNDS_MILLISECONDS) + 1


def word(name: str = "deepgram", **fields: object) -> ProviderWord:
    """Return a word about a provider that is well, but for these fields."""
    return ProviderWord.model_validate({"name": name, **fields})


def opened(
    name: str = "deepgram", *, since: float = MOMENT, cause: Cause = Cause.FAILURES, **fields: Any
) -> ProviderWord:
    """Return a word about a provider that is left alone."""
    return word(name, state=State.OPEN, since=since, cause=cause, **fields)


def refused(name: str = "deepgram", *, since: float = MOMENT) -> ProviderWord:
    """Return a word about a provider that refused its key."""
    return opened(name, since=since, cause=Cause.CREDENTIALS)


def latencies(*seconds: float) -> tuple[int, ...]:
    """Return the counts of requests that took so long."""
    classes = [latency_class(each) for each in seconds]
    return tuple(classes.count(number) for number in range(CLASSES))


def says(*words: ProviderWord, instance: str = "first") -> WorkerState:
    """Return the state of a worker that says so."""
    return state(providers=words, instance=instance)


def ledger_of(*said: tuple[str, float, WorkerState], namespace: str = "voice") -> ProviderLedger:
    """Return a ledger that was told these things, each by a worker and at a time after `MOMENT`."""
    ledger = ProviderLedger()
    for uid, after, what in said:
        ledger.note(uid, namespace, what, MOMENT + after)
    return ledger


def pool(**spec: object) -> ProviderPool:
    """Return the sample's pool: deepgram hears, openai thinks, cartesia speaks."""
    manifest = copy.deepcopy(sample("providerpool"))
    manifest["metadata"] |= {"name": "pool", "namespace": "voice", "generation": 1}
    manifest["spec"] |= spec
    return ProviderPool.model_validate(manifest)


def provider(**fields: object) -> Provider:
    """Return the sample's provider that hears, but for these fields."""
    (hearing, *_) = sample("providerpool")["spec"]["providers"]
    return Provider.model_validate({**hearing, **fields})
