"""What the operator counts about itself."""

import time
from collections import defaultdict
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from voicefleet.wire import CallersAnswer
from voicefleet_operator.turns.workqueue import Key

_DELAY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)


class DecisionDelays:
    """How long a worker's word waits for a decision that knows of it."""

    def __init__(self, histogram: Histogram, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._histogram = histogram
        self._clock = clock
        self._changed: defaultdict[Key, list[float]] = defaultdict(list)
        self._seen: defaultdict[Key, list[float]] = defaultdict(list)

    def changed(self, key: Key) -> None:
        """Note that a worker said something new."""
        self._changed[key].append(self._clock())

    def seen(self, key: Key) -> None:
        """Note that a turn begins, which knows of all that was said until now."""
        if said := self._changed.pop(key, None):
            self._seen[key] += said

    def decided(self, key: Key) -> None:
        """Note that the turn has decided; to say so twice is as good as once."""
        now = self._clock()
        for at in self._seen.pop(key, ()):
            self._histogram.observe(now - at)

    def forget(self, key: Key) -> None:
        """Note that what was said waits for no decision of this process."""
        self._changed.pop(key, None)
        self._seen.pop(key, None)


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.reconciles = Counter(
            "voicefleet_operator_reconciles",
            "Reconciliations by kind and how they ended.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "voicefleet_operator_reconcile_seconds",
            "Time that one reconciliation takes.",
            ["kind"],
            registry=self.registry,
        )
        self.requests = Counter(
            "voicefleet_operator_api_requests",
            "Requests to the apiserver by method, kind of object and status; 0 is no answer.",
            ["method", "resource", "status"],
            registry=self.registry,
        )
        self.queue_depth = _gauge(self.registry, "queue_depth", "Keys that wait to be reconciled.")
        self.cached = Gauge(
            "voicefleet_operator_cached_objects", "Objects in the cache.", ["resource"], registry=self.registry
        )
        self.ghosts = Counter(
            "voicefleet_operator_lost_deletes",
            "Objects whose deletion no watch told of and a list revealed.",
            ["resource"],
            registry=self.registry,
        )
        self.streams = _gauge(self.registry, "worker_streams", "Workers whose state is being heard.")
        self.loop_lag = _delay(self.registry, "loop_lag", "How late the event loop's beat came.")
        self.leader = _gauge(self.registry, "leader", "1 while this process leads.")
        self._callers = _waiting_callers(self.registry)
        words = "Time from a worker's word that changed something to the decision that knows of it."
        self.delays = DecisionDelays(_delay(self.registry, "decision_delay", words))

    def count_callers(self, answer: CallersAnswer) -> None:
        """Count what a look for callers found."""
        self._callers.labels("dispatched").inc(answer.dispatched)
        self._callers.labels("lost").inc(answer.lost)


def _gauge(registry: CollectorRegistry, name: str, words: str) -> Gauge:
    return Gauge(f"voicefleet_operator_{name}", words, registry=registry)


def _delay(registry: CollectorRegistry, name: str, words: str) -> Histogram:
    return Histogram(f"voicefleet_operator_{name}_seconds", words, buckets=_DELAY_BUCKETS, registry=registry)


def _waiting_callers(registry: CollectorRegistry) -> Counter:
    words = "Callers who found no free slot, by what became of them: dispatched again, or lost."
    return Counter("voicefleet_operator_waiting_callers", words, ["outcome"], registry=registry)
