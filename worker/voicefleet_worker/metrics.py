"""Every metric of the worker, in a registry of its own: the SDK's default one is not ours to fill."""

import itertools

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from voicefleet.wire import LATENCY_BOUNDS_MILLISECONDS
from voicefleet_worker.desk.desk import Answer, Desk
from voicefleet_worker.desk.tallies import Tallies
from voicefleet_worker.records.clerk import Clerk
from voicefleet_worker.records.courier import Courier
from voicefleet_worker.records.figures import Figures


class Metrics:
    """Counters that offers feed, beside what is read off the desk when asked for."""

    def __init__(self, desk: Desk) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_DeskCollector(desk))
        self._offers = Counter(
            "voicefleet_worker_offers",
            "Calls that LiveKit offered, by what they were told.",
            ["answer"],
            registry=self.registry,
        )
        for answer in Answer:
            self._offers.labels(answer.value)
        self._starts = Counter(
            "voicefleet_worker_sessions_started",
            "Calls whose process was launched.",
            registry=self.registry,
        )

    def watch_records(self, clerk: Clerk) -> None:
        """Count the calls whose records a clerk makes, and show what waits to be brought somewhere."""
        clerk.count = Figures(self.registry).count
        for courier in clerk.couriers:
            self._show(courier)

    def _show(self, courier: Courier) -> None:
        prefix, cargo = f"voicefleet_worker_{courier.cargo}", courier.cargo.title()
        waiting = Gauge(f"{prefix}_waiting", f"{cargo} that nobody has taken.", registry=self.registry)
        waiting.set_function(lambda: courier.pending)
        refused = Gauge(f"{prefix}_refused", f"{cargo} that were refused, and put aside.", registry=self.registry)
        refused.set_function(lambda: courier.refused)

    def count_offer(self, answer: Answer) -> None:
        """Count one offered call."""
        self._offers.labels(answer.value).inc()

    def count_start(self) -> None:
        """Count one call whose process was launched."""
        self._starts.inc()


class _DeskCollector(Collector):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> list[Metric]:
        return [*self._gauges(), *_counters(self._desk.tallies), _turns(self._desk.tallies)]

    def _gauges(self) -> list[Metric]:
        desk = self._desk
        values = (
            ("slots", "Calls that the worker can hold at once.", desk.slots.limit),
            ("sessions", "Calls that the worker holds.", desk.slots.used),
            ("registered", "Whether LiveKit knows the worker.", desk.registered),
            ("cordoned", "Whether the worker refuses new calls until further notice.", desk.cordoned),
            ("draining", "Whether the worker ends its last calls and goes.", desk.draining),
            ("reported_load", "Load that the worker reports to LiveKit.", desk.load),
        )
        gauges = [GaugeMetricFamily(f"voicefleet_worker_{name}", text, value=value) for name, text, value in values]
        asked = GaugeMetricFamily("voicefleet_worker_asked_load", "Load that the worker was told to report while open.")
        if desk.asked_load is not None:
            asked.add_metric([], desk.asked_load)
        return [*gauges, asked]


def _counters(tallies: Tallies) -> list[Metric]:
    tally = tallies.total
    values = (
        ("sessions_ended", "Calls that are over.", tally.calls_ended),
        ("sessions_failed", "Calls that crashed, broke or were cut.", tally.calls_failed),
        ("sessions_hung_up_early", "Calls whose caller hung up within ten seconds.", tally.hung_up_early),
        ("provider_requests", "Requests to providers, the failed ones included.", tally.provider_requests),
        ("provider_errors", "Requests to providers that failed.", tally.provider_errors),
    )
    return [CounterMetricFamily(f"voicefleet_worker_{name}", text, value=value) for name, text, value in values]


def _turns(tallies: Tallies) -> Metric:
    bounds = [*(str(bound / 1000) for bound in LATENCY_BOUNDS_MILLISECONDS), "+Inf"]
    buckets = list(zip(bounds, itertools.accumulate(tallies.total.turn_latency), strict=True))
    text = "From the end of the caller's speech to the first sound of the answer."
    return HistogramMetricFamily(
        "voicefleet_worker_turn_latency_seconds", text, buckets=buckets, sum_value=tallies.latency_seconds
    )
