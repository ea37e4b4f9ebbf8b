"""Reading what the operator counts about itself."""

import asyncio
import math
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from e2e.operating import OperatorProcess

_PREFIX = "voicefleet_operator_"
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Gauges:
    """All metrics at one moment; empty while the operator does not answer."""

    samples: tuple[tuple[str, dict[str, str], float], ...] = field(default=())

    def total(self, name: str, **labels: str) -> float:
        """Add up a metric over whatever labels are not named."""
        return sum(
            value
            for sample, its, value in self.samples
            if sample == name and all(its.get(label) == wanted for label, wanted in labels.items())
        )

    @property
    def writes(self) -> float:
        """Count the requests that change something, but for the lease."""
        return sum(self.writes_by_kind.values())

    @property
    def writes_by_kind(self) -> dict[str, float]:
        """Count them by method, kind of object and answer."""
        return {
            f"{labels['method']} {labels['resource']} {labels['status']}": value
            for sample, labels, value in self.samples
            if sample == f"{_PREFIX}api_requests_total"
            and labels["method"] in _WRITES
            and labels["resource"] != "leases"
            # A Secret that is there already is not written again.
            and labels["status"] != "409"
        }

    @property
    def turns(self) -> float:
        """Count the reconciliations of agents, however they ended."""
        return self.total(f"{_PREFIX}reconciles_total", kind="VoiceAgent")

    @property
    def queued(self) -> float:
        """Count the keys that wait."""
        return self.total(f"{_PREFIX}queue_depth")

    @property
    def leads(self) -> bool:
        """Tell whether it is the leader."""
        return self.total(f"{_PREFIX}leader") == 1

    @property
    def cpu_seconds(self) -> float:
        """Return the processor time that it used since it began."""
        return self.total("process_cpu_seconds_total")

    @property
    def megabytes(self) -> float:
        """Return its resident memory."""
        return self.total("process_resident_memory_bytes") / 2**20

    def quantile(self, histogram: str, share: float, since: "Gauges") -> float:
        """Return the upper bound of the bucket in which a quantile lies, of what was counted since."""
        name = f"{_PREFIX}{histogram}_bucket"
        bounds = sorted({float(labels["le"]) for sample, labels, _ in self.samples if sample == name})
        counts = {
            bound: sum(
                sign * value
                for sign, gauges in ((1, self), (-1, since))
                for sample, labels, value in gauges.samples
                if sample == name and float(labels["le"]) == bound
            )
            for bound in bounds
        }
        wanted = share * counts.get(math.inf, 0.0)
        return next((bound for bound in bounds if counts[bound] >= wanted > 0), math.inf)


async def read_gauges(operator: OperatorProcess) -> Gauges:
    """Ask the operator."""
    text = await asyncio.to_thread(operator.get, "/metrics")
    return Gauges(
        tuple(
            (sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )
    )
