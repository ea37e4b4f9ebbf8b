"""Every metric of the worker, in a registry of its own: the SDK's default one is not ours to fill."""

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from voicefleet_worker.desk import Answer, Desk


class Metrics:
    """Counters that events feed, beside gauges that are read off the desk when asked for."""

    def __init__(self, desk: Desk) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_DeskCollector(desk))
        self._offers = Counter(
            "voicefleet_worker_offers",
            "Calls that LiveKit offered, by what they were told.",
            ["answer"],
            registry=self.registry,
        )
        self._ended = Counter("voicefleet_worker_sessions_ended", "Calls that are over.", registry=self.registry)
        for answer in Answer:
            self._offers.labels(answer.value)

    def count_offer(self, answer: Answer) -> None:
        """Count one offered call."""
        self._offers.labels(answer.value).inc()

    def count_ended(self, calls: int) -> None:
        """Count calls that are over."""
        self._ended.inc(calls)


class _DeskCollector(Collector):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> list[Metric]:
        desk = self._desk
        values = (
            ("slots", "Calls that the worker can hold at once.", desk.slots.limit),
            ("sessions", "Calls that the worker holds.", desk.slots.used),
            ("registered", "Whether LiveKit knows the worker.", desk.registered),
            ("cordoned", "Whether the worker refuses new calls until further notice.", desk.cordoned),
            ("draining", "Whether the worker ends its last calls and goes.", desk.draining),
            ("reported_load", "Load that the worker reports to LiveKit.", desk.load),
        )
        return [GaugeMetricFamily(f"voicefleet_worker_{name}", text, value=value) for name, text, value in values]
