"""What a keeper has done and what it has still to do, as metrics."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from voicefleet_worker.keeping.keeper import Keeper


class KeepingCollector(Collector):
    """Reads a keeper when asked for."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def collect(self) -> list[Metric]:
        """Return the metrics as they are now."""
        waiting = self._keeper.waiting
        prefix = "voicefleet_worker_uploads"
        return [
            GaugeMetricFamily(f"{prefix}_pending", "Files that wait to be kept.", value=len(waiting)),
            GaugeMetricFamily(f"{prefix}_pending_bytes", "Their size.", value=sum(waiting.values())),
            CounterMetricFamily(f"{prefix}_kept", "Files that were kept.", value=self._keeper.kept),
            CounterMetricFamily(f"{prefix}_failed", "Tries to keep a file that failed.", value=self._keeper.failed),
        ]
