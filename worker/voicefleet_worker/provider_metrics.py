"""Metrics of the providers, by name and role and nothing else: a model or an address would make ever new ones."""

from collections.abc import Callable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from voicefleet.providers.breaker import State
from voicefleet_worker.desk.desk import Desk
from voicefleet_worker.failover.board import HealthBoard
from voicefleet_worker.failover.known import Known, Totals

_LABELS = ("provider", "role")
_LEVELS = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}

# The sums over all providers have the names `provider_requests` and `provider_errors`.
_COUNTS: tuple[tuple[str, str, Callable[[Totals], int]], ...] = (
    ("attempts", "Requests and streams begun at a provider.", lambda totals: totals.attempts),
    ("failures", "Those of them that failed.", lambda totals: totals.errors),
    ("failovers", "Those of them that took over from a provider which had failed.", lambda totals: totals.failovers),
    ("tokens", "Tokens that language models have read and written.", lambda totals: totals.tokens),
)


class ProviderCollector(Collector):
    """What a worker knows of its providers, read off its board when asked for."""

    def __init__(self, board: HealthBoard, desk: Desk) -> None:
        self._board = board
        self._desk = desk

    def collect(self) -> list[Metric]:
        """Return all of them as they are now."""
        breaker = GaugeMetricFamily(
            "voicefleet_worker_provider_breaker",
            "State of a provider's breaker: 0 closed, 1 half-open, 2 open.",
            labels=_LABELS,
        )
        in_use = GaugeMetricFamily(
            "voicefleet_worker_provider_in_use", "Requests and streams of this worker at this moment.", labels=_LABELS
        )
        for known in self._board.known.values():
            breaker.add_metric(_labels(known), _LEVELS[known.breaker.state])
            in_use.add_metric(_labels(known), known.word().in_use)
        return [breaker, in_use, *self._counters(), *self._shared()]

    def _counters(self) -> list[Metric]:
        families: list[Metric] = []
        for name, text, count in _COUNTS:
            family = CounterMetricFamily(f"voicefleet_worker_provider_{name}", text, labels=_LABELS)
            for known in self._board.known.values():
                family.add_metric(_labels(known), count(known.totals))
            families.append(family)
        return families

    def _shared(self) -> list[Metric]:
        shared = GaugeMetricFamily(
            "voicefleet_worker_shared_health",
            "Whether the worker goes by what the whole fleet knows of its providers; absent without Redis.",
        )
        if self._desk.shares_health is not None:
            shared.add_metric([], self._desk.shares_health)
        return [shared]


def _labels(known: Known) -> list[str]:
    return [known.provider.name, known.provider.role]
