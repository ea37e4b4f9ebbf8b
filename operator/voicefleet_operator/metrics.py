"""What the operator counts about itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
            "Requests to the apiserver by method and status; 0 is no answer.",
            ["method", "status"],
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "voicefleet_operator_queue_depth", "Keys that wait to be reconciled.", registry=self.registry
        )
        self.cached = Gauge(
            "voicefleet_operator_cached_objects", "Objects in the cache.", ["resource"], registry=self.registry
        )
        self.ghosts = Counter(
            "voicefleet_operator_lost_deletes",
            "Objects whose deletion no watch told of and a list revealed.",
            ["resource"],
            registry=self.registry,
        )
        self.streams = Gauge(
            "voicefleet_operator_worker_streams", "Workers whose state is being heard.", registry=self.registry
        )
        self.leader = Gauge("voicefleet_operator_leader", "1 while this process leads.", registry=self.registry)
